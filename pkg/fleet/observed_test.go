package fleet

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// TestFleetOfARealCluster: what a real cluster of three hosts said is all that a rollout's plan needs to know of it.
func TestFleetOfARealCluster(t *testing.T) {
	text, err := os.ReadFile("../host/ceph/testdata/region.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]json.RawMessage
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	o, err := ceph.Decode(answers)
	if err != nil {
		t.Fatal(err)
	}
	d := model.Desired{Regions: []model.Region{{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host"}}}}
	var seen model.Observed
	var members []member
	for i, name := range []string{"blade-01", "blade-02", "blade-03"} {
		n := model.Node{Path: model.Path("lab/r1/az1/a").Join(name), Name: name, Roles: []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD},
			NICs: []model.NIC{{Name: "eth0", Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}), 24)}}}
		d.Nodes = append(d.Nodes, n)
		members = append(members, member{node: n})
		seen.Nodes = append(seen.Nodes, model.ObservedNode{Path: n.Path, Host: model.ObservedHost{Reachable: true}})
	}
	o.Region = "lab/r1"
	(&Clusters{Desired: d}).name(&o, members)
	seen.Ceph = []model.ObservedCeph{o}
	f, err := facts.Fleet(d, seen, func(model.Node) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	c := f.Clusters[0]
	if len(f.Clusters) != 1 || c.FailureDomain != "host" || !slices.Equal(c.OSDHosts, []int32{0, 1, 2}) || len(c.Pools) != len(o.Pools) {
		t.Errorf("the cluster is %+v", f.Clusters)
	}
	for i, p := range c.Pools {
		groups := int32(0)
		for _, n := range p.Count {
			groups += n
		}
		if !slices.Equal(p.Acting, []int32{0, 1, 2}) || int(groups) != o.Pools[i].PGs || p.Size != o.Pools[i].Size || p.MinSize != o.Pools[i].MinSize { // each group is on each host once
			t.Errorf("pool %+v of %+v", p, o.Pools[i])
		}
	}
	groups := map[string]plan.Group{}
	for _, g := range f.Groups {
		groups[strings.Fields(g.Name)[0]] = g
	}
	if g := groups["mon"]; g.Kind != plan.Quorum || !slices.Equal(g.Hosts, []int32{0, 1, 2}) {
		t.Errorf("monitors: %+v", g)
	}
	if g := groups["mgr"]; g.Kind != plan.Standby || !slices.Equal(g.Hosts, []int32{0, 1}) {
		t.Errorf("managers: %+v", g)
	}
	seen.Ceph[0].Unsure = "the state of 1.7 is unknown"
	if _, err := facts.Fleet(d, seen, func(model.Node) bool { return true }); err == nil || !strings.Contains(err.Error(), "1.7") {
		t.Errorf("a plan is made of what is not known: %v", err)
	}
}
