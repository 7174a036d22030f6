package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// recorded is a run of two blades: one is installed, the other is refused by its ramdisk.
func recorded() []engine.Event {
	var out []engine.Event
	at := t0
	add := func(after time.Duration, e engine.Event) {
		at = at.Add(after)
		e.Time, e.Run, e.Stages, e.FormatVersion = at, "r1", 1, 1
		out = append(out, e)
	}
	op := func(k engine.EventKind, kind plan.Kind, sub plan.Subject) engine.Event {
		return engine.Event{Kind: k, Stage: 1, Op: plan.ID(kind, sub), OpKind: kind, Target: sub}
	}
	progress := func(kind plan.Kind, sub plan.Subject, p plan.Progress) engine.Event {
		e := op(engine.OpProgress, kind, sub)
		e.Progress = &p
		return e
	}
	ended := func(kind plan.Kind, sub plan.Subject, s engine.Status, took time.Duration, text, err string) engine.Event {
		e := op(engine.OpEnded, kind, sub)
		e.Status, e.ElapsedMs, e.Text, e.Error = s, took.Milliseconds(), text, err
		return e
	}
	one, two := plan.NodeSubject("lab/r1/az1/a/blade-01"), plan.NodeSubject("lab/r1/az1/a/blade-02")
	add(0, engine.Event{Kind: engine.RunStarted, Ops: 5, Plan: "sha256:12"})
	add(0, engine.Event{Kind: engine.StageStarted, Stage: 1, Title: "hosts", Ops: 5})
	for _, sub := range []plan.Subject{one, two} {
		add(0, op(engine.OpQueued, plan.PowerOff, sub))
		add(0, op(engine.OpStarted, plan.PowerOff, sub))
		add(time.Second, progress(plan.PowerOff, sub, plan.Progress{Waiting: "the machine to be off"}))
	}
	add(time.Second, ended(plan.PowerOff, one, engine.OpDone, 3*time.Second, "", ""))
	add(0, ended(plan.PowerOff, two, engine.OpHeld, 0, "it is so already", ""))
	for _, sub := range []plan.Subject{one, two} {
		add(0, op(engine.OpQueued, plan.InstallWait, sub))
		add(0, op(engine.OpStarted, plan.InstallWait, sub))
	}
	for i := range 3 {
		add(10*time.Second, progress(plan.InstallWait, one, plan.Progress{Text: "image", Done: int64(i) << 28, Total: 1 << 30}))
	}
	add(time.Second, ended(plan.InstallWait, two, engine.OpFailed, 33*time.Second, "", "blade-02: the installer refused, and wrote nothing\nmore"))
	add(0, ended(plan.HostVerify, two, engine.OpSkipped, 0, "install.wait is failed", ""))
	add(0, engine.Event{Kind: engine.RunPaused, Stage: 1})
	add(time.Minute, engine.Event{Kind: engine.RunContinued, Stage: 1})
	add(time.Second, progress(plan.InstallWait, one, plan.Progress{Text: "finish"}))
	add(2*time.Minute, ended(plan.InstallWait, one, engine.OpDone, 4*time.Minute, "", ""))
	add(0, engine.Event{Kind: engine.RunStopping, Stage: 1, Error: "interrupted"})
	add(0, engine.Event{Kind: engine.StageFinished, Stage: 1, Title: "hosts"})
	add(0, engine.Event{Kind: engine.RunFinished, Result: engine.Failed})
	return out
}

func TestLivePlain(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var out, err bytes.Buffer
		l := view.NewLive(&out, &err, view.Style{Color: colour}, view.LiveOptions{})
		for _, e := range recorded() {
			l.Event(e)
		}
		l.Close()
		l.Close() // twice is no error
		if out.Len() > 0 {
			t.Errorf("progress went to the results: %q", &out)
		}
		if !colour && strings.Contains(err.String(), "\x1b") {
			t.Error("plain lines have escape sequences")
		}
		golden(t, "live-plain", []byte(uncolour(err.String())))
	}
}

func TestLiveRedraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(t0)) // the events' time is now
		var out, err bytes.Buffer
		l := view.NewLive(&out, &err, view.Style{Width: 60}, view.LiveOptions{Redraw: true})
		for _, e := range recorded() {
			for e.Time.After(time.Now()) {
				time.Sleep(min(time.Until(e.Time), 7*time.Second)) // the screen is drawn anew meanwhile
				synctest.Wait()
			}
			l.Event(e)
		}
		l.Close()
		if n := strings.Count(err.String(), "\n"); n < 100 || n > 5000 {
			t.Errorf("%d lines were drawn in four minutes", n)
		}
		golden(t, "live-screen", []byte(screen(t, err.String(), 60)))
		if out.Len() > 0 {
			t.Errorf("progress went to the results: %q", &out)
		}
	})
}

