package remote_test

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

func TestLocal(t *testing.T) {
	remotetest.Suite(t, func(*testing.T) remote.Host { return remote.Local{} })
}

func TestFake(t *testing.T) {
	remotetest.Suite(t, func(*testing.T) remote.Host { return &remote.Fake{Next: remote.Local{}} })
}

func TestClientAgainstOpenSSH(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	client := sshd.Connect(t)
	remotetest.Suite(t, func(*testing.T) remote.Host { return client })
}

func TestLinkAgainstOpenSSH(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	link := remote.NewLink(remote.To(sshd.Target()))
	t.Cleanup(func() { _ = link.Close() })
	remotetest.Suite(t, func(*testing.T) remote.Host { return link })
}
