package remote_test

import (
	"crypto/ed25519"
	"errors"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// TestBrokenAtTheStart: a host that goes away just when it is asked to run something is unreachable, whatever part of the connection hears of it first.
func TestBrokenAtTheStart(t *testing.T) {
	key := remotetest.NewSigner(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go vanish(l, key)
	target := remote.Target{Name: "h", Address: l.Addr().String(), User: "root", HostKeys: []ssh.PublicKey{key.PublicKey()},
		Login: func(string) (ssh.Signer, error) {
			_, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				return nil, err
			}
			return ssh.NewSignerFromKey(private)
		}}
	for range 300 {
		c, err := remote.Connect(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Run(t.Context(), trueCommand)
		_ = c.Close()
		if !errors.Is(err, remote.ErrUnreachable) {
			t.Fatalf("got %v, want ErrUnreachable", err)
		}
	}
}

// vanish lets everybody in, and ends the connection at the first request in a session.
func vanish(l net.Listener, key ssh.Signer) {
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(key)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, channels, requests, err := ssh.NewServerConn(conn, config)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			c, open := <-channels
			if !open {
				return
			}
			if _, asked, err := c.Accept(); err == nil {
				<-asked
			}
		}()
	}
}
