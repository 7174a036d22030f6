package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

var blade = model.Node{Path: "lab/r1/az1/a/blade-01", Name: "blade-01"}

// world plays drivers, BMCs and the journal.
type world struct {
	apply, verify error
	says          string   // over Serial-over-LAN; listening is refused when empty
	log           []string // the BMC's; none: it keeps no log
	heard         chan struct{}

	mu        sync.Mutex
	listening int
	seq       int64
}

func (w *world) RecordConsole(ctx context.Context, _ model.Node, out io.Writer) error {
	if w.says == "" {
		return &bmc.Error{Op: "record", Kind: bmc.ErrBusy, Cause: errors.New("somebody else listens")}
	}
	w.count(1)
	defer w.count(-1)
	if _, err := io.WriteString(out, w.says); err != nil {
		return err
	}
	close(w.heard)
	<-ctx.Done()
	return nil
}

func (w *world) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listening += n
}

func (w *world) ConsoleLog(context.Context, model.Node) ([]string, error) {
	if w.log == nil {
		return nil, &bmc.Error{Op: "read", Kind: bmc.ErrUnsupported}
	}
	return w.log, nil
}

func (w *world) Check(context.Context, plan.Op) error { return nil }
func (w *world) Apply(context.Context, plan.Op, func(plan.Progress)) error {
	if w.says != "" {
		<-w.heard
	}
	return w.apply
}
func (w *world) Verify(context.Context, plan.Op) error { return w.verify }
func (w *world) Probe(context.Context, plan.Op) (plan.Outcome, error) {
	return plan.Unknown, nil
}

func (w *world) Append(_ context.Context, r state.Record) (state.Record, error) {
	w.seq++
	r.Seq, r.Time = w.seq, time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return r, nil
}
func (w *world) Runs() []state.RunState                     { return nil }
func (w *world) Finished(model.Digest) (state.Record, bool) { return state.Record{}, false }

// agentError is a failure that the agent has told of.
type agentError struct{}

func (agentError) Error() string { return "the disk is too small" }
func (agentError) Log() []string { return []string{"agent: image", "agent: no room"} }

