package remote_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// TestFencedSuite: under an epoch everything works as without.
func TestFencedSuite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nubo", "epoch")
	remotetest.Suite(t, func(*testing.T) remote.Host { return remote.Fenced{Host: remote.Local{}, Epoch: 7, File: file} })
}

func epochIn(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestFence(t *testing.T) {
	dir := t.TempDir()
	file, touched := filepath.Join(dir, "epoch"), filepath.Join(dir, "touched")
	under := func(epoch int64) error {
		h := remote.Fenced{Host: remote.Local{}, Epoch: epoch, File: file}
		_, err := h.Run(t.Context(), remote.Command{Script: "echo " + fmt.Sprint(epoch) + " >>" + touched})
		if werr := h.Write(t.Context(), remote.Bytes(filepath.Join(dir, "file"), 0o600, []byte(fmt.Sprint(epoch)))); (werr == nil) != (err == nil) {
			t.Errorf("epoch %d: running says %v, writing says %v", epoch, err, werr)
		}
		return err
	}
	for _, step := range []struct {
		epoch int64
		ok    bool
		kept  string
	}{{5, true, "5"}, {5, true, "5"}, {4, false, "5"}, {9, true, "9"}, {5, false, "9"}, {10, true, "10"}, {9, false, "10"}, {0, true, "10"}} {
		err := under(step.epoch)
		if (err == nil) != step.ok || (!step.ok && !errors.Is(err, remote.ErrFenced)) {
			t.Fatalf("epoch %d: %v", step.epoch, err)
		}
		if got := epochIn(t, file); got != step.kept {
			t.Fatalf("after epoch %d the host keeps %s", step.epoch, got)
		}
	}
	if got, err := os.ReadFile(touched); err != nil || string(got) != "5\n5\n9\n10\n0\n" {
		t.Fatalf("what was done: %q %v", got, err)
	}
	err := under(9)
	for _, want := range []string{"epoch 9 is older than 10", "nuboctl status"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "flock") {
		t.Errorf("it shows the script: %v", err)
	}
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := under(11); err == nil || !strings.Contains(err.Error(), "holds no epoch") {
		t.Fatalf("a damaged epoch: %v", err)
	}
}

// TestFenceAtOnce: many commands under different epochs at once. From the moment in which the newest has begun, nothing older is done.
func TestFenceAtOnce(t *testing.T) {
	dir := t.TempDir()
	file, log := filepath.Join(dir, "epoch"), filepath.Join(dir, "log")
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			epoch := int64(i%4 + 1)
			_, err := remote.Fenced{Host: remote.Local{}, Epoch: epoch, File: file}.Run(t.Context(), remote.Command{Script: fmt.Sprintf("echo %d >>%s", epoch, log)})
			if err != nil && !errors.Is(err, remote.ErrFenced) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, line := range strings.Fields(string(text)) {
		if line < last {
			t.Fatalf("epoch %s acted after epoch %s:\n%s", line, last, text)
		}
		last = line
	}
	if last != "4" {
		t.Fatalf("the newest epoch never acted:\n%s", text)
	}
}

// TestFenceWaits: a newer holder waits until a change under the older epoch has ended.
func TestFenceWaits(t *testing.T) {
	dir := t.TempDir()
	file, log := filepath.Join(dir, "epoch"), filepath.Join(dir, "log")
	stdin, feed := io.Pipe()
	began, say := io.Pipe()
	old := make(chan error, 1)
	go func() {
		_, err := remote.Fenced{Host: remote.Local{}, Epoch: 1, File: file}.Run(context.Background(), remote.Command{
			Script: "echo began; read -r x; echo old >>" + log, Stdin: stdin, Stdout: say})
		old <- err
	}()
	if line, err := bufio.NewReader(began).ReadString('\n'); err != nil || line != "began\n" {
		t.Fatal(line, err)
	}
	newer := make(chan error, 1)
	go func() {
		_, err := remote.Fenced{Host: remote.Local{}, Epoch: 2, File: file}.Run(context.Background(), remote.Command{Script: "echo new >>" + log})
		newer <- err
	}()
	waitForLock(t, file+".lock", newer)
	if _, err := io.WriteString(feed, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-old, <-newer); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(log); string(got) != "old\nnew\n" {
		t.Fatalf("%q", got)
	}
}

// waitForLock waits until somebody waits for a lock of a file (proc_locks(5): such a line has "->").
func waitForLock(t *testing.T, file string, ended <-chan error) {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", st.Sys().(*syscall.Stat_t).Ino)
	end := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(locks), "\n") {
			if strings.Contains(line, "->") && strings.Contains(line, inode) {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		case <-end:
			t.Fatal("nobody waits for the lock")
		case <-tick.C:
		}
	}
}

// listen is a service on a socket of the host that says what it hears.
func listen(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
}

