package model_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func TestPath(t *testing.T) {
	const p = model.Path("lab/r1/az1/a/blade-01")
	for _, tc := range []struct{ name, got, want string }{
		{"name", p.Name(), "blade-01"},
		{"name of a site", model.Path("lab").Name(), "lab"},
		{"name of the cloud", model.Path("").Name(), ""},
		{"parent", string(p.Parent()), "lab/r1/az1/a"},
		{"parent of a site", string(model.Path("lab").Parent()), ""},
		{"site", string(p.Site()), "lab"},
		{"region", string(p.Region()), "lab/r1"},
		{"zone", string(p.Zone()), "lab/r1/az1"},
		{"rack", string(p.Rack()), "lab/r1/az1/a"},
		{"no elements", string(p.Element(0)), ""},
		{"more elements than there are", string(p.Element(9)), string(p)},
		{"elements of the cloud", string(model.Path("").Element(1)), ""},
		{"join", string(model.Path("lab").Join("r1", "az1")), "lab/r1/az1"},
		{"join to the cloud", string(model.Path("").Join("lab")), "lab"},
		{"join nothing", string(p.Join()), string(p)},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}

func TestContains(t *testing.T) {
	for _, tc := range []struct {
		p, q model.Path
		want bool
	}{
		{"", "lab", true}, {"", "", true}, {"lab", "lab", true}, {"lab", "lab/r1", true}, {"lab/r1", "lab/r1/az1/a/b", true},
		{"lab", "", false}, {"lab/r1", "lab", false}, {"lab/r1", "lab/r10", false}, {"lab", "laboratory", false}, {"r1", "lab/r1", false},
	} {
		if got := tc.p.Contains(tc.q); got != tc.want {
			t.Errorf("%q contains %q: %v", tc.p, tc.q, got)
		}
	}
}

func TestPathProperties(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9-]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(name, 1, 7).Draw(t, "names")
		p := model.Path("").Join(names...)
		for n := 1; n <= len(names); n++ {
			e := p.Element(n)
			if string(e) != strings.Join(names[:n], "/") || !e.Contains(p) || e.Name() != names[n-1] || e.Parent() != p.Element(n-1) {
				t.Fatalf("element %d of %s is %s", n, p, e)
			}
		}
		if p.Parent().Join(p.Name()) != p {
			t.Fatalf("%s is not its parent and its name", p)
		}
		q := model.Path("").Join(rapid.SliceOfN(name, 1, 7).Draw(t, "others")...)
		if p.Contains(q) && q.Contains(p) && p != q {
			t.Fatalf("%s and %s contain one another", p, q)
		}
		if p.Contains(q) != (q.Element(len(names)) == p && strings.Count(string(q), "/") >= len(names)-1) {
			t.Fatalf("%s contains %s: %v", p, q, p.Contains(q))
		}
	})
}
