package facts_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// A machine that is being moved is seen on two hosts: what that counts for depends on whether its source is a host that is being emptied.
func TestFleetWithMachinesUnderWay(t *testing.T) {
	const paused = "paused"
	for name, c := range map[string]struct {
		leaving         []model.Path
		here, there     bool // on one, on two: arriving
		wants, complain string
	}{
		"off a leaving host":                {leaving: []model.Path{one}, there: true, wants: "a on two"},
		"off a leaving host, switched over": {leaving: []model.Path{one}, here: true, there: true, wants: "a on two"},
		"onto a leaving host":               {leaving: []model.Path{two}, there: true, wants: "a on one"},
		"between hosts of one batch":        {leaving: []model.Path{one, two}, there: true, wants: "a on two"},
		"between others":                    {leaving: []model.Path{three}, there: true, wants: "a on one, a (arriving) on two fixed"},
		"the other way":                     {leaving: []model.Path{two}, here: true, wants: "a on one"},
		"two of one name":                   {leaving: []model.Path{one}, complain: "rename one of the two"},
		"a plan":                            {there: true, complain: "wait until its migration has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			d, o := rack()
			a := o.VMs[1]
			o.VMs = []model.ObservedVM{a, a}
			o.VMs[1].Node = two
			for i, arrives := range []bool{c.here, c.there} {
				if o.VMs[i].Arriving = arrives; arrives {
					o.VMs[i].State = paused
				}
			}
			changes := facts.Changes{Nodes: older}
			if c.leaving != nil {
				changes.Leaving = map[model.Path]bool{}
				for _, p := range c.leaving {
					changes.Leaving[p] = true
				}
			}
			f, err := facts.FleetFor(d, o, changes)
			if c.complain != "" {
				if err == nil || !strings.Contains(err.Error(), c.complain) {
					t.Errorf("it says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, vm := range f.VMs.Names {
				text := vm + " on " + f.Hosts[f.VMs.Host[i]].Path.Name()
				if slices.Contains(f.VMs.Fixed, int32(i)) {
					text += " fixed"
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != c.wants {
				t.Errorf("%q, not %q", got, c.wants)
			}
			if len(got) == 2 && (len(f.Apart) != 1 || len(f.Apart[0].VMs) != 2) {
				t.Errorf("the place where it arrives is not kept free of its group: %+v", f.Apart)
			}
		})
	}
}
