package etcd_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/etcd/etcdtest"
	"github.com/nuboctl/nuboctl/pkg/state/statetest"
)

// patience bounds every wait of these tests.
const patience = 5 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// holdIn is another process that holds "lab" and appends to the journal and counts in the store, for ever, saying "wrote" each time; when it is
// refused it says why and ends.
func holdIn(cfg etcd.Config) {
	s, err := etcd.Open(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	l, err := s.Acquire(context.Background(), "lab", statetest.Holder("other"))
	if err != nil {
		panic(err)
	}
	j, err := s.Journal(context.Background(), l)
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		_, err1 := j.Append(context.Background(), intent("other", i))
		err2 := s.Commit(context.Background(), l.Fence(), state.Write{Bucket: "b", Key: "k", Value: []byte("other")})
		if err := errors.Join(err1, err2); err != nil {
			os.Stdout.WriteString("refused: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
			// What etcd had done before the process was stopped may be acknowledged after it goes on; everything else is refused.
			if (err1 == nil || errors.Is(err1, state.ErrFenced)) && errors.Is(err2, state.ErrFenced) {
				os.Stdout.WriteString("fenced\n")
			}
			return
		}
		os.Stdout.WriteString("wrote\n")
	}
}

// TestStoppedHolder stops a holder for longer than its lease. Somebody else takes over; when the first one goes on, it changes nothing.
func TestStoppedHolder(t *testing.T) {
	cfg := fresh()
	cfg.TTL = etcd.MinTTL
	cmd := holding(cfg)
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
	if !said.Scan() || said.Text() != "wrote" {
		t.Fatalf("it said %q", said.Text())
	}
	s := open(t, cfg) // before the other one is stopped: its lease should not end while we log in
	defer closing(t, s)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err = s.Acquire(t.Context(), "lab/r1", statetest.Holder("ann"))
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.Holder.User != "other" || !strings.Contains(locked.Remedy, "state unlock") {
		t.Fatalf("%v", err)
	}
	var l state.Lease
	until(t, "the lease of the stopped process to end", func() bool {
		l, err = s.Acquire(t.Context(), "lab/r1", statetest.Holder("ann"))
		return err == nil
	})
	j := openJournal(t, s, l)
	mine := appendTo(t, j, intent("mine", 0))
	if err := s.Commit(t.Context(), l.Fence(), state.Write{Bucket: "b", Key: "k", Value: []byte("mine")}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for said.Scan() {
		lines = append(lines, said.Text())
	}
	if err := cmd.Wait(); err != nil || len(lines) == 0 || lines[len(lines)-1] != "fenced" {
		t.Fatalf("it ended with %v and said %v", err, lines)
	}
	if e, err := s.Get(t.Context(), "b", "k"); err != nil || string(e.Value) != "mine" {
		t.Fatalf("k is %q: %v", e.Value, err)
	}
	if n := verified(t, s); n != mine.Seq {
		t.Fatalf("%d records, the newest should be %d", n, mine.Seq)
	}
	closing(t, j)
}

// holding is a process of its own that takes a lease, writes a record and says "wrote" (TestMain).
func holding(cfg etcd.Config) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NUBO_TEST_HOLD="+strings.TrimPrefix(cfg.Prefix, etcdtest.Prefix+"/"), "NUBO_TEST_DIR="+cluster().Dir, "NUBO_TEST_ETCD="+strings.Join(cfg.Endpoints, ","))
	return cmd
}

// TestDeadHolder: a holder on this machine that was killed leaves a lease that is known to be nobody's.
func TestDeadHolder(t *testing.T) {
	cfg := fresh()
	cmd := holding(cfg)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	said.Scan()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if said.Text() != "wrote" {
		t.Fatalf("it said %q", said.Text())
	}
	s := open(t, cfg)
	defer closing(t, s)
	if e := acquire(t, s, "").Fence().Epoch; e != 2 {
		t.Fatalf("epoch %d", e)
	}
}

// TestMembersFail kills one member and cuts another off, of three. With one gone everything goes on. With two gone nothing is written; what was
// begun comes to its end when one of them is back before the lease ends, and the lease is lost when not.
func TestMembersFail(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of its own")
	}
	own, err := etcdtest.Start(t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	cfg := own.Config("faults")
	cfg.TTL = 10 * time.Minute // longer than the test is without a majority
	s := open(t, cfg)
	j := openJournal(t, s, acquire(t, s, "lab"))
	short := own.Config("faults")
	short.TTL = etcd.MinTTL
	brief := open(t, short)
	appendTo(t, j, intent("r", 0))
	own.Kill(0)
	appendTo(t, j, intent("r", 1))
	var briefLease state.Lease
	var bj *etcd.Journal
	until(t, "a short lease to be held for long enough to write under it", func() bool { // members that elect may let one end
		l, err := brief.Acquire(t.Context(), "elsewhere", statetest.Holder("ann"))
		if err != nil {
			return false
		}
		bj, err = brief.Journal(t.Context(), l)
		if err == nil {
			_, err = bj.Append(t.Context(), intent("elsewhere", 0))
		}
		briefLease = l
		return err == nil
	})
	own.Pause(t, 1)
	var appended error
	done := make(chan struct{})
	go func() { defer close(done); _, appended = j.Append(t.Context(), intent("r", 2)) }()
	select {
	case <-briefLease.Lost():
	case <-time.After(patience):
		t.Fatal("the lease was not lost without a majority")
	}
	if _, err := bj.Append(t.Context(), intent("elsewhere", 1)); !errors.Is(err, state.ErrFenced) {
		t.Fatalf("without a majority: %v", err)
	}
	select {
	case <-done:
		t.Fatalf("a record was acknowledged without a majority: %v", appended)
	default:
	}
	own.Resume(t, 1)
	<-done
	if appended != nil {
		t.Fatal(appended)
	}
	appendTo(t, j, intent("r", 3))
	if n := verified(t, s); n != 5 {
		t.Fatalf("%d records", n)
	}
	closing(t, j)
	closing(t, bj)
	closing(t, brief)
	closing(t, s)
}

// TestWrongCredentials: what is refused says so, and what to do.
func TestWrongCredentials(t *testing.T) {
	cfg := fresh()
	cfg.Password = "wrong-secret"
	_, err := etcd.Open(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "credentials") || strings.Contains(err.Error(), cfg.Password) {
		t.Fatal(err)
	}
	cfg = fresh()
	cfg.Prefix = "/somebody-elses"
	s := open(t, cfg)
	defer closing(t, s)
	if _, err := s.Get(t.Context(), "b", "k"); err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "role") {
		t.Fatal(err)
	}
}
