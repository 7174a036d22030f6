package opstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Run is the suite of every op kind, over the ops that install a blade with a virtual machine, and those that take one through a rollout.
func Run(t *testing.T, lab New, planFor Plan) {
	for _, k := range plan.Kinds() {
		t.Run(string(k), func(t *testing.T) {
			for _, c := range []struct {
				name string
				test func(*bench, plan.Op)
			}{
				{"begins, acts, holds", (*bench).acts},
				{"stale", (*bench).stale},
				{"not in the inventory", (*bench).stranger},
				{"interrupted", (*bench).interrupted},
				{"nobody can tell", (*bench).unknown},
			} {
				t.Run(c.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { b := benchFor(t, lab, planFor, k); c.test(b, b.before(k)) })
				})
			}
		})
	}
	faults(t, lab, planFor)
	patience(t, lab, planFor)
	disturbances(t, lab)
	ports(t, lab)
	held(t, lab)
	reinstalled(t, lab)
	inPlace(t, lab)
	authority(t, lab)
}

// bench is a lab with one blade, and the ops that install it.
type bench struct {
	*testing.T
	lab     Lab
	clock   ops.Clock
	node    model.Node
	driver  *ops.Driver
	planFor Plan
	ops     []plan.Op
}

// benchFor is the bench on which the op of a kind can be carried out.
func benchFor(t *testing.T, lab New, planFor Plan, k plan.Kind) *bench {
	if slices.Contains(rolloutKinds, k) {
		return newRollout(t, lab)
	}
	if slices.Contains(packageKinds, k) {
		return newPackages(t, lab)
	}
	if slices.Contains(leavingKinds, k) {
		return newLeaving(t, lab, planFor)
	}
	if k == plan.HostOff {
		return newReinstall(t, lab)
	}
	if k == plan.OrderRecall {
		return newRecall(t, lab)
	}
	if k == plan.CephRequire {
		return newRequire(t, lab, planFor)
	}
	if slices.Contains(clusterKinds, k) {
		b := newBench(t, lab, planFor, CephSite(2))
		if k == plan.CephMon { // the first one comes with the cluster
			b.node = b.lab.World().Desired.Nodes[1]
		}
		return b
	}
	return newBench(t, lab, planFor, Site(1))
}

// clusterKinds are the kinds that make a Ceph cluster, or need one, or several hosts.
var clusterKinds = []plan.Kind{plan.CephCreate, plan.CephMon, plan.CephMgr, plan.CephOSD, plan.CephMDS, plan.CephRGW, plan.CephSettle, plan.KVMStorage, plan.KVMMigrate}

func newBench(t *testing.T, lab New, planFor Plan, d model.Desired) *bench {
	b := &bench{T: t, lab: lab(d), node: d.Nodes[0], planFor: planFor}
	b.driver, b.clock = ops.New(b.lab.World()), b.lab.World().Clock
	o := model.Observed{} // as if nothing had been seen: the plan then has every op
	p, err := planFor(d, o, plan.GoalInstall)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Stages {
		b.ops = append(b.ops, s.Order()...)
	}
	return b
}

// before carries out what stands before the op of a kind, and returns that op.
func (b *bench) before(k plan.Kind) plan.Op {
	b.Helper()
	for _, op := range b.ops {
		if op.Kind == k {
			return op
		}
		b.do(op)
	}
	if k == plan.HostConfig {
		b.lab.Tamper(b.node.Path)
		return b.hostConfig()
	}
	if k != plan.HostStart { // it is no part of an install
		b.Fatalf("the suite has no op of kind %s", k)
	}
	return b.hostStart()
}

// hostStart is the op that powers an installed machine on, which is off.
func (b *bench) hostStart() plan.Op {
	b.Helper()
	sub := plan.NodeSubject(b.node.Path)
	m, err := b.lab.World().Machines.Open(b.Context(), b.node)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(m.SetPower(b.Context(), model.PowerOff), m.Close(b.Context())); err != nil {
		b.Fatal(err)
	}
	return plan.Op{ID: plan.ID(plan.HostStart, sub), Kind: plan.HostStart, Target: sub,
		Pre:  []plan.Fact{{Subject: sub, Attr: plan.AttrMachine, Value: b.node.Serial}},
		Post: []plan.Fact{{Subject: sub, Attr: plan.AttrPower, Value: string(model.PowerOn)}}}
}

