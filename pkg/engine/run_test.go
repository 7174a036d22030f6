package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	d := newDesk(t, install(3))
	res := d.apply(t.Context())
	want(t, res, engine.Done)
	d.final()
	if n := len(res.With(engine.OpDone)); n != d.p.Ops() {
		t.Fatalf("%d ops done", n)
	}
	// Each op is checked before, and observed after, its effect.
	id := string(at(plan.PowerOff, 0))
	var order []string
	for _, c := range d.w.calls {
		if strings.HasSuffix(c, id) {
			order = append(order, strings.TrimSuffix(c, " "+id))
		}
	}
	if !slices.Equal(order, []string{"check", "apply", "verify"}) {
		t.Fatal(order)
	}
	if d.records(state.KindIntent) != d.p.Ops() || d.records(state.KindDone) != d.p.Ops() || d.records(state.KindFinished) != 1 {
		t.Fatal("not everything is on record")
	}
}

func TestEmptyPlan(t *testing.T) {
	p := plan.Plan{FormatVersion: plan.FormatVersion}
	want(t, newDesk(t, p).apply(t.Context()), engine.Done)
}

// TestAgain applies the same plan a second time: nothing is done twice; and when the journal was lost, nothing that would hurt.
func TestAgain(t *testing.T) {
	for _, remembers := range []bool{true, false} {
		t.Run(fmt.Sprint(remembers), func(t *testing.T) {
			d := newDesk(t, install(2))
			want(t, d.apply(t.Context()), engine.Done)
			if !remembers {
				d.dir = t.TempDir()
			}
			res := d.apply(t.Context())
			want(t, res, engine.Done)
			if held := len(res.With(engine.OpHeld)); remembers && held != d.p.Ops() {
				t.Fatalf("%d of %d held", held, d.p.Ops())
			}
			for _, k := range []plan.Kind{plan.OrderArm, plan.PowerOff, plan.BootNetwork, plan.PowerOn, plan.InstallWait} {
				if n := d.w.applied[at(k, 0)]; n != 1 {
					t.Fatalf("%s took effect %d times", k, n)
				}
			}
		})
	}
}

// TestOtherOrder: a machine that another order installed is no proof that this plan was carried out.
func TestOtherOrder(t *testing.T) {
	d := newDesk(t, install(1))
	sub := plan.NodeSubject("lab/r1/az1/a/blade-00")
	d.w.facts = d.w.facts.With(plan.Fact{Subject: sub, Attr: plan.AttrInstall, Value: "installed"}, plan.Fact{Subject: sub, Attr: plan.AttrOrder, Value: "another"})
	want(t, d.apply(t.Context()), engine.Done)
	d.final()
}

func TestNotApproved(t *testing.T) {
	d := newDesk(t, install(1))
	_, err := engine.Run(t.Context(), d.p, engine.Options{Journal: &memory{}, Drivers: d.w.drivers})
	if !errors.Is(err, engine.ErrNotApproved) {
		t.Fatal(err)
	}
}

func TestNoDriver(t *testing.T) {
	_, err := engine.Run(t.Context(), install(1), engine.Options{Journal: &memory{}, Drivers: func(plan.Kind) (engine.Driver, bool) { return nil, false }})
	if err == nil || !strings.Contains(err.Error(), string(plan.PowerOn)) {
		t.Fatal(err)
	}
}

// TestFailure: the target's chain stops, others end, the next stage does not begin, and the plan goes on when run again.
func TestFailure(t *testing.T) {
	d := newDesk(t, install(3))
	broken := errors.New("BMC says 503")
	fail := true
	d.w.apply[at(plan.BootNetwork, 1)] = func(context.Context) error {
		if fail {
			return broken
		}
		return nil
	}
	res := d.apply(t.Context())
	want(t, res, engine.Failed)
	if !errors.Is(res.Error(), broken) {
		t.Fatal(res.Error())
	}
	if f := res.With(engine.OpFailed); len(f) != 1 || f[0].Op.ID != at(plan.BootNetwork, 1) {
		t.Fatal(f)
	}
	if n := len(res.With(engine.OpDone)); n != 7+7+3 {
		t.Fatalf("%d ops done", n)
	}
	if n := len(res.With(engine.OpSkipped)); n != 3+3 {
		t.Fatalf("%d ops skipped", n)
	}
	fail = false
	res = d.apply(t.Context(), func(o *engine.Options) { o.Approver = "" })
	want(t, res, engine.Done)
	if !res.Resumed {
		t.Fatal("a new run began")
	}
	d.final()
}

