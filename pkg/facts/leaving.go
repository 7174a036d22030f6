package facts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// projectLeaving tells what a cluster still has of a node that leaves. osds are those that are counted as its own.
func projectLeaving(c model.ObservedCeph, osds []model.ObservedOSD, n model.Node, st plan.State) {
	set := func(a plan.Attr, v string) { st.Set(plan.Fact{Subject: plan.NodeSubject(n.Path), Attr: a, Value: v}) }
	switch {
	case slices.ContainsFunc(osds, func(o model.ObservedOSD) bool { return o.In }):
		set(plan.AttrData, plan.In)
	case len(osds) > 0 || slices.Contains(c.Empty, n.Name):
		set(plan.AttrData, plan.Out)
	default:
		set(plan.AttrData, plan.None)
	}
	if Needed(c, osds) == "" {
		set(plan.AttrEmpty, plan.Yes)
	}
	set(plan.AttrMember, member(c, n))
	for _, h := range c.Hosts {
		if h.Node == n.Path && h.Error == "" {
			set(plan.AttrWiped, wiped(h, n))
		}
	}
}

// Needed says why OSDs cannot go yet, by our own count: a placement group that is not known or not clean, or one with a copy on them. Empty: they can, as far as
// an observation tells; Ceph is asked as well before any goes.
func Needed(c model.ObservedCeph, osds []model.ObservedOSD) string {
	if c.Unsure != "" {
		return c.Unsure
	}
	ids := make(map[int32]bool, len(osds))
	for _, o := range osds {
		ids[int32(o.ID)] = true
	}
	unclean, here := 0, 0
	for _, p := range c.Pools {
		unclean += p.Unclean
		for _, id := range p.Acting {
			if ids[id] {
				here++
			}
		}
	}
	switch {
	case here > 0:
		return fmt.Sprintf("%d copies of placement groups are on them", here)
	case unclean > 0:
		return fmt.Sprintf("%d placement groups are not active and clean", unclean)
	}
	return ""
}

// member names the daemons of a node that its cluster counts, up or not.
func member(c model.ObservedCeph, n model.Node) string {
	var out []string
	for _, d := range []struct {
		kind string
		list []model.ObservedDaemon
	}{{"mon", c.Mons}, {"mgr", c.Mgrs}, {"mds", c.MDSs}, {"rgw", c.RGWs}} {
		if slices.ContainsFunc(d.list, func(o model.ObservedDaemon) bool { return o.Node == n.Path || o.Name == n.Name }) {
			out = append(out, d.kind)
		}
	}
	if len(out) == 0 {
		return plan.None
	}
	return strings.Join(out, ", ")
}

// ToWipe are the disks of a leaving node that it consents to lose, but for that of its system, which runs.
func ToWipe(h model.ObservedCephHost, n model.Node) []model.Disk {
	var out []model.Disk
	for _, d := range h.Disks {
		if d.Serial != "" && slices.Contains(n.Consent, d.Serial) && !n.RootDevice.Matches(d) {
			out = append(out, d)
		}
	}
	return out
}

// wiped is plan.AttrWiped.
func wiped(h model.ObservedCephHost, n model.Node) string {
	var full []string
	for _, d := range ToWipe(h, n) {
		if holds(h, d) {
			full = append(full, d.Serial)
		}
	}
	if len(full) == 0 {
		return plan.Yes
	}
	return strings.Join(full, ",")
}

func holds(h model.ObservedCephHost, d model.Disk) bool {
	return len(d.Signatures) > 0 || slices.ContainsFunc(h.Volumes, func(v model.ObservedVolume) bool { return v.Device == d.Name })
}

// Kept are the serial numbers of the disks of a leaving node, but for that of its system, that hold something and that it does not consent to lose.
func Kept(h model.ObservedCephHost, n model.Node) []string {
	var out []string
	for _, d := range h.Disks {
		if !n.RootDevice.Matches(d) && holds(h, d) && (d.Serial == "" || !slices.Contains(n.Consent, d.Serial)) {
			out = append(out, d.Serial)
		}
	}
	return out
}

// LostOSDs are the OSDs of a node that are down and whose disks are not in its machine any more. Of a host that could not be looked at there are none.
func LostOSDs(c model.ObservedCeph, n model.Node) []model.ObservedOSD {
	var out []model.ObservedOSD
	for _, o := range c.OSDs {
		if o.Node == n.Path && lost(c, o) {
			out = append(out, o)
		}
	}
	return out
}

func lost(c model.ObservedCeph, o model.ObservedOSD) bool {
	if o.Up || o.FSID == "" {
		return false
	}
	for _, h := range c.Hosts {
		if h.Node == o.Node && h.Error == "" {
			return !slices.ContainsFunc(h.Volumes, func(v model.ObservedVolume) bool { return v.FSID == o.FSID })
		}
	}
	return false
}

// OSDNames lists OSDs as "osd.3,osd.4"; ParseOSDs gives their numbers back.
func OSDNames(list []model.ObservedOSD) string {
	out := make([]string, len(list))
	for i, o := range list {
		out[i] = "osd." + strconv.Itoa(o.ID)
	}
	return strings.Join(out, ",")
}

// ParseOSDs reads what OSDNames writes.
func ParseOSDs(text string) ([]int, error) {
	var out []int
	for _, name := range strings.Split(text, ",") {
		digits, ok := strings.CutPrefix(name, "osd.")
		id, err := strconv.Atoi(digits)
		if !ok || err != nil || id < 0 {
			return nil, fmt.Errorf("%q is not the name of an OSD", name)
		}
		out = append(out, id)
	}
	return out, nil
}
