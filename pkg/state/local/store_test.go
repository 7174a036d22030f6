package local_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/local"
	"github.com/nuboctl/nuboctl/pkg/state/statetest"
)

type place string

func (p place) Open(t *testing.T) state.Store { return open(t, string(p)) }

func open(t *testing.T, dir string) *local.Store {
	t.Helper()
	s, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(t *testing.T) statetest.Place { return place(t.TempDir()) })
}

// TestMain makes the test program a holder when it is asked to be one: it takes the lease, says so, and waits to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NUBO_TEST_HOLD"); dir != "" {
		hold(dir)
		return
	}
	os.Exit(m.Run())
}

func hold(dir string) {
	s, err := local.Open(dir)
	if err != nil {
		panic(err)
	}
	l, err := s.Acquire(context.Background(), "lab", statetest.Holder("other"))
	if err != nil {
		panic(err)
	}
	if err := s.Commit(context.Background(), l.Fence(), state.Write{Bucket: "b", Key: "k", Value: []byte("v")}); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("held\n")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// startHolder starts another process that holds the lease of dir.
func startHolder(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NUBO_TEST_HOLD="+dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("holder said %q: %v", line, err)
	}
	return cmd
}

func TestOtherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := startHolder(t, dir)
	s := open(t, dir)
	defer s.Close()

	info, held, err := local.Held(dir)
	if err != nil || !held || info.Holder.User != "other" || len(info.Leases) != 1 || info.Leases[0].Scope != "lab" {
		t.Fatalf("%+v %v %v", info, held, err)
	}
	_, err = s.Acquire(t.Context(), "elsewhere", statetest.Holder("me"))
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.Holder.User != "other" {
		t.Fatalf("%v", err)
	}
	// A stopped holder cannot answer; reading does not need it to.
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Get(t.Context(), "b", "k"); err != nil || string(e.Value) != "v" {
		t.Fatalf("%v %v", e, err)
	}
	// A dead holder's lock is free at once.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, held, err := local.Held(dir); held || err != nil {
		t.Fatalf("held %v, %v", held, err)
	}
	l, err := s.Acquire(t.Context(), "lab", statetest.Holder("me"))
	if err != nil || l.Fence().Epoch <= info.Leases[0].Epoch {
		t.Fatalf("%v %v", l, err)
	}
}

func TestLockFileRemoved(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	defer a.Close()
	defer b.Close()
	if _, err := a.Acquire(t.Context(), "", statetest.Holder("a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(t.Context(), "", statetest.Holder("b")); !errors.Is(err, state.ErrLocked) {
		t.Fatalf("two holders: %v", err)
	}
}

func TestLockFileIsReadable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if _, err := s.Acquire(t.Context(), "lab", statetest.Holder("ann")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	var i local.Info
	if err := json.Unmarshal(data, &i); err != nil || i.FormatVersion != 1 || i.Holder != statetest.Holder("ann") {
		t.Fatalf("%s: %v", data, err)
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state.db"), make([]byte, 65536), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	if _, err := s.Get(t.Context(), "b", "k"); !errors.Is(err, state.ErrDamaged) {
		t.Fatalf("%v", err)
	}
}

// TestDiskFull fills a small file system: the error says so, and what was written stays.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, dir)
	defer s.Close()
	l, err := s.Acquire(t.Context(), "", statetest.Holder("ann"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 1000 && err == nil; n++ {
		err = s.Commit(t.Context(), l.Fence(), state.Write{Bucket: "b", Key: string(rune('A' + n)), Value: make([]byte, 50_000)})
	}
	if !errors.Is(err, state.ErrFull) {
		t.Fatalf("after %d writes: %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context(), "b", "")
	if err != nil || len(list) != n-1 {
		t.Fatalf("%d of %d entries are left: %v", len(list), n-1, err)
	}
}