func TestVerifyFails(t *testing.T) {
	d := newDesk(t, install(1))
	d.w.verify[at(plan.PowerOff, 0)] = errors.New("it is still on")
	res := d.apply(t.Context())
	want(t, res, engine.Failed)
	if f := res.With(engine.OpFailed); len(f) != 1 || f[0].Op.ID != at(plan.PowerOff, 0) {
		t.Fatal(res.Ops)
	}
}

func TestPanic(t *testing.T) {
	d := newDesk(t, install(2))
	d.w.apply[at(plan.PowerOff, 0)] = func(context.Context) error { panic("nil map") }
	res := d.apply(t.Context())
	want(t, res, engine.Failed)
	if !strings.Contains(res.Error().Error(), "nil map") || len(res.With(engine.OpFailed)) != 1 {
		t.Fatal(res.Error())
	}
}

// TestStale: somebody switches a machine on behind the run's back. That is neither a failure nor gone over.
func TestStale(t *testing.T) {
	d := newDesk(t, install(2))
	d.w.after = func(op plan.Op) error {
		if op.ID == at(plan.BootNetwork, 1) {
			d.w.facts.Set(plan.Fact{Subject: op.Target, Attr: plan.AttrPower, Value: "on"})
		}
		return nil
	}
	res := d.apply(t.Context())
	want(t, res, engine.Stale)
	if s := res.With(engine.OpStale); len(s) != 1 || s[0].Op.ID != at(plan.PowerOn, 1) || !errors.Is(res.Error(), engine.ErrStale) {
		t.Fatal(res.Error())
	}
	if d.w.applied[at(plan.HostVerify, 0)] != 1 {
		t.Fatal("the other blade did not go on")
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(1))
		d.w.apply[at(plan.InstallWait, 0)] = func(ctx context.Context) error { <-ctx.Done(); return errors.New("no report came") }
		start := time.Now()
		res := d.apply(t.Context())
		want(t, res, engine.Failed)
		if !errors.Is(res.Error(), engine.ErrDeadline) || !errors.Is(res.Error(), context.DeadlineExceeded) || !strings.Contains(res.Error().Error(), "no report came") {
			t.Fatal(res.Error())
		}
		info, _ := plan.InstallWait.Info()
		if took := time.Since(start); took != info.Timeout {
			t.Fatalf("took %s", took)
		}
	})
}

func TestEvents(t *testing.T) {
	d := newDesk(t, install(1))
	var lines []string
	tracker := engine.NewTracker(observe(func(e engine.Event) {
		data, err := json.Marshal(e)
		if err != nil || e.FormatVersion != engine.EventVersion || e.Time.IsZero() || e.Run == "" {
			t.Errorf("%s %v", data, err)
		}
		if e.Op == "" || e.Op == at(plan.PowerOn, 0) {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s", e.Kind, e.Status)))
		}
	}))
	want(t, d.apply(t.Context(), func(o *engine.Options) { o.Observer = tracker }), engine.Done)
	wanted := []string{"run.started", "stage.started", "op.queued", "op.started", "op.progress", "op.ended done", "stage.finished", "stage.started", "stage.finished", "run.finished"}
	if !slices.Equal(lines, wanted) {
		t.Fatal(lines)
	}
	p := tracker.Progress()
	if p.Result != engine.Done || p.Counts[engine.OpDone] != d.p.Ops() || len(p.Running) != 0 || p.Waiting != 0 || p.Stage != 2 {
		t.Fatalf("%+v", p)
	}
}

// observe makes an observer of a function.
type observe func(engine.Event)

func (f observe) Event(e engine.Event) { f(e) }

// memory is a journal that forgets at the end of a test; it may be told to fail.
type memory struct {
	mu   sync.Mutex
	recs []state.Record
	fail func(state.Record) error
}

func (m *memory) Append(_ context.Context, r state.Record) (state.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(r); err != nil {
			return r, err
		}
	}
	m.recs = append(m.recs, r)
	return r, nil
}

func (m *memory) Runs() []state.RunState { return nil }

func (m *memory) Finished(model.Digest) (state.Record, bool) { return state.Record{}, false }