// play runs one op as the engine does: apply, verify, and a record of how it ended.
func play(t *testing.T, w *world, kind plan.Kind) (Store, error) {
	t.Helper()
	w.heard = make(chan struct{})
	s := Store{Dir: filepath.Join(t.TempDir(), "consoles")}
	k := New(s, w, []model.Node{blade}, slog.New(slog.DiscardHandler))
	op := plan.Op{ID: plan.ID(kind, plan.NodeSubject(blade.Path)), Kind: kind, Target: plan.NodeSubject(blade.Path)}
	var d engine.Driver = k.Driver(w)
	j := k.Journal(w)
	end := state.Record{Kind: state.KindDone, OpID: op.ID, Run: "run-1"}
	err := d.Apply(t.Context(), op, nil)
	if err == nil {
		err = d.Verify(t.Context(), op)
	}
	if err != nil {
		end.Kind, end.Error = state.KindFailed, err.Error()
	}
	for _, r := range []state.Record{{Kind: state.KindNote, OpID: "another node:x"}, end} {
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	k.Close()
	if w.listening != 0 {
		t.Errorf("%d consoles are still listened to", w.listening)
	}
	return s, err
}

func TestWhatIsKept(t *testing.T) {
	broken := errors.New("it does not answer")
	const refused = "not supported|busy" // by whichever was asked last
	for name, c := range map[string]struct {
		w     *world
		kind  plan.Kind
		want  Record // without what is always the same; its zero value: nothing is kept
		shown string // the last line that is shown with the error
	}{
		"heard": {&world{apply: broken, says: "BIOS\r\nKernel panic\r\n"}, plan.HostVerify,
			Record{Source: "Serial-over-LAN", Console: []string{"BIOS", "Kernel panic"}}, "(2 lines of its console are kept: nuboctl journal console blade-01)"},
		"found wrong": {&world{verify: broken, says: "panic\n"}, plan.SlotBoot,
			Record{Source: "Serial-over-LAN", Console: []string{"panic"}}, "(1 lines of its console are kept: nuboctl journal console blade-01)"},
		"in the BMC's log": {&world{apply: broken, log: []string{"one", "\x1b[1mtwo\x1b[0m"}}, plan.PowerOn,
			Record{Source: "the BMC's log of the console", Console: []string{"one", "two"}}, "(2 lines of its console are kept: nuboctl journal console blade-01)"},
		"the agent's too": {&world{apply: fmt.Errorf("install: %w", agentError{}), says: "panic\n"}, plan.InstallWait,
			Record{Source: "Serial-over-LAN", Console: []string{"panic"}, Agent: agentError{}.Log()}, "(1 lines of its console are kept: nuboctl journal console blade-01)"},
		"the agent's alone":       {&world{apply: agentError{}}, plan.InstallWait, Record{Missing: refused, Agent: agentError{}.Log()}, "agent: no room"},
		"silent":                  {&world{apply: broken, log: []string{}}, plan.InstallWait, Record{Missing: "the console printed nothing"}, ""},
		"no console":              {&world{apply: broken}, plan.HostStart, Record{Missing: refused}, ""},
		"another kind of op":      {&world{apply: broken, log: []string{"one"}}, plan.BMCIdentify, Record{}, ""},
		"one that needs no start": {&world{apply: broken, log: []string{"one"}}, plan.KVMEnsure, Record{}, ""},
		"done":                    {&world{says: "login:\n"}, plan.HostVerify, Record{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := play(t, c.w, c.kind)
			got, rerr := s.Newest(func(p model.Path) bool { return p == blade.Path }, 0)
			if c.want.Source == "" && c.want.Missing == "" {
				if !errors.Is(rerr, ErrNotFound) {
					t.Errorf("%+v is kept, %v", got, rerr)
				}
				return
			}
			want := c.want
			want.FormatVersion, want.Seq, want.Time, want.Run, want.Node = FormatVersion, 2, time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), "run-1", blade.Path
			want.Op, want.Error = plan.ID(c.kind, plan.NodeSubject(blade.Path)), err.Error()
			if want.Missing == refused && (strings.Contains(got.Missing, "not supported") || strings.Contains(got.Missing, "busy")) {
				want.Missing = got.Missing
			}
			if rerr != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("kept %+v, %v\nwant %+v", got, rerr, want)
			}
			var log interface{ Log() []string }
			if !errors.As(err, &log) {
				t.Fatalf("%v has no last lines", err)
			}
			shown := ""
			if l := log.Log(); len(l) > 0 {
				shown = l[len(l)-1]
			}
			if shown != c.shown {
				t.Errorf("shown last: %q, want %q", shown, c.shown)
			}
			if c.w.apply != nil && !errors.Is(err, c.w.apply) && !strings.Contains(err.Error(), "disk is too small") {
				t.Errorf("%v hides what went wrong", err)
			}
		})
	}
}

func TestInterruptedOpsKeepNothing(t *testing.T) {
	w := &world{apply: errors.New("stopped"), log: []string{"one"}}
	k := New(Store{Dir: t.TempDir()}, w, []model.Node{blade}, slog.New(slog.DiscardHandler))
	defer k.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := plan.Op{ID: "x", Kind: plan.OVSEnsure, Target: plan.NodeSubject(blade.Path)}
	err := k.Driver(w).Apply(ctx, op, nil)
	var log interface{ Log() []string }
	if !errors.Is(err, w.apply) || errors.As(err, &log) {
		t.Errorf("an op that was interrupted: %v with %v", err, log)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "consoles")}
	for i := range maxRecords + 10 {
		if err := s.Put(Record{Seq: int64(i + 1), Node: blade.Path, Console: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != maxRecords || list[0].Seq != 11 {
		t.Fatalf("%d are kept, from %+v, %v; want %d from 11", len(list), list[0], err, maxRecords)
	}
	info, err := os.Stat(filepath.Join(s.Dir, list[0].file))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a kept console can be read by others: %v, %v", info.Mode(), err)
	}
	if r, err := s.Newest(nil, 42); err != nil || r.Seq != 42 || r.Node != blade.Path {
		t.Errorf("by its number: %+v, %v", r, err)
	}
	if _, err := s.Newest(nil, 3); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that was dropped: %v", err)
	}
}