// hostConfig is the op that puts a file back which somebody has changed.
func (b *bench) hostConfig() plan.Op {
	b.Helper()
	o, err := Observe(b.Context(), b.lab.World())
	if err != nil {
		b.Fatal(err)
	}
	p, err := b.planFor(b.lab.World().Desired, o, plan.GoalInstall)
	if err != nil || p.Ops() != 1 {
		b.Fatalf("a host with a changed file is planned for with %d ops, %v", p.Ops(), err)
	}
	return p.Stages[0].Ops[0]
}

func (b *bench) do(op plan.Op) {
	b.Helper()
	ctx, cancel := b.deadline(op)
	defer cancel()
	var held *ops.HeldError
	if err := b.driver.Check(ctx, op); err != nil && !errors.As(err, &held) {
		b.Fatalf("%s may not begin: %v", op.ID, err)
	}
	if err := b.driver.Apply(ctx, op, b.told); err != nil {
		b.Fatalf("%s: %v", op.ID, err)
	}
	if err := b.driver.Verify(ctx, op); err != nil {
		b.Fatalf("%s is done, and does not hold: %v", op.ID, err)
	}
}

func (b *bench) told(p plan.Progress) {
	if p == (plan.Progress{}) {
		b.Error("progress that tells nothing")
	}
}

func (b *bench) deadline(op plan.Op) (context.Context, context.CancelFunc) {
	info, _ := op.Kind.Info()
	return b.within(info.Timeout)
}

// within is a context that ends after a while of the world's time.
func (b *bench) within(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(b.Context())
	stop := b.clock.AfterFunc(d, cancel)
	return ctx, func() { stop(); cancel() }
}

func (b *bench) probe(op plan.Op, want plan.Outcome) {
	b.Helper()
	got, err := b.driver.Probe(b.Context(), op)
	if got != want || (err != nil) != (want == plan.Unknown) {
		b.Errorf("probe of %s: %s (%v), want %s", op.ID, got, err, want)
	}
}

// asks is true of a kind that only asks, so that its effect is there all the time, or nowhere.
func asks(op plan.Op) bool { return op.Kind == plan.BMCIdentify || ofBatch(op.Target) }

func ofBatch(s plan.Subject) bool {
	_, ok := s.Batch()
	return ok
}

func (b *bench) acts(op plan.Op) {
	if err := b.driver.Check(b.Context(), op); err != nil {
		b.Fatalf("may not begin: %v", err)
	}
	if !asks(op) {
		if err := b.driver.Verify(b.Context(), op); !errors.Is(err, ops.ErrUnverified) {
			b.Errorf("it holds before it was done: %v", err)
		}
		b.probe(op, plan.NotApplied)
	}
	b.do(op)
	if ofBatch(op.Target) {
		b.probe(op, plan.NotApplied) // it leaves nothing
		return
	}
	b.probe(op, plan.Applied)
	var held interface{ Holds() bool }
	if err := b.driver.Check(b.Context(), op); !asks(op) && (!errors.As(err, &held) || !held.Holds()) {
		b.Errorf("it is done, and may begin again: %v", err)
	}
	if err := b.driver.Apply(b.Context(), op, b.told); err != nil && op.Kind != plan.PowerOn && op.Kind != plan.OrderArm {
		b.Errorf("doing it again: %v", err)
	}
}

func (b *bench) stale(op plan.Op) {
	for i := range op.Pre {
		if ofBatch(op.Pre[i].Subject) {
			continue // it is shown by the order of the ops
		}
		changed := op
		changed.Pre = append([]plan.Fact(nil), op.Pre...)
		changed.Pre[i].Value = "something else"
		err := b.driver.Check(b.Context(), changed)
		var s interface {
			Stale() []plan.Fact
			Remedy() string
		}
		if !errors.As(err, &s) || len(s.Stale()) != 1 || s.Stale()[0] != changed.Pre[i] || s.Remedy() == "" {
			b.Errorf("%v is not so, and Check says %v", changed.Pre[i], err)
		}
	}
}

