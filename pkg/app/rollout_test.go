package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/certify"
	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/gate"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// ill is a region that becomes healthy after some questions.
type ill struct {
	f     plan.Fleet
	asked int
	until int
}

func (r *ill) Fleet(context.Context, map[model.Path]bool) (plan.Fleet, error) {
	f := r.f
	f.Hosts = slices.Clone(f.Hosts)
	return f, nil
}
func (r *ill) Stoppable(context.Context, model.Node) error { return nil }
func (r *ill) Health(context.Context, model.Path, map[model.Path]bool) ([]string, error) {
	if r.asked++; r.asked <= r.until {
		return []string{"OSD_DOWN: 1 osds down"}, nil
	}
	return nil, nil
}

// sleeper is a clock that nobody waits for.
type sleeper struct {
	ops.SystemClock
	now time.Time
}

func (c *sleeper) Now() time.Time { return c.now }
func (c *sleeper) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}

// A batch begins in a healthy region only: one that mends in time is waited for, one that does not halts the rollout, and a drain does not ask.
func TestABatchBeginsInAHealthyRegion(t *testing.T) {
	f, p := plantest.Fleet(4, plantest.Tiny)
	c, err := wave.Solve(f, p)
	if err != nil {
		t.Fatal(err)
	}
	certifyFirst := func(until int, cert plan.Certificate) (*ill, error) {
		r := &ill{f: f, until: until}
		b := &liveBatches{Certifier: certify.New(c, r), cert: cert, gates: &gate.Set{Now: time.Now}, clock: &sleeper{}}
		return r, b.Certify(t.Context(), 0)
	}
	if r, err := certifyFirst(3, c); err != nil || r.asked != 4 {
		t.Errorf("asked %d times: %v", r.asked, err)
	}
	var h *ops.HaltedError
	if _, err := certifyFirst(1000, c); !errors.As(err, &h) || !strings.Contains(err.Error(), "OSD_DOWN") {
		t.Errorf("a region that stays ill: %v", err)
	}
	drain := c
	drain.Policy.Method = plan.MethodDrain
	if r, err := certifyFirst(1000, drain); err != nil || r.asked != 0 {
		t.Errorf("a drain asked %d times: %v", r.asked, err)
	}
}

// An abort takes back what the run may have set: of ops that were begun, by their result or by the journal.
func TestWhatAnAbortTakesBack(t *testing.T) {
	op := func(k plan.Kind, n model.Path) plan.Op {
		return plan.Op{ID: plan.ID(k, plan.NodeSubject(n)), Kind: k, Target: plan.NodeSubject(n)}
	}
	r := engine.Result{Ops: []engine.OpResult{
		{Op: op(plan.SlotWrite, "a/1"), Status: engine.OpDone}, {Op: op(plan.HostCordon, "a/2"), Status: engine.OpDone}, {Op: op(plan.CephNoout, "a/2"), Status: engine.OpInterrupted},
		{Op: op(plan.CephStop, "a/3"), Status: engine.OpFailed}, {Op: op(plan.HostCordon, "a/4"), Status: engine.OpSkipped},
	}}
	if got := marked(r); !slices.Equal(got, []model.Path{"a/2", "a/3"}) {
		t.Errorf("of a result: %v", got)
	}
	run := state.RunState{Ops: map[plan.OpID]state.OpState{}}
	for _, o := range r.Ops[:4] {
		run.Ops[o.Op.ID] = state.OpState{}
	}
	if got := markedBy(run); !slices.Equal(got, []model.Path{"a/2", "a/3"}) {
		t.Errorf("of a journal: %v", got)
	}
}

func TestAGateRunsACommandHere(t *testing.T) {
	s := &session{env: Env{Dir: t.TempDir()}}
	if err := s.runGate(t.Context(), "", []string{"true"}); err != nil {
		t.Error(err)
	}
	err := s.runGate(t.Context(), "", []string{"sh", "-c", "echo checking; echo 3 replicas lag >&2; exit 7"})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.HasSuffix(err.Error(), "3 replicas lag") {
		t.Errorf("it says %v", err)
	}
	if err := s.runGate(t.Context(), "s/r/z/k/n", []string{"true"}); !errors.Is(err, ops.ErrNotInInventory) {
		t.Errorf("a node that there is not: %v", err)
	}
}

// Every kind of op of a rollout has a driver in the world that a session reaches, and a world without them refuses the plan before anything is done.
func TestRolloutsAreReachable(t *testing.T) {
	p := plan.Plan{Stages: []plan.Stage{{}}}
	for _, k := range plan.Kinds() {
		p.Stages[0].Ops = append(p.Stages[0].Ops, plan.Op{Kind: k})
	}
	s := &session{keys: &keys{}}
	r := s.reach(t.Context(), state.Fence{}, false)
	cert := p
	cert.Certificate = &plan.Certificate{}
	if err := reachable(p, ops.New(r.world(s.desired, s.batches(r, cert)))); err != nil {
		t.Error(err)
	}
	if err := reachable(p, ops.New(r.world(s.desired, s.batches(r, p)))); err == nil || !strings.Contains(err.Error(), "host.drain") {
		t.Errorf("without a certificate: %v", err)
	}
}

// The verifier judges by the packages that an op names. What is installed is the snapshot, so a plan that names others is stale.
func TestAPlanNamesThePackagesOfItsSnapshot(t *testing.T) {
	snap := model.Snapshot{Name: "fix", Packages: []model.SnapshotPackage{{Name: "ceph-osd", Version: "18.2.8-1"}, {Name: "libfoo", Version: "2"}}}
	for names, good := range map[string]bool{"ceph-osd=18.2.8-1 libfoo=2": true, "libfoo=2": false, "ceph-osd=18.2.8-1 libfoo=3": false, "": false} {
		p := plan.Plan{Stages: []plan.Stage{{Ops: []plan.Op{{Kind: plan.PackagesInstall, Args: map[string]string{plan.ArgPackages: names}}}}}}
		if err := asNamed(p, snap); (err == nil) != good {
			t.Errorf("%q: %v", names, err)
		}
	}
}
