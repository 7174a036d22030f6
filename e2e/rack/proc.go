//go:build e2e

package rack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Run is one program's run on a station.
type Run struct {
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// All is everything that the program printed.
func (r Run) All() string { return r.Stdout + r.Stderr }

// Proc is a program that runs on a station.
type Proc struct {
	name    string
	cmd     *exec.Cmd
	out     buffer
	errOut  buffer
	started time.Time
	done    chan struct{}
	err     error
}

// buffer can be read while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// patience is how long an interrupted program has to stop before it is killed.
const patience = 90 * time.Second

// Begin starts a program on a station: "ws" stands on the provisioning network, "ops" does not, "jump" is the host between them. stdin may be
// nil. It is ended with the test.
func (r *Rack) Begin(t *testing.T, station string, stdin io.Reader, argv ...string) *Proc {
	t.Helper()
	return r.begin(t, io.Discard, station, stdin, argv...)
}

// begin also shows what comes on stderr as it comes, so that a watcher of the test sees progress.
func (r *Rack) begin(t *testing.T, show io.Writer, station string, stdin io.Reader, argv ...string) *Proc {
	t.Helper()
	full := r.labArgs(append([]string{"exec", "--in", station, "--"}, argv...)...)
	p := &Proc{name: strings.Join(argv, " "), cmd: exec.Command(full[0], full[1:]...), started: time.Now(), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = r.Root, stdin, &p.out, io.MultiWriter(&p.errOut, show)
	p.cmd.WaitDelay = 10 * time.Second // for children that keep the output open
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.end() })
	return p
}

// Interrupt is Ctrl-C.
func (p *Proc) Interrupt() { _ = p.cmd.Process.Signal(os.Interrupt) }

// Kill is kill -9, some time from now. It returns when the program is gone; ended says that it had come to its end before.
func (p *Proc) Kill(ctx context.Context, t *testing.T, after time.Duration) (run Run, ended bool) {
	t.Helper()
	late := time.NewTimer(after)
	defer late.Stop()
	select {
	case <-late.C:
	case <-p.done:
		return p.Wait(ctx, t), true
	}
	_ = p.cmd.Process.Kill()
	run = p.Wait(ctx, t)
	return run, p.cmd.ProcessState.Exited()
}

// Sleep stops the program for a time, as a workstation does whose lid is closed. It must not have ended.
func (p *Proc) Sleep(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	awake := time.NewTimer(d)
	defer awake.Stop()
	select {
	case <-awake.C:
	case <-ctx.Done():
		t.Errorf("it was to sleep for %s (%v)", d, context.Cause(ctx))
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("continue %s: %v", p.name, err)
	}
}

// PID is the process: nubo-lab and ip replace themselves by the program.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the program has ended.
func (p *Proc) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Stderr is what it has printed so far.
func (p *Proc) Stderr() string { return p.errOut.String() }

// Stdout is what it has printed so far.
func (p *Proc) Stdout() string { return p.out.String() }

func (p *Proc) end() {
	p.Interrupt()
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.done
}

// Wait returns when the program has ended, whatever its exit code. It is interrupted when the context ends, and the test fails.
func (p *Proc) Wait(ctx context.Context, t *testing.T) Run {
	t.Helper()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.end()
		t.Fatalf("%s did not end (%v); it printed:\n%s%s", p.name, context.Cause(ctx), p.Stdout(), p.Stderr())
	}
	run := Run{Stdout: p.Stdout(), Stderr: p.Stderr(), Took: time.Since(p.started)}
	var exit *exec.ExitError
	switch {
	case errors.As(p.err, &exit):
		run.Code = exit.ExitCode()
	case p.err != nil:
		t.Fatalf("%s: %v\n%s", p.name, p.err, run.All())
	}
	return run
}

// On runs a program on a station to its end.
func (r *Rack) On(ctx context.Context, t *testing.T, station string, argv ...string) Run {
	t.Helper()
	return r.Begin(t, station, nil, argv...).Wait(ctx, t)
}

// Must is On for a program that has to succeed; it returns what it printed to stdout.
func (r *Rack) Must(ctx context.Context, t *testing.T, station string, argv ...string) string {
	t.Helper()
	run := r.On(ctx, t, station, argv...)
	if run.Code != 0 {
		t.Fatalf("%s: exit %d\n%s", strings.Join(argv, " "), run.Code, run.All())
	}
	return run.Stdout
}
