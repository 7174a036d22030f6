package fleet_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// adopted describes the real hosts and their cluster, and has the planner compare: at first nothing differs, then what was changed by hand does.
func (h *threeHosts) adopted() {
	h.ceph("osd", "pool", "application", "enable", "vms", "rbd")
	seeds, by := h.seeds()
	links := fleet.NewLinks(func(_ context.Context, n model.Node) (remote.Target, error) { return by[n.Name].Target(), nil })
	defer func() { _ = links.Close() }()
	s, err := adopt.Look(h.Context(), links, seeds, nil)
	if err != nil {
		h.Fatal(err)
	}
	d := adopt.Describe(s, adopt.Names{Cloud: "found", Site: "s1", Region: "r1", Zone: "z1", Rack: "a"})
	inv, list := inventory.LoadFiles(adopt.Files(d), inventory.Options{})
	if list.HasErrors() {
		h.Fatalf("%v\n%s", list.Err(), adopt.Files(d))
	}
	h.described(inv.Desired, d)
	h.differs("as surveyed", inv.Desired, adopt.Observed(s, inv.Desired, d.Path))
	h.differs("as every later plan sees it", inv.Desired, h.observed(inv.Desired))

	h.ceph("osd", "pool", "set", "vms", "min_size", "1")
	h.boxes[1].Must(h.T, "ovs-vsctl", "--timeout=20", "add-port", "br-ex", "mine", "tag=7", "--", "set", "Interface", "mine", "type=internal")
	h.differs("after changes by hand", inv.Desired, h.observed(inv.Desired), "blade-01", "pool vms: min_size is 1, not 2", "blade-02", "bridge br-ex: ports mine (tag 7, MTU 1500), not none")
	h.ceph("osd", "pool", "set", "vms", "min_size", "2")
	h.boxes[1].Must(h.T, "ovs-vsctl", "--timeout=20", "del-port", "br-ex", "mine")
}

// seeds are the hosts by their addresses on the cluster's network, and the boxes by what seeds and nodes are called.
func (h *threeHosts) seeds() ([]adopt.Seed, map[string]*hosttest.Box) {
	var seeds []adopt.Seed
	by := map[string]*hosttest.Box{}
	for i, b := range h.boxes {
		seed := adopt.Seed{Address: netip.MustParseAddr(hosttest.SiteAddr(i))}
		seeds = append(seeds, seed)
		by[seed.Node().Name], by[h.nodes[i].Name] = b, b
	}
	return seeds, by
}

// described checks that what there is stands in the inventory.
func (h *threeHosts) described(m model.Desired, d adopt.Description) {
	h.Helper()
	roles := map[string][]model.Role{}
	for _, n := range m.Nodes {
		roles[n.Name] = n.Roles
	}
	all := []model.Role{model.RoleCephMgr, model.RoleCephMon, model.RoleCephOSD}
	if len(roles) != 3 || !slices.Equal(roles["blade-01"], all) || !slices.Equal(roles["blade-03"], all[1:]) {
		h.Errorf("nodes and roles: %v", roles)
	}
	bridged := slices.ContainsFunc(m.Profiles[0].Bridges, func(b model.Bridge) bool { return b.Name == "br-ex" && b.Uplink == "eth0" })
	c := m.Regions[0].Ceph
	if !bridged || c == nil || !c.Adopted || len(c.Pools) != 1 || c.Pools[0] != (model.Pool{Name: "vms", Size: 3, MinSize: 2, Application: "rbd"}) {
		h.Errorf("profile %+v, cluster %+v; %v", m.Profiles[0], c, d.Remarks)
	}
}

// observed is what a plan of this inventory would look at.
func (h *threeHosts) observed(d model.Desired) model.Observed {
	h.Helper()
	_, by := h.seeds()
	links := fleet.NewLinks(func(_ context.Context, n model.Node) (remote.Target, error) { return by[n.Name].Target(), nil })
	defer func() { _ = links.Close() }()
	out := model.Observed{FormatVersion: 1}
	out.Nodes = make([]model.ObservedNode, len(d.Nodes))
	var wg sync.WaitGroup
	for i, n := range d.Nodes {
		wg.Go(func() {
			host, err := (&fleet.Hosts{Desired: d, Links: links, Log: slog.New(slog.DiscardHandler)}).Observe(h.Context(), n)
			if err != nil {
				h.Error(err)
			}
			out.Nodes[i] = model.ObservedNode{Path: n.Path, Host: host}
		})
	}
	wg.Wait()
	c, err := (&fleet.Clusters{Desired: d, Links: links, Log: slog.New(slog.DiscardHandler)}).Observe(h.Context(), d.Regions[0].Path)
	if err != nil {
		h.Fatal(err)
	}
	out.Ceph = []model.ObservedCeph{c}
	return out
}

// differs checks that a plan does nothing and tells exactly these differences: pairs of a node and what is told of it.
func (h *threeHosts) differs(when string, d model.Desired, o model.Observed, want ...string) {
	h.Helper()
	p, err := planner.Make(planner.Input{Goal: plan.GoalInstall, Desired: d, Observed: o})
	if err != nil {
		h.Fatal(err)
	}
	ok := p.Empty() && len(p.Left) == len(want)/2
	for i := 0; ok && i < len(want); i += 2 {
		ok = slices.ContainsFunc(p.Left, func(l plan.Left) bool { return l.Node.Name() == want[i] && strings.Contains(l.Text, want[i+1]) })
	}
	if !ok {
		h.Errorf("%s: %d ops, left %+v, want %v", when, p.Ops(), p.Left, want)
	}
}
