package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// reader reads facts from the world, each source at most once in its life. It lives for one check.
type reader struct {
	w    World
	seen map[plan.Subject]map[string]plan.State // subject → source → facts
}

func newReader(w World) *reader { return &reader{w: w, seen: map[plan.Subject]map[string]plan.State{}} }

// unmet returns a *Mismatch when facts do not hold, another error when that could not be found out.
func (r *reader) unmet(ctx context.Context, list []plan.Fact) error {
	var m Mismatch
	for _, f := range list {
		got, err := r.read(ctx, f)
		if err != nil {
			return err
		}
		if !satisfies(f, got) {
			m.Want, m.Found = append(m.Want, f), append(m.Found, got)
		}
	}
	if len(m.Want) > 0 {
		return &m
	}
	return nil
}

// satisfies reports whether a value is what a fact asks for. An install that is done was begun, and a drained host is cordoned.
func satisfies(f plan.Fact, got string) bool {
	return got == f.Value || (f.Attr == plan.AttrCordon && f.Value == plan.Set && got == plan.Drained) || (f.Attr == plan.AttrInstall && f.Value == facts.PhaseStarted && got == facts.PhaseInstalled)
}

func (r *reader) read(ctx context.Context, f plan.Fact) (string, error) {
	source := sourceOf(f.Attr)
	if r.seen[f.Subject] == nil {
		r.seen[f.Subject] = map[string]plan.State{}
	}
	st, ok := r.seen[f.Subject][source]
	if !ok {
		var err error
		if st, err = r.load(ctx, f.Subject, source); err != nil {
			return "", err
		}
		r.seen[f.Subject][source] = st
	}
	return st.Get(f.Subject, f.Attr), nil
}

// The sources of facts.
const (
	fromBMC   = "bmc"
	fromOrder = "order"
	fromHost  = "host"
	fromVM    = "vm"

	fromCluster = "cluster"
	fromDisks   = "disks" // what the cluster and the host's disks tell together
	fromSlots   = "slots"
	fromCordon  = "cordon"

	fromPackages = "packages"
	fromGuests   = "guests"
	fromStorage  = "storage"
)

func sourceOf(a plan.Attr) string {
	switch a {
	case plan.AttrMachine, plan.AttrPower, plan.AttrBoot:
		return fromBMC
	case plan.AttrOrder, plan.AttrInstall:
		return fromOrder
	case plan.AttrVM, plan.AttrRuns:
		return fromVM
	case plan.AttrCluster, plan.AttrSettings, plan.AttrRequire, plan.AttrMon, plan.AttrMgr, plan.AttrMDS, plan.AttrRGW, plan.AttrOSDs, plan.AttrData, plan.AttrEmpty, plan.AttrMember:
		return fromCluster
	case plan.AttrLost, plan.AttrWiped:
		return fromDisks
	case plan.AttrIdle, plan.AttrDefault:
		return fromSlots
	case plan.AttrStaged, plan.AttrPackages:
		return fromPackages
	case plan.AttrCordon:
		return fromCordon
	case plan.AttrGuests:
		return fromGuests
	case plan.AttrNoout, plan.AttrCeph, plan.AttrKept:
		return fromStorage
	default:
		return fromHost
	}
}

func (r *reader) load(ctx context.Context, s plan.Subject, source string) (plan.State, error) {
	if source == fromVM {
		return r.loadVM(ctx, s)
	}
	if source == fromCluster {
		return r.loadCluster(ctx, s)
	}
	if source == fromDisks {
		return r.loadDisks(ctx, s)
	}
	n, err := r.w.node(s)
	if err != nil {
		return nil, err
	}
	on := model.ObservedNode{Path: n.Path}
	switch source {
	case fromBMC:
		on.BMC, err = r.w.observeBMC(ctx, n)
	case fromOrder:
		on.Order, err = r.w.Installs.Order(ctx, n)
	case fromHost:
		on.Host, err = r.w.observeHost(ctx, n)
	default:
		return r.w.loadRollout(ctx, s, n, source)
	}
	if err != nil {
		return nil, err
	}
	alone := r.w.Desired
	alone.Nodes = []model.Node{n}
	return facts.Project(alone, model.Observed{Nodes: []model.ObservedNode{on}}), nil
}

func (r *reader) loadVM(ctx context.Context, s plan.Subject) (plan.State, error) {
	vm, err := r.w.vm(s)
	if err != nil {
		return nil, err
	}
	o, err := r.w.VMs.Observe(ctx, vm)
	if err != nil {
		return nil, err
	}
	return facts.Project(r.w.Desired, model.Observed{VMs: []model.ObservedVM{o}}), nil
}

// closeWithin bounds the end of a session with a BMC that does not answer any more.
const closeWithin = 10 * time.Second

// observeBMC reads a BMC in one session.
func (w World) observeBMC(ctx context.Context, n model.Node) (o model.ObservedBMC, err error) {
	err = w.withMachine(ctx, n, func(m Machine) error {
		o = model.ObservedBMC{Reachable: true, Serial: n.Serial}
		var errs [2]error
		o.Power, errs[0] = m.Power(ctx)
		o.BootOnce, errs[1] = m.Boot(ctx)
		return errors.Join(errs[:]...)
	})
	return o, err
}

// withMachine uses a machine in one session, or in several when its BMC fails for a while: use looks before it acts.
func (w World) withMachine(ctx context.Context, n model.Node, use func(Machine) error) error {
	return w.patient(ctx, n, func() error { return w.session(ctx, n, use) })
}

// session opens a session, uses it and closes it, whatever happens. What was done in one that could not be closed is done all the same: it times out.
func (w World) session(ctx context.Context, n model.Node, use func(Machine) error) error {
	m, err := w.Machines.Open(ctx, n)
	if err != nil {
		return err
	}
	err = use(m)
	// The session is closed also when ctx has ended: BMCs have few.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	closed := m.Close(closing)
	if err == nil && closed != nil && w.tell != nil {
		w.tell(plan.Progress{Text: fmt.Sprintf("the session with the BMC of %s was not ended, and has to time out: %v", n.Name, closed)})
	}
	return err
}

func (w World) node(s plan.Subject) (model.Node, error) {
	if path, ok := s.Node(); ok {
		if n, ok := w.nodes[path]; ok {
			return n, nil
		}
	}
	return model.Node{}, fmt.Errorf("%s: %w", s, ErrNotInInventory)
}

func (w World) vm(s plan.Subject) (model.VM, error) {
	name, ok := s.VM()
	if ok {
		for _, v := range w.Desired.VMs {
			if v.Name == name {
				return v, nil
			}
		}
	}
	return model.VM{}, fmt.Errorf("%s: %w", s, ErrNotInInventory)
}
