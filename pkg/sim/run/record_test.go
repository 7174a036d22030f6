package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
)

var recordSettings = run.Settings{Program: "v1", Fleet: "tiny", Faults: "default"}

// recordedSet takes two lines of a record, one of them not full.
func recordedSet() run.Set {
	return run.Set{Rollouts: 55, Seed: 7, Faults: "default", Fleet: run.Generated(plantest.Tiny)}
}

// recorded carries the set out with a record, and gives its summary as text.
func recorded(t *testing.T, ctx context.Context, name string, s run.Set) (string, error) {
	t.Helper()
	r, err := run.OpenRecord(name, recordSettings)
	if err != nil {
		t.Fatal(err)
	}
	tally, failed := run.Recorded(ctx, s, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return text(t, tally), failed
}

func text(t *testing.T, tally run.Tally) string {
	t.Helper()
	out, err := json.Marshal(tally.Summary())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestARecordGoesOnWhereverItWasCut cuts a record off within and behind its lines.
func TestARecordGoesOnWhereverItWasCut(t *testing.T) {
	want := text(t, run.Many(t.Context(), recordedSet()))
	name := filepath.Join(t.TempDir(), "record")
	if got, err := recorded(t, t.Context(), name, recordedSet()); got != want || err != nil {
		t.Fatalf("with a record: %s, %v; without: %s", got, err, want)
	}
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.IndexByte(all, '\n') + 1
	first := head + bytes.IndexByte(all[head:], '\n') + 1
	for _, cut := range []int{head / 2, head, first - 1, first, first + 10, len(all)} {
		if err := os.WriteFile(name, all[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := recorded(t, t.Context(), name, recordedSet()); got != want || err != nil {
			t.Errorf("cut at %d of %d: %s, %v; want %s", cut, len(all), got, err, want)
		}
		if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, all) {
			t.Errorf("cut at %d of %d: the file is another in the end, %v", cut, len(all), err)
		}
	}
}

// TestAnInterruptedRecordTellsOfWholeLines interrupts a set in its second line, and goes on with more rollouts than before.
func TestAnInterruptedRecordTellsOfWholeLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "record")
	ctx, cancel := context.WithCancel(t.Context())
	s, calls := recordedSet(), 0
	s.Cores = 1
	s.Fleet = func(seed uint64) (plan.Fleet, plan.Policy) {
		if calls++; calls == 52 {
			cancel()
		}
		return plantest.Fleet(seed, plantest.Tiny)
	}
	got, err := recorded(t, ctx, name, s)
	whole := recordedSet()
	whole.Rollouts = 50
	if want := text(t, run.Many(t.Context(), whole)); got != want || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %s, %v; want %s", got, err, want)
	}
	more := recordedSet()
	more.Rollouts = 60
	got, err = recorded(t, t.Context(), name, more)
	if want := text(t, run.Many(t.Context(), more)); got != want || err != nil {
		t.Errorf("gone on: %s, %v; want %s", got, err, want)
	}
}

func TestARecordOfSomethingElseIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "record")
	r, err := run.OpenRecord(name, recordSettings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.OpenRecord(name, recordSettings); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two writers: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	other := recordSettings
	other.Program = "v2"
	if _, err := run.OpenRecord(name, other); err == nil || !strings.Contains(err.Error(), "v1") {
		t.Errorf("the record of another program: %v", err)
	}
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(all, "not a tally\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run.OpenRecord(name, recordSettings); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line that is no tally: %v", err)
	}
}