func (b *bench) stranger(op plan.Op) {
	stranger := plan.NodeSubject("lab/r1/az1/a/nobody")
	if _, ok := op.Target.VM(); ok {
		stranger = plan.VMSubject("nobody")
	}
	if _, ok := op.Target.Ceph(); ok {
		stranger = plan.CephSubject("lab/r9")
	}
	if ofBatch(op.Target) {
		op.Target = plan.BatchSubject(9999)
		if err := b.driver.Apply(b.Context(), op, b.told); !errors.Is(err, ops.ErrNotInInventory) && op.Kind == plan.BatchCertify {
			b.Errorf("apply: %v", err)
		}
		return
	}
	op.Target, op.Pre = stranger, nil
	op.Post = []plan.Fact{{Subject: stranger, Attr: op.Post[0].Attr, Value: "x"}}
	for name, err := range map[string]error{"check": b.driver.Check(b.Context(), op), "apply": b.driver.Apply(b.Context(), op, b.told), "verify": b.driver.Verify(b.Context(), op)} {
		if name == "check" && asks(op) {
			continue
		}
		if !errors.Is(err, ops.ErrNotInInventory) || !strings.Contains(err.Error(), string(stranger)) {
			b.Errorf("%s: %v", name, err)
		}
	}
	if got, err := b.driver.Probe(b.Context(), op); got != plan.Unknown || !errors.Is(err, ops.ErrNotInInventory) {
		b.Errorf("probe: %s %v", got, err)
	}
}

// interrupted ends the context before and while the op is carried out.
func (b *bench) interrupted(op plan.Op) {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if err := b.driver.Apply(ctx, op, b.told); !errors.Is(err, context.Canceled) {
		b.Errorf("with a context that has ended: %v", err)
	}
	ctx, cancel = b.within(time.Millisecond)
	defer cancel()
	began := b.clock.Now()
	err := b.driver.Apply(ctx, op, b.told)
	if err != nil && !errors.Is(err, context.Canceled) {
		b.Errorf("with a context that ends soon: %v", err)
	}
	if late := b.clock.Now().Sub(began); late > time.Second {
		b.Errorf("it went on for %s after its context had ended", late)
	}
}

// unknown makes what the op's effect is read from silent.
func (b *bench) unknown(op plan.Op) {
	b.lab.Break(b.node.Path, blinds[op.Kind])
	want := plan.Unknown
	if op.Kind == plan.HostVerify {
		want = plan.NotApplied // a host that does not answer is not verified, and that is all there is to it
	}
	if ofBatch(op.Target) {
		want = plan.NotApplied
	}
	b.probe(op, want)
}

// blinds names the fault that hides the effect of each kind.
var blinds = map[plan.Kind]rack.Fault{
	plan.CephCreate: rack.HostSilent, plan.CephMon: rack.HostSilent, plan.CephMgr: rack.HostSilent, plan.CephOSD: rack.HostSilent, plan.CephMDS: rack.HostSilent, plan.CephRGW: rack.HostSilent, plan.CephSettle: rack.HostSilent, plan.CephRequire: rack.HostSilent,
	plan.CephOut: rack.HostSilent, plan.CephEmpty: rack.HostSilent, plan.CephPurge: rack.HostSilent, plan.CephLeave: rack.HostSilent, plan.DiskWipe: rack.HostSilent,
	plan.BMCIdentify: rack.Unreachable, plan.PowerOff: rack.Unreachable, plan.BootNetwork: rack.Unreachable, plan.PowerOn: rack.Unreachable, plan.HostStart: rack.Unreachable,
	plan.OrderArm: rack.RelayLost, plan.OrderRecall: rack.RelayLost, plan.InstallWait: rack.RelayLost,
	plan.HostVerify: rack.HostSilent, plan.OVSEnsure: rack.HostSilent, plan.KVMEnsure: rack.HostSilent, plan.HostConfig: rack.HostSilent, plan.KVMStorage: rack.HostSilent, plan.KVMMigrate: rack.HostSilent, plan.VMEnsure: rack.HostSilent,

	plan.SlotWrite: rack.HostSilent, plan.HostCordon: rack.HostSilent, plan.HostDrain: rack.HostSilent, plan.CephNoout: rack.HostSilent, plan.CephStop: rack.HostSilent,
	plan.HostOff: rack.Unreachable,

	plan.PackagesFetch: rack.HostSilent, plan.PackagesInstall: rack.HostSilent,

	plan.SlotBoot: rack.HostSilent, plan.CephStart: rack.HostSilent, plan.CephRestore: rack.HostSilent, plan.SlotCommit: rack.HostSilent, plan.HostUncordon: rack.HostSilent,
}