// screen is what a terminal shows of what was written to it, and that no line is wider than it.
func screen(t *testing.T, written string, width int) string {
	t.Helper()
	var lines []string
	for _, line := range strings.SplitAfter(written, "\n") {
		for strings.HasPrefix(line, "\x1b[") {
			var up int
			n, err := fmt.Sscanf(line, "\x1b[%dA\x1b[J", &up)
			if n != 1 || err != nil || up > len(lines) {
				t.Fatalf("%q moves the cursor strangely", line)
			}
			lines = lines[:len(lines)-up]
			line = strings.TrimPrefix(line, fmt.Sprintf("\x1b[%dA\x1b[J", up))
		}
		if line == "" {
			continue
		}
		if len([]rune(strings.TrimSuffix(line, "\n"))) > width && strings.Contains(line, "of 5 ops") {
			t.Errorf("the line wraps: %q", line)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// One frame of the screen, while two ops are under way.
func TestLiveFrame(t *testing.T) {
	var err bytes.Buffer
	now := t0
	l := view.NewLive(nil, &err, view.Style{Width: 100}, view.LiveOptions{Redraw: true, Now: func() time.Time { return now }})
	defer l.Close()
	for _, e := range recorded()[:16] {
		now = e.Time
		l.Event(e)
	}
	golden(t, "live-frame", []byte(screen(t, err.String(), 100)))
	if p := l.Progress(); len(p.Running) != 2 || p.Counts[engine.OpDone] != 1 || p.Counts[engine.OpHeld] != 1 {
		t.Errorf("got %+v", p)
	}
}

// broken is a pipe whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLiveJSON(t *testing.T) {
	var out, err bytes.Buffer
	l := view.NewLive(&out, &err, view.Style{Color: true}, view.LiveOptions{JSON: true, Redraw: true})
	for _, e := range recorded() {
		l.Event(e)
	}
	l.Close()
	if e := l.Summary(engine.Result{Kind: engine.Failed}); e != nil || err.Len() > 0 {
		t.Errorf("beside the events: %q %v", &err, e)
	}
	d := json.NewDecoder(&out)
	for _, want := range recorded() {
		var got engine.Event
		if e := d.Decode(&got); e != nil || got.Kind != want.Kind || got.Op != want.Op || !got.Time.Equal(want.Time) {
			t.Fatalf("%v: got %+v, want %+v", e, got, want)
		}
	}
	l = view.NewLive(broken{}, &err, view.Style{}, view.LiveOptions{JSON: true})
	l.Event(recorded()[0])
	l.Close()
	if e := l.Summary(engine.Result{}); e == nil {
		t.Error("results that could not be written are not told")
	}
}

func TestSummary(t *testing.T) {
	blade := func(i int) plan.Subject {
		return plan.NodeSubject(model.Path(fmt.Sprintf("lab/r1/az1/a/blade-%02d", i)))
	}
	result := func(i int, k plan.Kind, s engine.Status, err error) engine.OpResult {
		return engine.OpResult{Op: plan.Op{ID: plan.ID(k, blade(i)), Kind: k, Target: blade(i)}, Status: s, Err: err}
	}
	refused := &ops.InstallError{Node: "lab/r1/az1/a/blade-02", Phase: order.PhaseRefused, Problem: order.Problem{Tried: "choose the root disk", Target: "vda",
		Got: "it carries ceph-osd", Remedy: "consent to it by its serial", Log: []string{"disks: vda", "refused"}}}
	stale := &ops.StaleError{Mismatch: &ops.Mismatch{Want: []plan.Fact{{Subject: blade(3), Attr: plan.AttrPower, Value: "off"}}, Found: []string{"on"}}}
	for _, tc := range []struct {
		name string
		res  engine.Result
	}{
		{"done", engine.Result{Kind: engine.Done, Ops: []engine.OpResult{result(1, plan.PowerOn, engine.OpDone, nil), result(1, plan.PowerOff, engine.OpHeld, nil)}}},
		{"failures", engine.Result{Kind: engine.Failed, Ops: []engine.OpResult{
			result(1, plan.PowerOn, engine.OpDone, nil),
			result(2, plan.InstallWait, engine.OpFailed, fmt.Errorf("install.wait: %w", refused)),
			result(3, plan.PowerOn, engine.OpStale, stale),
			result(4, plan.PowerOn, engine.OpUnknown, errors.Join(errors.New("one"), errors.New("two"))),
			result(5, plan.PowerOn, engine.OpUnknown, nil),
			result(2, plan.HostVerify, engine.OpSkipped, nil), result(3, plan.HostVerify, engine.OpSkipped, nil)}}},
		{"interrupted", engine.Result{Kind: engine.Interrupted, Err: errors.New("interrupted"), Ops: []engine.OpResult{
			result(1, plan.InstallWait, engine.OpInterrupted, errors.New("interrupted"))}}},
		{"stale", engine.Result{Kind: engine.Stale, Ops: []engine.OpResult{result(3, plan.PowerOn, engine.OpStale, stale)}}},
		{"aborted", engine.Result{Kind: engine.Aborted, Err: engine.ErrAborted}},
		{"halted", engine.Result{Kind: engine.Halted}},
		{"journal", engine.Result{Kind: engine.Failed, Err: engine.ErrJournal}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.res.Started, tc.res.Ended = t0, t0.Add(185*time.Second)
			golden(t, "summary-"+tc.name, plainToo(t, func(b *bytes.Buffer, s view.Style) error {
				l := view.NewLive(nil, b, s, view.LiveOptions{})
				defer l.Close()
				return l.Summary(tc.res)
			}))
		})
	}
}
