package verify

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// The largest numbers that are believed, so that no sum of them can overflow: a machine of 32 TiB, a host of 2^40, days in seconds.
const (
	mostOfMachine = 1 << 25
	mostOfHost    = 1 << 40
	mostCells     = 31
)

// formRules guard what the others rely on: that numbers lead somewhere, and that nothing is told twice.
var formRules = []rule{
	{"policy in range", "form", policyForm},
	{"policy digest", "form", policyDigest},
	{"hosts", "form", hostsForm},
	{"regions", "form", regionsForm},
	{"shapes", "form", shapesForm},
	{"machines", "form", machinesForm},
	{"masks", "form", masksForm},
	{"groups", "form", groupsForm},
	{"pools", "form", poolsForm},
	{"initial hosts", "form", initialHosts},
	{"initial machines", "form", initialMachines},
}

// batchFormRules are the same for a batch.
var batchFormRules = []rule{
	{"batch", "form", batchForm},
	{"moves", "form", movesForm},
}

func policyForm(c *checker) {
	p := c.policy
	for name, v := range map[string]int64{"canary": int64(p.Canary), "max_parallel": int64(p.MaxParallel), "bake_seconds": p.BakeSeconds, "times.host": p.Times.Host,
		"times.recovery": p.Times.Recovery, "times.settle": p.Times.Settle, "max_unavailable.count": int64(p.MaxUnavailable.Count)} {
		if v < 0 || v > mostOfMachine {
			c.wrong("", "the policy's %s is %d", name, v)
		}
	}
	u := p.MaxUnavailable
	if p.ReservePercent < 0 || p.ReservePercent > 100 || u.Percent < 0 || u.Percent > 100 || (u.Count > 0 && u.Percent > 0) {
		c.wrong("", "the policy keeps %d %% in reserve and lets %d %% or %d be unavailable", p.ReservePercent, u.Percent, u.Count)
	}
	if !slices.Contains([]string{"", "zone", "region", "site"}, u.Per) || (u.Count > 0 && !slices.Contains([]string{"host", "chassis", "rack"}, u.Unit)) {
		c.wrong("", "max_unavailable counts %q per %q", u.Unit, u.Per)
	}
	if p.Method != "slot" {
		c.wrong("", "method %q is not one that this program can check", p.Method)
	}
	if _, ok := letters(p.Survive); !ok {
		c.wrong("", "%q is no grade", p.Survive)
	}
}

// policyDigest finds a policy that was changed behind the plan's back.
func policyDigest(c *checker) {
	if c.plan != nil && c.plan.Provenance.Policy != model.DigestJSON(c.policy) {
		c.wrong("", "the policy is not the one that the plan was made under: its digest is %s, the plan names %s",
			model.DigestJSON(c.policy).Short(), c.plan.Provenance.Policy.Short())
	}
}

func hostsForm(c *checker) {
	for i, h := range c.fleet.Hosts {
		if i > 0 && c.fleet.Hosts[i-1].Path >= h.Path {
			c.wrong(h.Path, "hosts are not in order: %s stands behind %s", h.Path, c.fleet.Hosts[i-1].Path)
		}
		if strings.Count(string(h.Path), "/") < 4 || strings.Contains("/"+string(h.Path)+"/", "//") {
			c.wrong(h.Path, "%q is not the path of a host in a rack, a zone, a region and a site", h.Path)
		}
		if n := int32(len(c.fleet.Classes)); h.Class < -1 || h.Class >= n || h.ClassAfter < -1 || h.ClassAfter >= n {
			c.wrong(h.Path, "%s has class %d, afterwards %d, and there are %d", h.Path, h.Class, h.ClassAfter, n)
		}
		bad := min(h.MemoryMiB, h.VCPUs, h.MiBs) < 0 || max(h.MemoryMiB, h.VCPUs, h.MiBs) > mostOfHost || len(h.Cells) > mostCells
		for _, x := range h.Cells {
			bad = bad || min(x.CPUs, x.HugeMiB) < 0 || max(x.CPUs, x.HugeMiB) > mostOfHost
		}
		if bad {
			c.wrong(h.Path, "the capacity of %s is beyond belief", h.Path)
		}
		if h.Change && h.Down {
			c.wrong(h.Path, "%s is lost and cannot be changed", h.Path)
		}
	}
}

