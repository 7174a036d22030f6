package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func startSleeper(t *testing.T, r records, script string) Process {
	t.Helper()
	p, err := r.start("sleeper", exec.Command("sh", "-c", script), filepath.Join(string(r), "sleeper.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(context.Background(), time.Second); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcessIsRecordedAndEnded(t *testing.T) {
	r := records(t.TempDir())
	p := startSleeper(t, r, "echo hello; exec sleep 600")
	log := filepath.Join(string(r), "sleeper.log")
	if err := waitFor(t.Context(), "its output", 10*time.Second, func() (bool, error) { return lastLines(log, 1) == "hello", nil }); err != nil {
		t.Fatal(err)
	}
	found, err := r.get("sleeper")
	if err != nil || found != p || !found.Alive() {
		t.Fatalf("record %+v of %+v, %v", found, p, err)
	}
	if err := r.end(t.Context(), "sleeper", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.Alive() || r.alive("sleeper") {
		t.Error("it runs on")
	}
	if err := r.end(t.Context(), "sleeper", time.Second); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

func TestProcessThatIgnoresTERMIsKilled(t *testing.T) {
	r := records(t.TempDir())
	p := startSleeper(t, r, "trap '' TERM; echo ready; while :; do sleep 600; done")
	log := filepath.Join(string(r), "sleeper.log")
	if err := waitFor(t.Context(), "the trap", 10*time.Second, func() (bool, error) { return lastLines(log, 1) == "ready", nil }); err != nil {
		t.Fatal(err)
	}
	if err := p.stop(t.Context(), 50*time.Millisecond); err != nil || p.Alive() {
		t.Errorf("alive %t, %v", p.Alive(), err)
	}
}

// A record may outlive its process, and the pid may be another's by then.
func TestForeignProcessIsNotTouched(t *testing.T) {
	r := records(t.TempDir())
	p := startSleeper(t, r, "exec sleep 600")
	for name, other := range map[string]Process{
		"other start": {Name: "x", PID: p.PID, Start: p.Start + 1, Boot: p.Boot},
		"other boot":  {Name: "x", PID: p.PID, Start: p.Start, Boot: "earlier"},
		"none":        {},
	} {
		if other.Alive() {
			t.Errorf("%s: taken for the recorded one", name)
		}
		if err := other.stop(t.Context(), time.Second); err != nil || !p.Alive() {
			t.Errorf("%s: stopped a foreign process: %v", name, err)
		}
	}
}

func TestBrokenRecordIsAnError(t *testing.T) {
	r := records(t.TempDir())
	if err := os.WriteFile(r.file("broken"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.list(); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("list: %v", err)
	}
}

func TestStartOfWhatIsNotThere(t *testing.T) {
	r := records(t.TempDir())
	if _, err := r.start("gone", exec.Command("/nonexistent"), filepath.Join(string(r), "log")); err == nil || r.alive("gone") {
		t.Errorf("start: %v", err)
	}
}

func TestWaitForSaysWhat(t *testing.T) {
	err := waitFor(t.Context(), "the moon", time.Millisecond, func() (bool, error) { return false, nil })
	if err == nil || !strings.Contains(err.Error(), "the moon") {
		t.Errorf("error %v", err)
	}
}
