package verify

import (
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Every number and every word that the rules rely on is looked at: each of these is found by one condition alone, under its text.
func TestEveryFormIsAskedFor(t *testing.T) {
	for name, x := range map[string]struct {
		text   string
		damage func(x *plan.Certificate)
	}{
		"hosts of machines, one missing":  {"28 names, 27 hosts", func(x *plan.Certificate) { x.Fleet.VMs.Host = x.Fleet.VMs.Host[:27] }},
		"cells of machines, some missing": {"28 shapes and 5 cells", func(x *plan.Certificate) { x.Fleet.VMs.Cells = x.Fleet.VMs.Cells[:5] }},
		"a class below none":              {"has class -2", func(x *plan.Certificate) { x.Fleet.Hosts[3].Class = -2 }},
		"a class afterwards below none":   {"afterwards -2", func(x *plan.Certificate) { x.Fleet.Hosts[3].ClassAfter = -2 }},
		"a shape that there is not":       {"shapes of virtual machines: number 9", func(x *plan.Certificate) { x.Fleet.VMs.Shape[0] = 9 }},
		"a machine fixed that is not":     {"virtual machines that are fixed: number 99", func(x *plan.Certificate) { x.Fleet.VMs.Fixed = plan.Ints{99} }},
		"the fixed out of order":          {"virtual machines that are fixed: number 26", func(x *plan.Certificate) { slices.Reverse(x.Fleet.VMs.Fixed) }},
		"consent of one that is not":      {"that may be stopped: number 99", func(x *plan.Certificate) { x.Fleet.VMs.Consent = plan.Ints{99} }},
		"consents out of order":           {"that may be stopped: number 26", func(x *plan.Certificate) { slices.Reverse(x.Fleet.VMs.Consent) }},
		"apart from one that is not":      {"members of group web: number 99", func(x *plan.Certificate) { x.Fleet.Apart[1].VMs[0] = 99 }},
		"an OSD host that is not":         {"OSD hosts of s/r: number 99", func(x *plan.Certificate) { x.Fleet.Clusters[0].OSDHosts[11] = 99 }},
		"a monitor's host that is not":    {"monitors of s/r: number 99", func(x *plan.Certificate) { x.Fleet.Clusters[0].Mons = plan.Ints{99} }},
		"a manager's host that is not":    {"managers of s/r: number 99", func(x *plan.Certificate) { x.Fleet.Clusters[0].Mgrs = plan.Ints{99} }},
		"a release of Ceph below none":    {"the capacity of s/r/az1/a/h1 is beyond", func(x *plan.Certificate) { x.Fleet.Hosts[0].CephAfter = -1 }},
		"OSD hosts out of order":          {"OSD hosts of s/r: number 0", func(x *plan.Certificate) { slices.Reverse(x.Fleet.Clusters[0].OSDHosts) }},
		"fewer destinations than moves":   {"move to 1 hosts", func(x *plan.Certificate) { x.Batches[0].Moves.To = x.Batches[0].Moves.To[:1] }},
		"a batch of nobody":               {"it has 0 hosts", func(x *plan.Certificate) { x.Batches[0].Hosts = nil }},
		"a batch of a stage before all":   {"its stage is -1", func(x *plan.Certificate) { x.Batches[0].Stage = -1 }},
		"a batch of a host that is not":   {"hosts of the batch: number 99", func(x *plan.Certificate) { x.Batches[0].Hosts = plan.Ints{99} }},
		"a host twice in a batch":         {"hosts of the batch: number 2", func(x *plan.Certificate) { x.Batches[2].Hosts = plan.Ints{2, 2} }},
		"a move of one that is not":       {"virtual machines that move: number 99", func(x *plan.Certificate) { x.Batches[0].Moves.VM[0] = 99 }},
		"a stop of one that is not":       {"virtual machines that are stopped: number 99", func(x *plan.Certificate) { x.Batches[0].Stops = plan.Ints{99} }},
		"stops out of order":              {"virtual machines that are stopped: number 1", func(x *plan.Certificate) { x.Batches[0].Stops = plan.Ints{2, 1} }},
		"more in reserve than there is":   {"keeps 101 % in reserve", func(x *plan.Certificate) { x.Policy.ReservePercent = 101 }},
		"a limit in two units":            {"lets 10 % or 2 be unavailable", func(x *plan.Certificate) { x.Policy.MaxUnavailable.Percent = 10 }},
		"a limit per planet":              {`per "planet"`, func(x *plan.Certificate) { x.Policy.MaxUnavailable.Per = "planet" }},
		"a limit in planets":              {`max_unavailable counts "planet"`, func(x *plan.Certificate) { x.Policy.MaxUnavailable.Unit = "planet" }},
		"a method that nobody knows":      {`method "hope" is not one that`, func(x *plan.Certificate) { x.Policy.Method = "hope" }},
		"a grade that is none":            {`"A+" is no grade`, func(x *plan.Certificate) { x.Policy.Survive = "A+" }},
		"a host of no rack":               {"is not the path of a host in a rack", func(x *plan.Certificate) { x.Fleet.Hosts[0].Path = "s/r/az1/a" }},
		"a host of a rack without a name": {"is not the path of a host in a rack", func(x *plan.Certificate) { x.Fleet.Hosts[0].Path = "s/r/az1//h1" }},
		"a host with a cell of too much":  {"the capacity of s/r/az1/a/h1 is beyond", func(x *plan.Certificate) { x.Fleet.Hosts[0].Cells[1].HugeMiB = 1 << 50 }},
		"a host with too many cells":      {"the capacity of s/r/az1/a/h1 is beyond", func(x *plan.Certificate) { x.Fleet.Hosts[0].Cells = make([]plan.Cell, 32) }},
		"a failure domain of no kind":     {`"row" is no failure domain`, func(x *plan.Certificate) { x.Fleet.Clusters[0].FailureDomain = "row" }},
		"an OSD host of another region":   {"is not in t/r", func(x *plan.Certificate) { x.Fleet.Clusters[0].Region = "t/r" }},
		"a shape on too many cells":       {"shape pinned is beyond belief", func(x *plan.Certificate) { x.Fleet.Shapes[2].Cells = 32 }},
		"a shape that writes for ever":    {"shape m is beyond belief", func(x *plan.Certificate) { x.Fleet.Shapes[0].DirtyMiBs = 1e300 }},
		"apart by planets":                {`kept apart by "planet"`, func(x *plan.Certificate) { x.Fleet.Apart[0].Level = "planet" }},
		"a machine where none can run":    {"which runs no virtual machines", func(x *plan.Certificate) { x.Fleet.Hosts[0].Class = -1 }},
		"a machine in cells that are not": {"NUMA cells that the host does not have", func(x *plan.Certificate) { x.Fleet.VMs.Cells[24] = 4 }},
		"a machine in cells below zero":   {"NUMA cells that the host does not have", func(x *plan.Certificate) { x.Fleet.VMs.Cells[24] = -2147483648 }},
		"a pool of no size":               {"pool vms: size 0", func(x *plan.Certificate) { p := &x.Fleet.Clusters[0].Pools[0]; p.Size, p.Acting, p.Count = 0, nil, nil }},
		"a pool of any size": {"pool vms: size 65", func(x *plan.Certificate) {
			p := &x.Fleet.Clusters[0].Pools[0]
			p.Size, p.Acting, p.Count = 65, nil, nil
		}},
		"a pool that works on nothing":    {"min_size 0, data 0", func(x *plan.Certificate) { p := &x.Fleet.Clusters[0].Pools[0]; p.MinSize, p.Data = 0, 0 }},
		"a pool that never works":         {"min_size 4, data 1", func(x *plan.Certificate) { x.Fleet.Clusters[0].Pools[0].MinSize = 4 }},
		"a pool that works and loses":     {"min_size 2, data 3", func(x *plan.Certificate) { x.Fleet.Clusters[0].Pools[0].Data = 3 }},
		"a pool with a set too short":     {"6 acting sets of 17 hosts", func(x *plan.Certificate) { p := &x.Fleet.Clusters[0].Pools[0]; p.Acting = p.Acting[:17] }},
		"an acting set of nothing":        {"0 times", func(x *plan.Certificate) { x.Fleet.Clusters[0].Pools[0].Count[0] = 0 }},
		"an acting set on nobody":         {"holds host -7", func(x *plan.Certificate) { x.Fleet.Clusters[0].Pools[0].Acting[0] = -7 }},
		"an acting set far away":          {"holds host 99", func(x *plan.Certificate) { x.Fleet.Clusters[0].Pools[0].Acting[0] = 99 }},
		"a batch's grade written wrongly": {`this reaches "C+A"`, func(x *plan.Certificate) { x.Batches[0].Grade = "C+A" }},
		"the rollout's, written wrongly":  {`"C+A" is no grade`, func(x *plan.Certificate) { x.Grade = "C+A" }},
		"the bound of a zone twice": {"or twice", func(x *plan.Certificate) {
			b := &x.Bound
			b.Zones, b.Rounds = append(b.Zones, b.Zones[0]), b.Rounds+b.Zones[0].Bound
		}},
		"a bound that max_parallel breaks": {"a bound of 1 cannot be", func(x *plan.Certificate) { x.Bound.Zones[0].Bound, x.Bound.Rounds = 1, x.Bound.Rounds-1 }},
		"the bound of a zone forgotten":    {"there are 2 zones", func(x *plan.Certificate) { b := &x.Bound; b.Rounds -= b.Zones[1].Bound; b.Zones = b.Zones[:1] }},
		"a machine stopped for good":       {"which will run no virtual machines", func(x *plan.Certificate) { x.Fleet.Hosts[no(0, 2, 1)].ClassAfter = -1 }},
		"a host that is lost by then":      {"is lost, or not to be changed", func(x *plan.Certificate) { x.Fleet.Hosts[no(0, 2, 1)].Down = true }},
	} {
		t.Run(name, func(t *testing.T) {
			p := good(t)
			x.damage(p.Certificate)
			p.Provenance.Policy = model.DigestJSON(p.Certificate.Policy)
			for _, invariant := range []string{"form", "grade", "bound", "I7", "I11"} {
				if says(Plan(p), invariant, x.text) {
					return
				}
			}
			t.Errorf("got %v\nwant …%s…", Plan(p), x.text)
		})
	}
}

// OSDs are taken out of a cluster beside a decommission only when the op expects that their disks are gone.
func TestOnlyLostOSDsArePurged(t *testing.T) {
	o := plan.Op{ID: plan.ID(plan.CephPurge, first), Kind: plan.CephPurge, Target: first, Args: map[string]string{"osds": "osd.3"}}
	p := plan.Plan{Goal: plan.GoalInstall}
	for value, want := range map[string]bool{"": false, "osd.4": false, "osd.3": true} {
		o.Pre = []plan.Fact{{Attr: plan.AttrLost, Subject: first, Value: value}}
		if err := uncertified(p, o); (err == nil) != want {
			t.Errorf("lost %q: %v", value, err)
		}
	}
	if o.Args = nil; uncertified(p, o) == nil {
		t.Error("OSDs that nobody names are purged")
	}
}