// regionsForm demands one cluster for each region, with its OSD hosts there.
func regionsForm(c *checker) {
	regions := map[model.Path]bool{}
	for _, k := range c.fleet.Clusters {
		if regions[k.Region] {
			c.wrong(k.Region, "region %s has two clusters", k.Region)
		}
		regions[k.Region] = true
		if !slices.Contains(levels[:], k.FailureDomain) {
			c.wrong(k.Region, "%q is no failure domain", k.FailureDomain)
		}
		for i, h := range k.OSDHosts {
			if !c.isHost(h) || c.fleet.Hosts[h].Path.Region() != k.Region || (i > 0 && k.OSDHosts[i-1] >= h) {
				c.wrong(k.Region, "OSD host %d of %s is no host of it, or not in order", h, k.Region)
			}
		}
	}
	for _, h := range c.fleet.Hosts {
		if !regions[h.Path.Region()] {
			c.wrong(h.Path, "the region of %s has no cluster, so it is not known what a failure domain is there", h.Path)
		}
	}
}

func shapesForm(c *checker) {
	for _, s := range c.fleet.Shapes {
		if min(s.MemoryMiB, s.VCPUs) < 0 || max(s.MemoryMiB, s.VCPUs) > mostOfMachine || s.Cells < 0 || s.Cells > mostCells || !(s.DirtyMiBs >= 0 && s.DirtyMiBs < mostOfHost) {
			c.wrong("", "shape %s is beyond belief", s.Name)
		}
	}
}

func machinesForm(c *checker) {
	v := c.fleet.VMs
	if len(v.Host) != len(v.Names) || len(v.Shape) != len(v.Names) || (len(v.Cells) > 0 && len(v.Cells) != len(v.Names)) {
		c.wrong("", "virtual machines have %d names, %d hosts, %d shapes and %d cells", len(v.Names), len(v.Host), len(v.Shape), len(v.Cells))
		return
	}
	for i, name := range v.Names {
		if i > 0 && v.Names[i-1] >= name {
			c.wrong("", "virtual machines are not in order: %s stands behind %s", name, v.Names[i-1])
		}
		if !c.isHost(v.Host[i]) || c.fleet.Hosts[v.Host[i]].Class < 0 || v.Shape[i] < 0 || int(v.Shape[i]) >= len(c.fleet.Shapes) {
			c.wrong("", "%s is of shape %d on host %d, which cannot be", name, v.Shape[i], v.Host[i])
		}
	}
	for _, list := range []plan.Ints{v.Fixed, v.Consent} {
		for i, m := range list {
			if !c.isVM(m) || (i > 0 && list[i-1] >= m) {
				c.wrong("", "virtual machine %d of those that are fixed does not exist, or is not in order", m)
			}
		}
	}
	for _, m := range v.Consent {
		if _, ok := slices.BinarySearch(v.Fixed, m); !ok {
			c.wrong("", "there is consent to stop virtual machine %d, which need not be stopped", m)
		}
	}
}

// masksForm demands that a pinned machine has as many cells as its shape says, and that its host has them.
func masksForm(c *checker) {
	v := c.fleet.VMs
	for i := range min(len(v.Names), len(v.Host), len(v.Shape)) {
		if c.isHost(v.Host[i]) && v.Shape[i] >= 0 && int(v.Shape[i]) < len(c.fleet.Shapes) {
			if text := c.wrongMask(at(v.Cells, i), v.Shape[i], v.Host[i]); text != "" {
				c.wrong("", "%s: %s", v.Names[i], text)
			}
		}
	}
}

// wrongMask says what is wrong with a mask of NUMA cells for a shape on a host.
func (c *checker) wrongMask(mask, shape, host int32) string {
	if mask < 0 || bits.Len32(uint32(mask)) > len(c.fleet.Hosts[host].Cells) {
		return "it is pinned to NUMA cells that " + string(c.fleet.Hosts[host].Path) + " does not have"
	}
	if bits.OnesCount32(uint32(mask)) != c.fleet.Shapes[shape].Cells {
		return "it is not pinned to as many NUMA cells as its shape says"
	}
	return ""
}

// groupsForm: a member told twice would count twice for a quorum.
func groupsForm(c *checker) {
	for _, g := range c.fleet.Groups {
		if g.Kind != plan.Quorum && g.Kind != plan.Standby && g.Kind != plan.Key {
			c.wrong("", "group %s is of kind %q", g.Name, g.Kind)
		}
		for i, h := range g.Hosts {
			if !c.isHost(h) || slices.Contains(g.Hosts[:i], h) {
				c.wrong("", "member %d of group %s is no host, or told twice", h, g.Name)
			}
		}
	}
	for _, a := range c.fleet.Apart {
		if !slices.Contains([]string{plan.LevelHost, plan.LevelChassis, plan.LevelRack}, a.Level) {
			c.wrong("", "group %s is kept apart by %q", a.Name, a.Level)
		}
		for _, m := range a.VMs {
			if !c.isVM(m) {
				c.wrong("", "member %d of group %s is no virtual machine", m, a.Name)
			}
		}
	}
	for _, l := range c.fleet.Links {
		for _, h := range l.Hosts {
			if !c.isHost(h) || l.MiBs < 0 {
				c.wrong("", "link %s of %d MiB/s leads to host %d", l.Name, l.MiBs, h)
			}
		}
	}
}

