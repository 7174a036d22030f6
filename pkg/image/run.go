package image

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Event is one report of progress. Done and Total count bytes or pieces where Total is not 0.
type Event struct {
	Image string
	Step  string // cached, resolve, packages, files, compress, done
	Text  string // what is being done, for people
	Done  int64
	Total int64
}

// Progress receives events, one at a time per build. Nil is allowed wherever it is taken.
type Progress func(Event)

func (p Progress) say(image, step, format string, args ...any) {
	if p != nil {
		p(Event{Image: image, Step: step, Text: fmt.Sprintf(format, args...)})
	}
}

// buildEnv is the environment of everything that a build runs: nothing of the caller's but where programs and proxies are.
func buildEnv(more ...string) []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/nonexistent", "DEBIAN_FRONTEND=noninteractive"}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, more...)
}

// stopGrace is how long a program may tidy up after it was told to stop.
const stopGrace = 20 * time.Second

// command prepares a program of a build. As root it runs in a mount namespace of its own, so that whatever it mounts is gone with it
// and can never be reached from the scratch directory that is removed afterwards. It is told to stop when ctx ends and when this process
// dies; for the latter it must be run by runTied.
func command(ctx context.Context, dir string, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, stopGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return cmd
}

// runTied runs a command whose end is tied to this process. The kernel sends Pdeathsig when the *thread* that started the program ends
// (prctl(2)), so that thread is kept.
func runTied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// lastLines is a writer that keeps the end of what a program says and passes every line on.
type lastLines struct {
	mu    sync.Mutex
	lines []string
	pipe  *io.PipeWriter
	done  chan struct{}
}

// keptLines is how much of a failed program's words an error repeats.
const keptLines = 15

func newLastLines(each func(string)) *lastLines {
	r, w := io.Pipe()
	l := &lastLines{pipe: w, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		scan := bufio.NewScanner(r)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			l.mu.Lock()
			l.lines = append(l.lines, scan.Text())
			l.lines = l.lines[max(0, len(l.lines)-keptLines):]
			l.mu.Unlock()
			each(scan.Text())
		}
		_, _ = io.Copy(io.Discard, r) // a line too long to scan must not block the program
	}()
	return l
}

func (l *lastLines) Write(p []byte) (int, error) { return l.pipe.Write(p) }

// end waits until every line was passed on and gives the last ones.
func (l *lastLines) end() string {
	_ = l.pipe.Close()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// tail is the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
