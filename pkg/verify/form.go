package verify

import (
	"math/bits"
	"slices"
	"strconv"
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

// indexRules and batchIndexRules come first: that every number leads somewhere.
var indexRules = []rule{{"numbers", "form", numbers}}

var batchIndexRules = []rule{{"numbers of a batch", "form", batchNumbers}}

// formRules rely on these, and the others on them: that nothing is told twice, and that no sum overflows.
var formRules = []rule{
	{"policy in range", "form", policyForm},
	{"hosts", "form", hostsForm},
	{"regions", "form", regionsForm},
	{"shapes", "form", shapesForm},
	{"machines", "form", machinesForm},
	{"groups", "form", groupsForm},
	{"pools", "form", poolsForm},
}

// planFormRules demand that the certificate is about the plan that it is in.
var planFormRules = []rule{
	{"policy digest", "form", policyDigest},
	{"goal", "form", goalForm},
	{"initial state", "form", initialState},
}

// numbers looks at the columns of the fleet.
func numbers(c *checker) {
	f, v := c.fleet, c.fleet.VMs
	hosts, vms, shapes, classes := len(f.Hosts), len(v.Names), len(f.Shapes), len(f.Classes)
	c.must(len(v.Host) == vms && len(v.Shape) == vms && (len(v.Cells) == 0 || len(v.Cells) == vms), "",
		"virtual machines have %d names, %d hosts, %d shapes and %d cells", vms, len(v.Host), len(v.Shape), len(v.Cells))
	c.column("hosts of virtual machines", v.Host, hosts, false)
	c.column("shapes of virtual machines", v.Shape, shapes, false)
	c.column("virtual machines that are fixed", v.Fixed, vms, true)
	c.column("virtual machines that may be stopped", v.Consent, vms, true)
	for _, g := range f.Groups {
		c.column("members of group "+g.Name, g.Hosts, hosts, false)
	}
	for _, a := range f.Apart {
		c.column("members of group "+a.Name, a.VMs, vms, false)
	}
	for _, l := range f.Links {
		c.column("hosts of link "+l.Name, l.Hosts, hosts, false)
	}
	for _, k := range f.Clusters {
		c.column("OSD hosts of "+string(k.Region), k.OSDHosts, hosts, true)
		c.column("monitors of "+string(k.Region), k.Mons, hosts, true)
		c.column("managers of "+string(k.Region), k.Mgrs, hosts, true)
	}
	for _, h := range f.Hosts {
		c.must(min(h.Class, h.ClassAfter) >= -1 && int(max(h.Class, h.ClassAfter)) < classes, h.Path, "%s has class %d, afterwards %d, and there are %d", h.Path, h.Class, h.ClassAfter, classes)
	}
}

func batchNumbers(c *checker) {
	b, hosts, vms := c.b, len(c.fleet.Hosts), len(c.fleet.VMs.Names)
	c.must(len(b.Moves.VM) == len(b.Moves.To) && (len(b.Moves.Cells) == 0 || len(b.Moves.Cells) == len(b.Moves.VM)), b.Zone,
		"%d virtual machines move to %d hosts and %d cells", len(b.Moves.VM), len(b.Moves.To), len(b.Moves.Cells))
	c.column("hosts of the batch", b.Hosts, hosts, true)
	c.column("virtual machines that move", b.Moves.VM, vms, false)
	c.column("hosts that they move to", b.Moves.To, hosts, false)
	c.column("virtual machines that are stopped", b.Stops, vms, true)
	c.must(len(b.Hosts) > 0 && b.Seconds >= 0, b.Zone, "it has %d hosts and takes %d seconds", len(b.Hosts), b.Seconds)
	c.must(c.plan == nil || b.Stage >= 0 && b.Stage < len(c.plan.Stages), b.Zone, "its stage is %d, and there is none", b.Stage)
}

// column demands of numbers that each is one of so many; where they are to be ascending, that none stands twice.
func (c *checker) column(name string, list plan.Ints, many int, ascending bool) {
	for i, n := range list {
		if n < 0 || int(n) >= many || (ascending && i > 0 && list[i-1] >= n) {
			c.wrong("", "%s: number %d is none of %d, or not in order", name, n, many)
		}
	}
}

// within reports whether all numbers are from 0 to most.
func within(most int64, numbers ...int64) bool {
	return !slices.ContainsFunc(numbers, func(n int64) bool { return n < 0 || n > most })
}

func policyForm(c *checker) {
	p, u := c.policy, c.policy.MaxUnavailable
	c.must(within(mostOfMachine, int64(p.Canary), int64(p.MaxParallel), p.BakeSeconds, p.Times.Host, p.Times.Recovery, p.Times.Settle, int64(u.Count)), "",
		"the policy has a number that is below zero or beyond belief: %+v", *p)
	c.must(within(100, int64(p.ReservePercent), int64(u.Percent)) && (u.Count == 0 || u.Percent == 0), "",
		"the policy keeps %d %% in reserve and lets %d %% or %d be unavailable", p.ReservePercent, u.Percent, u.Count)
	c.must(slices.Contains([]string{"", "zone", "region", "site"}, u.Per) && (u.Count == 0 || slices.Contains([]string{"host", "chassis", "rack"}, u.Unit)), "",
		"max_unavailable counts %q per %q", u.Unit, u.Per)
	c.must(c.way().chain != nil, "", "method %q is not one that this program can check", p.Method)
	c.must(!p.Stays || p.InPlace(), "", "virtual machines cannot stay on hosts that are changed by %q", p.Method)
	c.must(isGrade(p.Survive), "", "%q is no grade", p.Survive)
}

// goalForm finds a plan that is called something else than what it does: abort and apply go by its goal.
func goalForm(c *checker) {
	c.must(slices.Contains(c.way().goals, c.plan.Goal), "", "a plan whose goal is %q cannot have the method %q", c.plan.Goal, c.policy.Method)
}

// policyDigest finds a policy that was changed behind the plan's back.
func policyDigest(c *checker) {
	is, named := model.DigestJSON(c.policy), c.plan.Provenance.Policy
	c.must(is == named, "", "the policy is not the one that the plan was made under: its digest is %s, the plan names %s", is.Short(), named.Short())
}

func hostsForm(c *checker) {
	last := model.Path("")
	for _, h := range c.fleet.Hosts {
		c.must(last < h.Path, h.Path, "hosts are not in order: %s stands behind %s", h.Path, last)
		c.must(strings.Count(string(h.Path), "/") >= 4 && !strings.Contains("/"+string(h.Path)+"/", "//"), h.Path,
			"%q is not the path of a host in a rack, a zone, a region and a site", h.Path)
		good := within(mostOfHost, h.MemoryMiB, h.VCPUs, h.MiBs, int64(h.Ceph), int64(h.CephAfter)) && len(h.Cells) <= mostCells
		for _, x := range h.Cells {
			good = good && within(mostOfHost, x.CPUs, x.HugeMiB)
		}
		c.must(good, h.Path, "the capacity of %s is beyond belief", h.Path)
		last = h.Path
	}
}

// regionsForm demands one cluster for each region, with its OSD hosts there.
func regionsForm(c *checker) {
	regions := map[model.Path]bool{}
	for _, k := range c.fleet.Clusters {
		c.must(!regions[k.Region], k.Region, "region %s has two clusters", k.Region)
		regions[k.Region] = true
		c.must(within(mostOfMachine, int64(k.Require)), k.Region, "its cluster requires release %d", k.Require)
		c.must(slices.Contains(levels[:], k.FailureDomain), k.Region, "%q is no failure domain", k.FailureDomain)
		for _, f := range k.Filesystems {
			c.must(within(mostOfMachine, int64(f.Ranks)), k.Region, "file system %s has %d ranks", f.Name, f.Ranks)
		}
		for _, h := range k.OSDHosts {
			c.must(c.path(h).Region() == k.Region, k.Region, "OSD host %s is not in %s", c.path(h), k.Region)
		}
	}
	for _, h := range c.fleet.Hosts {
		c.must(regions[h.Path.Region()], h.Path, "the region of %s has no cluster, so it is not known what a failure domain is there", h.Path)
	}
}

func shapesForm(c *checker) {
	for _, s := range c.fleet.Shapes {
		good := within(mostOfMachine, s.MemoryMiB, s.VCPUs) && within(mostCells, int64(s.Cells)) && s.DirtyMiBs >= 0 && s.DirtyMiBs < mostOfHost
		c.must(good, "", "shape %s is beyond belief", s.Name)
	}
}

// machinesForm: a name told twice, a host that runs none, a pinned machine without the cells that its shape says.
func machinesForm(c *checker) {
	v, last := c.fleet.VMs, ""
	for i, name := range v.Names {
		if i > 0 && last >= name {
			c.wrong("", "virtual machines are not in order: %s stands behind %s", name, last)
		}
		if c.fleet.Hosts[v.Host[i]].Class < 0 {
			c.wrong("", "%s is on %s, which runs no virtual machines", name, c.path(v.Host[i]))
		}
		if text := c.wrongMask(at(v.Cells, i), v.Shape[i], v.Host[i]); text != "" {
			c.wrong("", "%s: %s", name, text)
		}
		last = name
	}
}

// wrongMask says what is wrong with a mask of NUMA cells for a shape on a host, which has fewer cells than a mask has bits.
func (c *checker) wrongMask(mask, shape, host int32) string {
	if bits.Len32(uint32(mask)) > len(c.fleet.Hosts[host].Cells) {
		return "it is pinned to NUMA cells that the host does not have"
	}
	return when(bits.OnesCount32(uint32(mask)) != c.fleet.Shapes[shape].Cells, "it is not pinned to as many NUMA cells as its shape says")
}

// groupsForm: a member told twice would count twice for a quorum.
func groupsForm(c *checker) {
	for _, g := range c.fleet.Groups {
		c.must(slices.Contains([]plan.GroupKind{plan.Quorum, plan.Standby, plan.Key}, g.Kind), "", "group %s is of kind %q", g.Name, g.Kind)
		for i, h := range g.Hosts {
			c.must(!slices.Contains(g.Hosts[:i], h), "", "member %s of group %s is told twice", c.path(h), g.Name)
		}
	}
	for _, a := range c.fleet.Apart {
		c.must(slices.Contains([]string{plan.LevelHost, plan.LevelChassis, plan.LevelRack}, a.Level), "", "group %s is kept apart by %q", a.Name, a.Level)
	}
}

// poolsForm: a copy told twice, or on a host without OSDs, would hide that it is missing.
func poolsForm(c *checker) {
	for _, k := range c.fleet.Clusters {
		osd := make([]bool, len(c.fleet.Hosts))
		for _, h := range k.OSDHosts {
			osd[h] = true
		}
		for _, p := range k.Pools {
			if p.Data < 1 || p.Data > p.MinSize || p.MinSize > p.Size || p.Size > 64 || len(p.Acting) != len(p.Count)*p.Size {
				c.wrong(k.Region, "pool %s: size %d, min_size %d, data %d, %d acting sets of %d hosts", p.Name, p.Size, p.MinSize, p.Data, len(p.Count), len(p.Acting))
				continue
			}
			for i, h := range p.Acting {
				n, before := p.Count[i/p.Size], p.Acting[i-i%p.Size:i]
				if n < 1 || h != -1 && (h < 0 || int(h) >= len(osd) || !osd[h] || slices.Contains(before, h)) {
					c.wrong(k.Region, "pool %s: acting set %d holds host %d, which has no OSDs there or is told twice, %d times", p.Name, i/p.Size, h, n)
				}
			}
		}
	}
}

// initialState demands that the fleet leaves out no node that the plan knows, that a host that is off counts as lost, and that virtual machines are where
// the fleet has them.
func initialState(c *checker) {
	known := make(map[model.Path]*plan.Host, len(c.fleet.Hosts))
	for i, h := range c.fleet.Hosts {
		known[h.Path] = &c.fleet.Hosts[i]
	}
	for sub, is := range c.plan.Initial {
		if path, ok := sub.Node(); ok {
			h := known[path]
			c.must(h != nil, path, "%s is in the plan's initial state, and not in the fleet", path)
			c.must(h == nil || h.Down || is[plan.AttrPower] != "off", path, "%s is off, and not counted as lost", path)
		}
		if region, ok := sub.Ceph(); ok && is[plan.AttrRequire] != "" {
			there := slices.ContainsFunc(c.fleet.Clusters, func(k plan.Cluster) bool {
				return k.Region == region && strconv.Itoa(k.Require) == is[plan.AttrRequire]
			})
			c.must(there, region, "its cluster requires release %s, and the fleet has it otherwise", is[plan.AttrRequire])
		}
		if name, ok := sub.VM(); ok && is[plan.AttrRuns] != "" {
			i, found := slices.BinarySearch(c.fleet.VMs.Names, name)
			there := found && string(c.path(c.fleet.VMs.Host[i])) == is[plan.AttrRuns]
			c.must(there, model.Path(is[plan.AttrRuns]), "%s runs on %s, and the fleet has it elsewhere or not at all", name, is[plan.AttrRuns])
		}
	}
}
