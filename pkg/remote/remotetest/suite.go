// Package remotetest holds the conformance suite of remote.Host and a real OpenSSH server for tests.
package remotetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Suite is what every driver of remote.Host passes. The host must see the file system and the loopback of the test.
func Suite(t *testing.T, open func(t *testing.T) remote.Host) {
	for name, test := range map[string]func(*testing.T, remote.Host){
		"output and status":          testRun,
		"quoting":                    testQuoting,
		"stdin":                      testStdin,
		"streams":                    testStreams,
		"signal":                     testSignal,
		"limit on the host":          testLimit,
		"cancel":                     testCancel,
		"deadline already over":      testOver,
		"secrets":                    testSecrets,
		"too much output":            testTooMuch,
		"side by side":               testParallel,
		"write":                      testWrite,
		"write cut short":            testWriteCutShort,
		"write where nothing can be": testWriteNowhere,
		"ensure":                     testEnsure,
		"dial":                       testDial,
		"dial where nobody listens":  testDialRefused,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func run(t *testing.T, h remote.Host, cmd remote.Command) remote.Result {
	t.Helper()
	res, err := h.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("run %s: %v", cmd, err)
	}
	return res
}

func testRun(t *testing.T, h remote.Host) {
	res, err := h.Run(t.Context(), remote.Command{Script: "echo out; echo err >&2; exit 7"})
	if string(res.Stdout) != "out\n" || string(res.Stderr) != "err\n" {
		t.Errorf("got stdout %q, stderr %q", res.Stdout, res.Stderr)
	}
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || exit.Stderr != "err" || exit.Host == "" {
		t.Errorf("got error %#v, want exit status 7 with stderr", err)
	}
	if _, err := h.Run(t.Context(), remote.Command{}); err == nil {
		t.Error("an empty command was run")
	}
	if _, err := h.Run(t.Context(), remote.Command{Script: "false; echo no"}); err == nil {
		t.Error("a script goes on after a failure")
	}
}

func testQuoting(t *testing.T, h remote.Host) {
	args := []string{"", " ", "a b", "it's", `"`, "$HOME", "`id`", "\\", "a\nb", "*", "~", "-n", "ü", "!x", "a;b", "\x01\xff", "#", "=x", "{a,b}"}
	res := run(t, h, remote.Command{Argv: append([]string{"printf", `%s\0`}, args...)})
	if want := strings.Join(args, "\x00") + "\x00"; string(res.Stdout) != want {
		t.Errorf("arguments arrived as %q, want %q", res.Stdout, want)
	}
}

func testStdin(t *testing.T, h remote.Host) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	res := run(t, h, remote.Command{Argv: []string{"cat"}, Stdin: bytes.NewReader(big)})
	if !bytes.Equal(res.Stdout, big) {
		t.Errorf("%d bytes went in, %d came back", len(big), len(res.Stdout))
	}
	if res := run(t, h, remote.Command{Argv: []string{"cat"}}); len(res.Stdout) != 0 {
		t.Errorf("no stdin, but %q was read", res.Stdout)
	}
	run(t, h, remote.Command{Argv: []string{"true"}, Stdin: bytes.NewReader(big)}) // not read: no error
}

func testStreams(t *testing.T, h remote.Host) {
	var out, errs bytes.Buffer
	res, err := h.Run(t.Context(), remote.Command{Script: "echo a; echo b >&2; exit 1", Stdout: &out, Stderr: &errs})
	if out.String() != "a\n" || errs.String() != "b\n" || res.Stdout != nil || res.Stderr != nil {
		t.Errorf("streams got %q and %q, result %q", out.String(), errs.String(), res)
	}
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Stderr != "b" {
		t.Errorf("error %v does not have the streamed stderr", err)
	}
}

func testSignal(t *testing.T, h remote.Host) {
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "kill -TERM $$"}})
	var exit *remote.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("got %v, want an ExitError", err)
	}
	// A login shell that stays in between tells a signal as status 128+15 (XCU 2.8.2).
	if !(exit.Code == -1 && exit.Signal == "TERM") && exit.Code != 143 {
		t.Errorf("got %+v, want signal TERM", exit)
	}
}

func testLimit(t *testing.T, h remote.Host) {
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sleep", "600"}, Limit: time.Second})
	if code, ok := remote.ExitCode(err); !ok || code != 124 {
		t.Errorf("got %v, want exit status 124 of timeout", err)
	}
}

func testCancel(t *testing.T, h remote.Host) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("operator pressed Ctrl-C")
	stdin, keep := io.Pipe()
	defer keep.Close()
	started := make(chan struct{})
	go func() {
		<-started
		cancel(why)
	}()
	_, err := h.Run(ctx, remote.Command{Script: "echo started; exec cat", Stdin: stdin, Stdout: signalWriter{started}})
	if !errors.Is(err, why) {
		t.Errorf("got %v, want the cause of the cancellation", err)
	}
	run(t, h, remote.Command{Argv: []string{"true"}}) // the host is as good as before
}

// signalWriter closes its channel at the first write.
type signalWriter struct{ first chan struct{} }

func (w signalWriter) Write(p []byte) (int, error) {
	select {
	case <-w.first:
	default:
		close(w.first)
	}
	return len(p), nil
}

func testOver(t *testing.T, h remote.Host) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mark := filepath.Join(t.TempDir(), "mark")
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"touch", mark}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(mark); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the command was run after its time: %v", err)
	}
}

func testSecrets(t *testing.T, h remote.Host) {
	const secret = "s3cr3t value"
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"echo", secret}, Secrets: []string{secret}})
	if !errors.Is(err, remote.ErrSecretInArgs) {
		t.Errorf("got %v, want ErrSecretInArgs", err)
	}
	_, failed := h.Run(t.Context(), remote.Command{Script: "cat >&2; exit 1", Stdin: strings.NewReader(secret), Secrets: []string{secret}})
	for _, err := range []error{err, failed} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error is missing or shows the secret: %v", err)
		}
	}
}

func testTooMuch(t *testing.T, h remote.Host) {
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"head", "-c", "34000000", "/dev/zero"}})
	if !errors.Is(err, remote.ErrTooMuchOutput) {
		t.Errorf("got %v, want ErrTooMuchOutput", err)
	}
}

func testParallel(t *testing.T, h remote.Host) {
	var wg sync.WaitGroup
	for i := range 24 { // more than sshd's MaxSessions
		wg.Go(func() {
			word := strings.Repeat("x", i+1)
			res, err := h.Run(t.Context(), remote.Command{Argv: []string{"echo", word}})
			if err != nil || string(res.Stdout) != word+"\n" {
				t.Errorf("command %d: %q, %v", i, res.Stdout, err)
			}
		})
	}
	wg.Wait()
}

func testDial(t *testing.T, h remote.Host) {
	for _, network := range []string{"unix", "tcp"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "sock")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go echo(l)
		conn, err := h.Dial(t.Context(), network, l.Addr().String())
		if err != nil {
			t.Fatalf("dial %s: %v", network, err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
			t.Errorf("%s: got %q, %v", network, got, err)
		}
	}
	if _, err := h.Dial(t.Context(), "udp", "127.0.0.1:9"); err == nil {
		t.Error("udp was dialled")
	}
}

// echo serves one connection.
func echo(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.Copy(c, c) // the other side sees what is missing
}

func testDialRefused(t *testing.T, h remote.Host) {
	_, err := h.Dial(t.Context(), "unix", filepath.Join(t.TempDir(), "nobody"))
	if !errors.Is(err, remote.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}
