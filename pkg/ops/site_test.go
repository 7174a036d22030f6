package ops_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// site is a workstation and the blades that it drives: planner, engine, journal and ops as in earnest, over a fake world.
type site struct {
	t      *testing.T
	dir    string
	lab    opstest.Lab
	d      model.Desired
	images map[string]model.Digest
}

func newSite(t *testing.T, dir string, nodes int) *site {
	return newSiteOf(t, dir, opstest.Site(nodes))
}

func newSiteOf(t *testing.T, dir string, d model.Desired) *site {
	s := &site{t: t, dir: dir, d: d, images: map[string]model.Digest{}}
	for i := range s.d.Nodes {
		s.images[s.d.Nodes[i].Image.Name] = s.d.Nodes[i].Image.Digest
		s.images[s.d.VMs[i].Image.Name] = s.d.VMs[i].Image.Digest
	}
	s.lab = opstest.NewFake(s.d)
	return s
}

func (s *site) observe() model.Observed {
	s.t.Helper()
	o, err := opstest.Observe(s.t.Context(), s.lab.World())
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func (s *site) plan(g plan.Goal) plan.Plan { return s.planTargets(g) }

func (s *site) planTargets(g plan.Goal, targets ...model.Path) plan.Plan {
	s.t.Helper()
	p, err := planner.Make(planner.Input{Goal: g, Targets: targets, Desired: s.d, Observed: s.observe(), Inventory: model.DigestJSON(s.d), Images: s.images})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// run applies a plan as one process would.
func (s *site) run(ctx context.Context, p plan.Plan, change ...func(*engine.Options)) engine.Result {
	s.t.Helper()
	j, err := journal.Open(s.dir, journal.Options{Epoch: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			s.t.Error(err)
		}
	}()
	driver := ops.New(s.lab.World())
	d := &once{Driver: driver, t: s.t, done: map[plan.OpID]bool{}}
	opt := engine.Options{Journal: j, Approver: "ann", Limits: engine.DefaultLimits(),
		Drivers: func(k plan.Kind) (engine.Driver, bool) { return d, driver.Knows(k) }}
	for _, c := range change {
		c(&opt)
	}
	res, err := engine.Run(ctx, p, opt)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// apply plans and runs until nothing is left to do, at most a few times, and fails when something is left.
func (s *site) apply() {
	s.t.Helper()
	var last engine.Result
	for range 4 {
		p := s.plan(plan.GoalInstall)
		last = s.run(s.t.Context(), p)
		if p.Empty() && last.Kind == engine.Done {
			return
		}
	}
	s.t.Fatalf("something is left to do: %v", last.Error())
}

// once fails the test when one run carries out an op twice.
type once struct {
	engine.Driver
	t    *testing.T
	mu   sync.Mutex
	done map[plan.OpID]bool
}

func (o *once) Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error {
	o.mu.Lock()
	if o.done[op.ID] {
		o.t.Errorf("%s is carried out twice in one run", op.ID)
	}
	o.done[op.ID] = true
	o.mu.Unlock()
	return o.Driver.Apply(ctx, op, progress)
}

func (s *site) node(i int) model.Path { return s.d.Nodes[i].Path }

// killed is what everything returns once the process is dead.
var errKilled = errors.New("killed")

// moment is when in an op's life the process dies.
type moment string

const (
	beforeIntent moment = "before INTENT"
	afterIntent  moment = "after INTENT"
	inTheAct     moment = "in the act"
	whileItBoots moment = "while the machine boots"
	afterAct     moment = "after the act"
	afterDone    moment = "after DONE"
)

// death is a process that dies at a moment of one op: nothing of it writes or acts afterwards.
type death struct {
	engine.Journal
	op   plan.OpID
	when moment
	kill context.CancelCauseFunc

	mu   sync.Mutex
	dead bool
}

func (d *death) die() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	d.kill(errKilled)
}

func (d *death) is() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errKilled
	}
	return nil
}
