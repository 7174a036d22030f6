package adopt_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var calls = adopt.Names{Cloud: "found", Site: "s1", Region: "r1", Zone: "z1", Rack: "a"}

// load reads the files that were written, as validate would.
func load(t rapid.TB, files map[string][]byte) *inventory.Inventory {
	t.Helper()
	inv, list := inventory.LoadFiles(files, inventory.Options{})
	if list.HasErrors() {
		t.Fatalf("%v\n%s", list.Err(), text(files))
	}
	for name, src := range files {
		if out, _ := inventory.Format(name, src); !bytes.Equal(out, src) {
			t.Errorf("%s is not as nuboctl fmt would have it", name)
		}
	}
	return inv
}

func text(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range []string{"cloud.hcl", "site-s1.hcl"} {
		b.WriteString("-- " + name + " --\n")
		b.Write(files[name])
	}
	return b.String()
}

func planned(t rapid.TB, d model.Desired, o model.Observed) plan.Plan {
	t.Helper()
	p, err := planner.Make(planner.Input{Goal: plan.GoalInstall, Desired: d, Observed: o})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRoundTrip: whatever a site is like, what is written of it is a valid inventory which says exactly what was described; a plan from the same observation has
// nothing to do and finds no difference; and what is not described is told.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := (&generator{t: t}).survey()
		d := adopt.Describe(s, calls)
		if len(d.Desired.Nodes) == 0 {
			return
		}
		files := adopt.Files(d)
		inv := load(t, files)
		same := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(model.Desired{}, "Rollout")}
		if diff := cmp.Diff(d.Desired, inv.Desired, same...); diff != "" {
			t.Fatalf("what was read is not what was described:\n%s\n%s", diff, text(files))
		}
		if p := planned(t, inv.Desired, adopt.Observed(s, inv.Desired, d.Path)); !p.AsDesired() {
			t.Fatalf("the plan is not empty: %d ops, left %v\n%s", p.Ops(), p.Left, text(files))
		}
		complete(t, s, d)
	})
}

// complete checks that everything that was seen is described or told.
func complete(t *rapid.T, s adopt.Survey, d adopt.Description) {
	told := func(about string) bool {
		return slices.ContainsFunc(d.Remarks, func(r adopt.Remark) bool { return r.About == about })
	}
	written := string(bytes.Join([][]byte{adopt.Files(d)["cloud.hcl"], adopt.Files(d)["site-s1.hcl"]}, nil))
	for _, h := range s.Hosts {
		at, ok := d.Path(h.Name)
		if !ok && !told("host "+h.Name) {
			t.Errorf("%s is neither described nor told", h.Name)
		}
		i := slices.IndexFunc(d.Desired.Nodes, func(n model.Node) bool { return n.Path == at })
		if !ok || i < 0 || h.Error != "" {
			continue
		}
		n := d.Desired.Nodes[i]
		p := d.Desired.Profiles[slices.IndexFunc(d.Desired.Profiles, func(p model.Profile) bool { return p.Name == n.Profile })]
		if h.OVS != nil {
			for _, b := range h.OVS.Bridges {
				if !slices.ContainsFunc(p.Bridges, func(w model.Bridge) bool { return w.Name == b.Name }) && !told("bridge "+b.Name+" of "+h.Name) {
					t.Errorf("bridge %s of %s is neither described nor told", b.Name, h.Name)
				}
			}
		}
		for _, l := range h.Links {
			for _, a := range l.Addresses {
				if !strings.Contains(written, `"`+a.Addr().String()+`"`) && !told("address "+a.String()+" of "+h.Name) && !told("network "+a.Masked().String()) && l.Name != "virbr0" {
					t.Errorf("address %s of %s is neither described nor told", a, h.Name)
				}
			}
		}
	}
	for _, c := range s.Clusters {
		for _, f := range c.Ceph.Filesystems {
			if !strings.Contains(written, `filesystem "`+f.Name+`"`) && !told("file system "+f.Name) && !told("Ceph cluster "+c.Ceph.FSID) {
				t.Errorf("file system %s is neither described nor told", f.Name)
			}
		}
		for _, p := range c.Ceph.Pools {
			if !strings.HasPrefix(p.Name, ".") && !strings.Contains(written, `pool "`+p.Name+`"`) && !told("pool "+p.Name) && !told("Ceph cluster "+c.Ceph.FSID) {
				t.Errorf("pool %s is neither described nor told", p.Name)
			}
		}
	}
}

var update = flag.Bool("update", false, "write the golden file anew")

// TestGolden: four hosts of a site as it may be found, one of which does not let anybody in.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/survey.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := adopt.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := adopt.Describe(s, calls)
	files := adopt.Files(d)
	inv := load(t, files)
	if p := planned(t, inv.Desired, adopt.Observed(s, inv.Desired, d.Path)); !p.AsDesired() {
		t.Errorf("left %v", p.Left)
	}
	const golden = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text(files)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text(files)); diff != "" {
		t.Errorf("run with -update when that is intended:\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, raw := range []string{"", "[]", `{"format_version": 2, "hosts": [{}]}`, `{"format_version": 1}`} {
		if _, err := adopt.Decode([]byte(raw)); err == nil {
			t.Errorf("%q was taken as a survey", raw)
		}
	}
}

func readable(name string, src []byte) bool {
	_, list := inventory.Format(name, src)
	return !list.HasErrors()
}
