package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this program be the build that gets killed.
func TestMain(m *testing.M) {
	if os.Getenv("NUBO_TEST_BUILD") != "" {
		cmd := command(context.Background(), "/", buildEnv(), "sh", "-c", "echo $$; exec sleep 600")
		cmd.Stdout = os.Stdout
		fmt.Fprintln(os.Stderr, runTied(cmd))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// until waits for a condition, and fails when it does not come about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for tick := time.NewTicker(10 * time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// gone reports whether a process has ended; one that nobody waited for yet (state Z) has.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestProgramsOfAKilledBuildEnd(t *testing.T) {
	build := exec.Command(os.Args[0])
	build.Env = append(os.Environ(), "NUBO_TEST_BUILD=1")
	out, err := build.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if gone(pid) {
		t.Fatal("the program did not run")
	}
	if err := build.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = build.Wait()
	until(t, "the program of the killed build to end", func() bool { return gone(pid) })
}

func TestCancelledProgramEndsWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan string, 1)
	lines := newLastLines(func(line string) { said <- line })
	cmd := command(ctx, "/", buildEnv(), "sh", "-c", "sleep 600 & echo $! >&2; wait")
	cmd.Stderr = lines
	ended := make(chan error, 1)
	go func() { ended <- runTied(cmd) }()
	child, err := strconv.Atoi(<-said)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil || errors.Is(err, syscall.ECHILD) {
		t.Errorf("got %v", err)
	}
	lines.end()
	until(t, "the program's child to end", func() bool { return gone(child) })
}
