package world

import (
	"context"
	"fmt"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// lab is a world without faults of its own, for the suite of every world of ops.
type lab struct{ w *World }

func newLab(d model.Desired) opstest.Lab {
	f := plan.Fleet{Classes: []plan.Class{{CPUs: []string{"v"}, Machines: []string{"m"}}}, Shapes: []plan.Shape{{Name: "s", CPU: "v", Machine: "m", MemoryMiB: 4096, VCPUs: 1, DirtyMiBs: 10}}}
	pool := plan.Pool{Name: "vms", Size: 2, MinSize: 1, Data: 1}
	for i, n := range d.Nodes {
		f.Hosts = append(f.Hosts, plan.Host{Path: n.Path, Change: true, VCPUs: 64, MemoryMiB: 1 << 18})
		pool.Acting, pool.Count = append(pool.Acting, int32(i), int32((i+1)%len(d.Nodes))), append(pool.Count, 1)
		f.VMs.Names, f.VMs.Host, f.VMs.Shape = append(f.VMs.Names, d.VMs[i].Name), append(f.VMs.Host, int32(i)), append(f.VMs.Shape, 0)
	}
	if len(d.Nodes) == 1 {
		pool = plan.Pool{Size: 1}
	}
	f.Clusters = []plan.Cluster{{Region: d.Nodes[0].Path.Region(), FailureDomain: plan.LevelHost, Pools: []plan.Pool{pool}}}
	w := assemble(f, d, Options{})
	for i := range w.Truth.Hosts {
		w.Truth.Hosts[i].Up, w.Truth.Hosts[i].Daemons = false, false
	}
	return &lab{w}
}

// World implements opstest.Lab.
func (l *lab) World() ops.World { return l.w.Ports(neighbour{l.w}) }

// Ready implements opstest.Lab.
func (l *lab) Ready() {
	l.w.rack.Ready()
	for i := range l.w.Truth.Hosts {
		l.w.Truth.Hosts[i].Up, l.w.Truth.Hosts[i].Daemons = true, true
	}
}

// Place implements opstest.Lab.
func (l *lab) Place(vm model.ObservedVM) {
	if !l.w.start(l.w.index[vm.Node], 0) {
		panic("no room on " + vm.Node)
	}
	v := &l.w.Truth.VMs[len(l.w.Truth.VMs)-1]
	v.Fixed, v.Consent = vm.Fixed != "", vm.OnDrain == "stop_start"
}

// Tamper implements opstest.Lab.
func (l *lab) Tamper(n model.Path) { l.w.rack.Tamper(n) }

// Begun implements opstest.Lab.
func (l *lab) Begun(n model.Path) int { return l.w.rack.Begun(n) }

// Break implements opstest.Lab.
func (l *lab) Break(n model.Path, f rack.Fault) {
	l.w.Break(n, f)
	for i := range l.w.Truth.Hosts {
		if f == rack.Degraded && int32(i) != l.w.index[n] {
			l.w.daemonsDown(int32(i), false)
		}
	}
}

// neighbour has a batch for each host, and sends everything to the next.
type neighbour struct{ w *World }

func (b neighbour) fault(i int) (rack.Fault, error) {
	if i >= len(b.w.Truth.Hosts) {
		return "", fmt.Errorf("batch %d: %w", i+1, ops.ErrNotInInventory)
	}
	return b.w.broken[int32(i)], nil
}

func (b neighbour) Certify(ctx context.Context, i int) error {
	f, err := b.fault(i)
	if err == nil && f == rack.Unsafe {
		err = &ops.HaltedError{What: "certify", Why: []string{"memory is short"}}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (b neighbour) Destination(ctx context.Context, n model.Node, vm string, _ bool) (to model.Path, over func(error), err error) {
	if i := b.w.index[n.Path]; b.w.Truth.VMs[b.w.byName[vm]].Host == i {
		to = b.w.Truth.Fleet.Hosts[(int(i)+1)%len(b.w.Truth.Hosts)].Path
	}
	return to, func(error) {}, ctx.Err()
}

func (b neighbour) Stoppable(ctx context.Context, n model.Node) error { return b.w.Stoppable(ctx, n) }

func (b neighbour) Health(ctx context.Context, i int) ([]string, error) {
	f, err := b.fault(i)
	if err == nil && f == rack.Alarming {
		return []string{"3 placement groups degraded"}, nil
	}
	return nil, err
}

func planFor(d model.Desired, o model.Observed, g plan.Goal) (plan.Plan, error) {
	images := map[string]model.Digest{}
	for _, n := range d.Nodes {
		images[n.Image.Name] = n.Image.Digest
	}
	for _, vm := range d.VMs {
		images[vm.Image.Name] = vm.Image.Digest
	}
	var targets []model.Path
	for _, n := range d.Nodes {
		if g == plan.GoalDecommission && n.Leaves() {
			targets = append(targets, n.Path)
		}
	}
	return planner.Make(planner.Input{Goal: g, Targets: targets, Desired: d, Observed: o, Inventory: model.DigestJSON(d), Images: images})
}

func TestTheWorldPassesTheSuite(t *testing.T) { opstest.Run(t, newLab, planFor) }
