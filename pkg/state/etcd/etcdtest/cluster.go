// Package etcdtest runs real etcd servers for tests: members on loopback, with TLS, client certificates and authentication on.
package etcdtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/nuboctl/nuboctl/pkg/state/etcd"
)

// The user that the cluster knows beside root. It may use everything below Prefix and nothing else.
const (
	User     = "nubo"
	Password = "etcd-password-of-the-tests"
	Prefix   = "/nubo-test"
)

// ready bounds every wait for the cluster.
const ready = 5 * time.Minute // members on a busy machine elect more than once

// Cluster is a set of etcd members that run until Stop.
type Cluster struct {
	Endpoints []string // of the clients, one for each member
	Dir       string   // ca.pem, client.pem and client-key.pem are here
	members   []*exec.Cmd
	logs      []*os.File
}

// Start starts n members below dir and waits until they have a leader. etcd must be installed: package etcd-server.
func Start(dir string, n int) (*Cluster, error) {
	if _, err := exec.LookPath("etcd"); err != nil {
		return nil, fmt.Errorf("install Debian's etcd-server: %w", err)
	}
	c := &Cluster{Dir: dir}
	if err := writeCertificates(dir); err != nil {
		return nil, err
	}
	client, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	peer, client := client[n:], client[:n]
	var initial []string
	for i := range n {
		initial = append(initial, fmt.Sprintf("m%d=https://127.0.0.1:%d", i, peer[i]))
	}
	for i := range n {
		c.Endpoints = append(c.Endpoints, fmt.Sprintf("https://127.0.0.1:%d", client[i]))
		if err := c.start(i, client[i], peer[i], strings.Join(initial, ",")); err != nil {
			c.Stop()
			return nil, err
		}
	}
	if err := c.enableAuth(); err != nil {
		c.Stop()
		return nil, fmt.Errorf("%w; what the first member said:\n%s", err, c.log(0))
	}
	return c, nil
}

func (c *Cluster) log(i int) string {
	b, err := os.ReadFile(filepath.Join(c.Dir, fmt.Sprintf("m%d.log", i)))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (c *Cluster) start(i, client, peer int, initial string) error {
	log, err := os.Create(filepath.Join(c.Dir, fmt.Sprintf("m%d.log", i)))
	if err != nil {
		return err
	}
	c.logs = append(c.logs, log)
	file := func(name string) string { return filepath.Join(c.Dir, name) }
	cmd := exec.Command("etcd", "--name", fmt.Sprintf("m%d", i), "--data-dir", file(fmt.Sprintf("m%d", i)),
		"--listen-client-urls", fmt.Sprintf("https://127.0.0.1:%d", client), "--advertise-client-urls", fmt.Sprintf("https://127.0.0.1:%d", client),
		"--listen-peer-urls", fmt.Sprintf("https://127.0.0.1:%d", peer), "--initial-advertise-peer-urls", fmt.Sprintf("https://127.0.0.1:%d", peer),
		"--initial-cluster", initial, "--initial-cluster-state", "new", "--heartbeat-interval", "200", "--election-timeout", "2000",
		"--cert-file", file("server.pem"), "--key-file", file("server-key.pem"), "--client-cert-auth", "--trusted-ca-file", file("ca.pem"),
		"--peer-cert-file", file("server.pem"), "--peer-key-file", file("server-key.pem"), "--peer-client-cert-auth", "--peer-trusted-ca-file", file("ca.pem"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.members = append(c.members, cmd)
	return nil
}

// TLS is what a client of the cluster shows and trusts.
func (c *Cluster) TLS() *tls.Config {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(c.Dir, name))
		if err != nil {
			panic(err)
		}
		return b
	}
	t, err := etcd.TLS(read("ca.pem"), read("client.pem"), read("client-key.pem"))
	if err != nil {
		panic(err)
	}
	return t
}

// enableAuth makes the users and turns authentication on, once there is a leader.
func (c *Cluster) enableAuth() error {
	ctx, cancel := context.WithTimeout(context.Background(), ready)
	defer cancel()
	cl, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints, TLS: c.TLS(), DialTimeout: ready, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer cl.Close()
	steps := []func() error{
		func() error { _, err := cl.Put(ctx, Prefix+"/ready", ""); return err },
		func() error { _, err := cl.UserAdd(ctx, "root", "root-password-of-the-tests"); return err },
		func() error { _, err := cl.RoleAdd(ctx, "root"); return err },
		func() error { _, err := cl.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := cl.UserAdd(ctx, User, Password); return err },
		func() error { _, err := cl.RoleAdd(ctx, "nubo"); return err },
		func() error {
			_, err := cl.RoleGrantPermission(ctx, "nubo", Prefix, clientv3.GetPrefixRangeEnd(Prefix), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := cl.UserGrantRole(ctx, User, "nubo"); return err },
		func() error { _, err := cl.AuthEnable(ctx); return err },
	}
	for i, step := range steps {
		if err := insist(ctx, step); err != nil {
			return fmt.Errorf("prepare etcd for tests, step %d: %w", i+1, err)
		}
	}
	return nil
}

// insist makes a step until it is made: while members elect, one may fail, or be made and not be answered.
func insist(ctx context.Context, step func() error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := step()
		switch {
		case err == nil, errors.Is(err, rpctypes.ErrUserAlreadyExist), errors.Is(err, rpctypes.ErrRoleAlreadyExist):
			return nil
		case errors.Is(err, rpctypes.ErrUserEmpty): // authentication is on, and we are nobody
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Config is how the tests reach one state of the cluster. Every name is a state of its own.
func (c *Cluster) Config(name string) etcd.Config {
	return etcd.Config{Endpoints: c.Endpoints, Prefix: Prefix + "/" + name, TLS: c.TLS(), User: User, Password: Password}
}

// Kill ends a member for good.
func (c *Cluster) Kill(i int) {
	_ = c.members[i].Process.Kill() // it may have ended already
	_ = c.members[i].Wait()
}

// Pause stops a member in the middle of what it does: to others it is as if the network to it were cut. Resume lets it go on.
func (c *Cluster) Pause(t testing.TB, i int) {
	t.Helper()
	if err := c.members[i].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Resume lets a paused member go on.
func (c *Cluster) Resume(t testing.TB, i int) {
	t.Helper()
	if err := c.members[i].Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Stop ends all members.
func (c *Cluster) Stop() {
	for i := range c.members {
		c.Kill(i)
	}
	for _, l := range c.logs {
		_ = l.Close() // nothing was written by this process
	}
}

// freePorts finds ports of loopback that nobody listens on.
func freePorts(n int) ([]int, error) {
	var out []int
	for try := 0; len(out) < n; try++ {
		// Below those that the kernel gives to whoever wants any (ip_local_port_range): nobody gets it between now and etcd's start.
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000)))
		if err != nil && try < 100 {
			continue // it is taken
		}
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that none is found twice
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
