// Package opstest holds what every world of ops must pass, whoever plays the hardware. It lives in the world's own time: firmware, installs and
// silences take as long as they do, and the test does not wait for them.
package opstest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Lab is a world that can be made to fail.
type Lab interface {
	// World is what ops reach; it is the same world each time.
	World() ops.World
	// Break makes what belongs to a node fail from now on; rack.Sound mends it.
	Break(n model.Path, f rack.Fault)
	// Begun counts how often an install began to write the node's root disk.
	Begun(n model.Path) int
	// Ready makes every machine an installed host with its virtual machines and its Ceph daemons.
	Ready()
	// Tamper lets somebody change a file of a host.
	Tamper(n model.Path)
	// Place lets somebody start a virtual machine, whatever we think of it.
	Place(vm model.ObservedVM)
}

// New makes a lab in which every machine of the inventory is powered on, runs nothing of ours and has an empty root disk.
type New func(d model.Desired) Lab

// NewFake is a New: a rack by the machine's clock, to be used in the time of package testing/synctest.
func NewFake(d model.Desired) Lab { return rack.New(d, ops.SystemClock{}) }

// Plan makes the plan from what is observed, as package planner does.
type Plan func(d model.Desired, o model.Observed, g plan.Goal) (plan.Plan, error)

// Site is an inventory of n blades in one rack, each with a bridge and a virtual machine.
func Site(n int) model.Desired {
	image := model.ImageRef{Name: "debian-13", Digest: model.DigestBytes([]byte("debian-13"))}
	guest := model.ImageRef{Name: "guest", Digest: model.DigestBytes([]byte("guest"))}
	d := model.Desired{
		Cloud:    model.Cloud{Name: "test", Domain: "test.example"},
		Networks: []model.Network{{Name: "provision", CIDR: netip.MustParsePrefix("10.77.0.0/24"), DHCP: model.DHCPAuthoritative}},
		Profiles: []model.Profile{{Name: "p", Image: image.Name, Roles: []model.Role{model.RoleCompute},
			Bridges: []model.Bridge{{Name: "br-ex", Uplink: "eth0", Network: "provision"}}}},
	}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("blade-%02d", i)
		path := model.Path("lab/r1/az1/a").Join(name)
		d.Nodes = append(d.Nodes, model.Node{
			Path: path, Name: name, Profile: "p", Roles: []model.Role{model.RoleCompute}, Image: image, Serial: "SN-" + name,
			Config: model.DigestBytes([]byte(name)), RootDevice: model.DeviceHints{Serial: "root-*"},
			BMC:  model.BMC{Address: "redfish://bmc-" + name},
			NICs: []model.NIC{{Name: "eth0", MAC: fmt.Sprintf("52:54:00:77:00:%02x", i), Network: "provision", Address: netip.MustParsePrefix(fmt.Sprintf("10.77.0.%d/24", 10+i))}},
		})
		d.VMs = append(d.VMs, model.VM{Name: fmt.Sprintf("vm-%02d", i), Node: path, VCPUs: 1, MemoryMiB: 128, Image: guest, OnDrain: "stop_start"})
	}
	return d
}

// CephSite is a Site whose blades are also the Ceph cluster of their region, with the virtual machines' disks in it; the machines can move.
func CephSite(n int) model.Desired {
	d := Site(n)
	d.Networks[0].Planes = model.Planes()
	d.Regions = []model.Region{{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host", Pools: []model.Pool{{Name: "vms", Size: n, MinSize: 1, Application: "rbd"}}}}}
	for i := range d.Nodes {
		d.Nodes[i].Roles = []model.Role{model.RoleCompute, model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD, model.RoleCephMDS, model.RoleCephRGW}
		d.Nodes[i].OSDDevice = model.DeviceHints{Serial: "osd-*"}
		d.VMs[i].Disks = []model.VMDisk{{Name: "data", Pool: "vms", SizeGiB: 1}}
	}
	return d
}

// Observe looks at everything that a world shows.
func Observe(ctx context.Context, w ops.World) (model.Observed, error) {
	o := model.Observed{FormatVersion: 1}
	var errs []error
	for _, n := range w.Desired.Nodes {
		on := model.ObservedNode{Path: n.Path, BMC: observeBMC(ctx, w, n)}
		var err error
		if on.Order, err = w.Installs.Order(ctx, n); err != nil {
			errs = append(errs, err)
		}
		if on.Host, err = w.Hosts.Observe(ctx, n); err != nil {
			errs = append(errs, err)
		}
		o.Nodes = append(o.Nodes, on)
	}
	for _, r := range w.Desired.Regions {
		if r.Ceph == nil {
			continue
		}
		c, err := w.Clusters.Observe(ctx, r.Path)
		if err != nil {
			c = model.ObservedCeph{Region: r.Path, Error: err.Error()}
		}
		o.Ceph = append(o.Ceph, c)
	}
	for _, vm := range w.Desired.VMs {
		if seen, err := w.VMs.Observe(ctx, vm); err == nil && seen.Name != "" {
			o.VMs = append(o.VMs, seen)
		}
	}
	return o, errors.Join(errs...)
}

func observeBMC(ctx context.Context, w ops.World, n model.Node) model.ObservedBMC {
	m, err := w.Machines.Open(ctx, n)
	if err != nil {
		return model.ObservedBMC{Error: err.Error(), Power: model.PowerUnknown}
	}
	o := model.ObservedBMC{Reachable: true, Serial: n.Serial}
	var errs [3]error
	o.Power, errs[0] = m.Power(ctx)
	o.BootOnce, errs[1] = m.Boot(ctx)
	errs[2] = m.Close(ctx)
	if err := errors.Join(errs[:]...); err != nil {
		return model.ObservedBMC{Error: err.Error(), Power: model.PowerUnknown}
	}
	return o
}