// TestFencedTunnel: what is tunnelled under an older epoch ends when a newer one comes, and no new tunnel is opened.
func TestFencedTunnel(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	dir := t.TempDir()
	file, sock := filepath.Join(dir, "epoch"), filepath.Join(dir, "s")
	listen(t, sock)
	open := func(epoch int64) remote.Fenced {
		link := remote.NewLink(remote.To(sshd.Target()))
		t.Cleanup(func() { _ = link.Close() })
		return remote.Fenced{Host: link, Epoch: epoch, File: file}
	}
	old, newer := open(1), open(2)
	tunnel, err := old.Dial(t.Context(), "unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	echo := func(c net.Conn) error {
		if _, err := io.WriteString(c, "x"); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := echo(tunnel); err != nil {
		t.Fatal(err)
	}
	beside, err := open(1).Dial(t.Context(), "unix", sock) // the same epoch does not disturb itself
	if err != nil || echo(tunnel) != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	mine, err := newer.Dial(t.Context(), "unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	for _, c := range []net.Conn{tunnel, beside} {
		if _, err := io.ReadAll(c); err == nil {
			err = echo(c)
			if err == nil {
				t.Fatal("the old tunnel is still there")
			}
		}
	}
	if err := echo(mine); err != nil {
		t.Fatalf("the new tunnel: %v", err)
	}
	if _, err := old.Dial(t.Context(), "unix", sock); !errors.Is(err, remote.ErrFenced) {
		t.Fatalf("a new tunnel under the old epoch: %v", err)
	}
	if _, err := old.Run(t.Context(), remote.Command{Argv: []string{"true"}}); !errors.Is(err, remote.ErrFenced) {
		t.Fatal(err)
	}
	if err := echo(mine); err != nil {
		t.Fatalf("the new tunnel, after the old holder came again: %v", err)
	}
}

// TestMain makes the test program a holder of epoch 1 when it is asked to be one: it changes the host over SSH, again and again, until it is refused.
func TestMain(m *testing.M) {
	if addr := os.Getenv("NUBO_TEST_STALE"); addr != "" {
		stale(addr, os.Getenv("NUBO_TEST_STALE_DIR"), os.Getenv("NUBO_TEST_STALE_USER"))
		return
	}
	os.Exit(m.Run())
}

func stale(addr, dir, user string) {
	key, err := os.ReadFile(filepath.Join(dir, "login"))
	if err != nil {
		panic(err)
	}
	login, err := remote.ParseKey(key)
	if err != nil {
		panic(err)
	}
	caText, err := os.ReadFile(filepath.Join(dir, "ca"))
	if err != nil {
		panic(err)
	}
	ca, err := remote.NewAuthority(caText)
	if err != nil {
		panic(err)
	}
	known, err := os.ReadFile(filepath.Join(dir, "host"))
	if err != nil {
		panic(err)
	}
	keys, err := remote.KnownHosts{"h": strings.Split(strings.TrimSpace(string(known)), "\n")}.Keys("h")
	if err != nil {
		panic(err)
	}
	link := remote.NewLink(remote.To(remote.Target{Name: "h", Address: addr, User: user, HostKeys: keys, Login: func(string) (ssh.Signer, error) {
		cert, err := ca.UserCertificate(login.PublicKey(), "stale", []string{user}, time.Now(), time.Hour)
		if err != nil {
			return nil, err
		}
		return ssh.NewCertSigner(cert, login)
	}}))
	h := remote.Fenced{Host: link, Epoch: 1, File: filepath.Join(dir, "epoch")}
	for {
		_, err := h.Run(context.Background(), remote.Command{Script: "echo stale >>" + filepath.Join(dir, "log")})
		switch {
		case err == nil:
			os.Stdout.WriteString("did\n")
		case errors.Is(err, remote.ErrFenced):
			os.Stdout.WriteString("fenced\n")
			return
		case errors.Is(err, remote.ErrUnreachable): // its connection was ended: it comes again
		default:
			os.Stdout.WriteString(strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
			return
		}
	}
}

// TestStoppedHolder stops a process that changes the host, somebody with a newer epoch takes over, and the first one goes on: it changes nothing more.
func TestStoppedHolder(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	dir := t.TempDir()
	login, _, err := remote.NewKey("stale")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, k := range sshd.HostKeys {
		known = append(known, remote.AuthorizedKey(k))
	}
	for name, text := range map[string][]byte{"login": login, "ca": sshd.CAKey, "host": []byte(strings.Join(known, "\n"))} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NUBO_TEST_STALE="+sshd.Addr, "NUBO_TEST_STALE_DIR="+dir, "NUBO_TEST_STALE_USER="+sshd.Target().User)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	said := bufio.NewScanner(out)
	for range 3 {
		if !said.Scan() || said.Text() != "did" {
			t.Fatalf("it said %q", said.Text())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h := remote.Fenced{Host: sshd.Connect(t), Epoch: 2, File: filepath.Join(dir, "epoch")}
	if _, err := h.Run(t.Context(), remote.Command{Script: "echo new >>" + filepath.Join(dir, "log")}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	last := ""
	for said.Scan() {
		last = said.Text()
	}
	if err := cmd.Wait(); err != nil || last != "fenced" {
		t.Fatalf("it ended with %v and said %q at last", err, last)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || !strings.HasSuffix(string(log), "stale\nnew\n") || strings.Count(string(log), "new") != 1 {
		t.Fatalf("%q %v", log, err)
	}
}