// poolsForm: a copy told twice, or on a host without OSDs, would hide that it is missing.
func poolsForm(c *checker) {
	for _, k := range c.fleet.Clusters {
		osd := map[int32]bool{-1: true}
		for _, h := range k.OSDHosts {
			osd[h] = true
		}
		for _, p := range k.Pools {
			if p.Size < 1 || p.Size > 64 || p.MinSize < 1 || p.MinSize > p.Size || p.Data < 1 || p.Data > p.MinSize || len(p.Acting) != len(p.Count)*p.Size {
				c.wrong(k.Region, "pool %s: size %d, min_size %d, data %d, %d acting sets of %d hosts", p.Name, p.Size, p.MinSize, p.Data, len(p.Count), len(p.Acting))
				continue
			}
			for i, n := range p.Count {
				set := p.Acting[i*p.Size:][:p.Size]
				for j, h := range set {
					if n < 1 || !osd[h] || (h >= 0 && slices.Contains(set[:j], h)) {
						c.wrong(k.Region, "pool %s: acting set %d holds host %d, which has no OSDs there or is told twice, %d times", p.Name, i, h, n)
					}
				}
			}
		}
	}
}

// initialHosts demands that the fleet leaves out no node that the plan knows, and that a host that is off counts as lost.
func initialHosts(c *checker) {
	if c.plan == nil {
		return
	}
	known := map[model.Path]*plan.Host{}
	for i, h := range c.fleet.Hosts {
		known[h.Path] = &c.fleet.Hosts[i]
	}
	for sub := range c.plan.Initial {
		path, ok := sub.Node()
		if !ok {
			continue
		}
		if known[path] == nil {
			c.wrong(path, "%s is in the plan's initial state, and not in the fleet", path)
		} else if c.plan.Initial.Get(sub, plan.AttrPower) == "off" && !known[path].Down {
			c.wrong(path, "%s is off, and not counted as lost", path)
		}
	}
}

// initialMachines demands that a virtual machine of the initial state is where the fleet has it.
func initialMachines(c *checker) {
	if c.plan == nil {
		return
	}
	for sub := range c.plan.Initial {
		name, ok := sub.VM()
		on := c.plan.Initial.Get(sub, plan.AttrRuns)
		if !ok || on == "" {
			continue
		}
		i, found := slices.BinarySearch(c.fleet.VMs.Names, name)
		if !found || i >= len(c.fleet.VMs.Host) || !c.isHost(c.fleet.VMs.Host[i]) || string(c.fleet.Hosts[c.fleet.VMs.Host[i]].Path) != on {
			c.wrong(model.Path(on), "%s runs on %s, and the fleet has it elsewhere or not at all", name, on)
		}
	}
}

func batchForm(c *checker) {
	b := c.b
	if len(b.Hosts) == 0 {
		c.wrong(b.Zone, "it has no hosts")
	}
	for i, h := range b.Hosts {
		if !c.isHost(h) || (i > 0 && b.Hosts[i-1] >= h) {
			c.wrong(b.Zone, "host %d is none, or not in order", h)
		}
	}
	if b.Seconds < 0 {
		c.wrong(b.Zone, "it takes %d seconds", b.Seconds)
	}
	if c.plan != nil && (b.Stage < 0 || b.Stage >= len(c.plan.Stages)) {
		c.wrong(b.Zone, "its stage is %d of %d", b.Stage, len(c.plan.Stages))
	}
}

func movesForm(c *checker) {
	m := c.b.Moves
	if len(m.VM) != len(m.To) || (len(m.Cells) > 0 && len(m.Cells) != len(m.VM)) {
		c.wrong(c.b.Zone, "%d virtual machines move to %d hosts and %d cells", len(m.VM), len(m.To), len(m.Cells))
		return
	}
	for i, vm := range m.VM {
		if !c.isVM(vm) || !c.isHost(m.To[i]) {
			c.wrong(c.b.Zone, "virtual machine %d moves to host %d, and one of them does not exist", vm, m.To[i])
		}
	}
	for i, vm := range c.b.Stops {
		if !c.isVM(vm) || (i > 0 && c.b.Stops[i-1] >= vm) {
			c.wrong(c.b.Zone, "virtual machine %d is stopped, which does not exist or is not in order", vm)
		}
	}
}

func (c *checker) isHost(i int32) bool { return i >= 0 && int(i) < len(c.fleet.Hosts) }

func (c *checker) isVM(i int32) bool { return i >= 0 && int(i) < len(c.fleet.VMs.Names) }

// at is element i of a column that may be left out.
func at(column plan.Ints, i int) int32 {
	if i < len(column) {
		return column[i]
	}
	return 0
}
