package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/profile"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// certificateLife is how long a certificate written for the ssh program is good.
const certificateLife = 8 * time.Hour

// SSH runs the ssh program to a node, with a fresh certificate and the host keys that the node's install reported. It does not return when
// it succeeds: the process becomes ssh.
func SSH(ctx context.Context, e Env, node string, command []string) (err error) {
	config, name, err := sshConfig(ctx, e, node)
	if err != nil {
		return err
	}
	program, err := exec.LookPath("ssh")
	if err != nil {
		return fmt.Errorf("the ssh program: %w; it is in Debian's package openssh-client", err)
	}
	argv := append([]string{"ssh", "-F", config, name}, command...)
	return fmt.Errorf("become ssh: %w", syscall.Exec(program, argv, os.Environ()))
}

// sshConfig writes what the ssh program needs into the state directory, and returns the file and the node's name.
func sshConfig(ctx context.Context, e Env, node string) (file, name string, err error) {
	s, err := e.open(ctx)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	targets, err := s.targets([]string{node})
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(e.stateDir(), "ssh")
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("ssh: %w", err)
	}
	cert, err := s.keys.CA.UserCertificate(s.keys.Login.PublicKey(), "nuboctl ssh "+whoAmI(), []string{profile.OperatorPrincipal}, e.Now(), certificateLife)
	if err != nil {
		return "", "", err
	}
	text, known, err := s.sshHosts(ctx, dir)
	if err != nil {
		return "", "", err
	}
	name = targets[0].Name()
	return filepath.Join(dir, "config"), name, errors.Join(
		replaceFile(filepath.Join(dir, "cert.pub"), ssh.MarshalAuthorizedKey(cert)),
		replaceFile(filepath.Join(dir, "known_hosts"), []byte(known)),
		replaceFile(filepath.Join(dir, "config"), []byte(text)))
}

// sshHosts is a section for every node that was installed from this state, and the known host keys.
func (s *session) sshHosts(ctx context.Context, dir string) (config, known string, err error) {
	items, err := state.HostKeys(s.known, state.Fence{}).List(ctx, "")
	if err != nil {
		return "", "", err
	}
	keysOf := make(map[model.Path][]string, len(items))
	for _, it := range items {
		keysOf[model.Path(it.Key)] = it.Value
	}
	key, err := filepath.Abs(filepath.Join(s.keys.dir, "ssh_key"))
	if err != nil {
		return "", "", err
	}
	hosts, addresses := remote.KnownHosts{}, map[string]string{}
	var b bytes.Buffer
	for _, n := range s.desired.Nodes {
		addr, network, ok := hostAddress(s.desired, n)
		if !ok || keysOf[n.Path] == nil {
			continue
		}
		hosts[n.Name], addresses[n.Name] = keysOf[n.Path], net.JoinHostPort(addr.String(), "22")
		fmt.Fprintf(&b, "Host %s\n  HostName %s\n  HostKeyAlias %s\n  User root\n", n.Name, addr, n.Name)
		switch own := os.Getenv(operatorKeyFile); {
		case !n.Adopted:
			fmt.Fprintf(&b, "  IdentityFile %q\n  CertificateFile %q\n  IdentitiesOnly yes\n", key, filepath.Join(dir, "cert.pub"))
		case own != "":
			fmt.Fprintf(&b, "  IdentityFile %q\n  IdentitiesOnly yes\n", own)
		}
		fmt.Fprintf(&b, "  UserKnownHostsFile %q\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ControlMaster no\n", filepath.Join(dir, "known_hosts"))
		if network.Relay != nil && network.Relay.Via != "" {
			hosts["jump-"+network.Name] = []string{network.Relay.HostKey}
			fmt.Fprintf(&b, "  ProxyCommand ssh -F %q -W %%h:%%p jump-%s\n", filepath.Join(dir, "config"), network.Name)
		}
		b.WriteByte('\n')
	}
	s.jumpSections(&b, dir, key)
	known, err = hosts.OpenSSH(addresses)
	return b.String(), known, err
}

// jumpSections are the hosts through which networks are reached.
func (s *session) jumpSections(b *bytes.Buffer, dir, key string) {
	for _, n := range s.desired.Networks {
		if n.Relay == nil || n.Relay.Via == "" {
			continue
		}
		userName, host, ok := strings.Cut(n.Relay.Via, "@")
		if !ok {
			userName, host = "root", n.Relay.Via
		}
		port := "22"
		if h, p, err := net.SplitHostPort(host); err == nil {
			host, port = h, p
		}
		fmt.Fprintf(b, "Host jump-%s\n  HostName %s\n  Port %s\n  HostKeyAlias jump-%s\n  User %s\n  IdentityFile %q\n  UserKnownHostsFile %q\n  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n\n",
			n.Name, host, port, n.Name, userName, key, filepath.Join(dir, "known_hosts"))
	}
}
