package ovs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if that is meant:\n%s", file, diff)
	}
}

// recorded is what ovs-vsctl 3.1.0 printed on a bridge with an uplink, an internal port and a virtual machine's port.
func recorded(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/list.json")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParse(t *testing.T) {
	state, err := Parse(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "state.json", string(text)+"\n")
	up := state.Bridges[0].Uplinks()
	if len(up) != 1 || up[0].Name != "eth0" {
		t.Errorf("uplinks are %+v", up)
	}
}

func TestParseRefuses(t *testing.T) {
	one := `{"headings":["ovs_version"],"data":[["3"]]}`
	empty := `{"headings":[],"data":[]}`
	for name, text := range map[string]string{
		"nothing":         "",
		"not JSON":        "ovs-vsctl: unix:/run: database connection failed",
		"too few tables":  empty + one,
		"too many":        empty + empty + empty + empty + one,
		"short row":       `{"headings":["a","b"],"data":[["x"]]}` + empty + empty + one,
		"unknown port":    `{"headings":["name","ports"],"data":[["br",["uuid","x"]]]}` + empty + empty + one,
		"bad set":         `{"headings":["a"],"data":[[["set",1]]]}` + empty + empty + one,
		"bad map":         `{"headings":["a"],"data":[[["map",[["k"]]]]]}` + empty + empty + one,
		"object":          `{"headings":["a"],"data":[[{}]]}` + empty + empty + one,
		"no Open_vSwitch": empty + empty + empty + empty,
	} {
		if s, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(recorded(f))
	f.Add([]byte(`{"headings":["name"],"data":[["x"]]}`))
	f.Add([]byte(`{"headings":["a"],"data":[[["map",[["k",["uuid","v"]]]]]]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		state, err := Parse(raw)
		if err != nil {
			return
		}
		Diff(state, sample())
		Faults(state, sample())
	})
}

// sample has one of everything.
func sample() Spec {
	return Spec{Bridges: []BridgeSpec{
		{Name: "br-ex", HWAddr: "52:54:00:77:00:01", MTU: 9000, Ports: []PortSpec{
			{Name: "bond0", BondMode: "balance-tcp", Members: []string{"eth1", "eth0"}},
			{Name: "storage", Internal: true, Tag: 101},
			{Name: "trunk", Internal: true, Trunks: []int{20, 3}, MTU: 1500},
		}},
		{Name: "br-int"},
	}}
}

func TestBootScript(t *testing.T) {
	golden(t, "boot.sh", Driver{}.BootScript(sample()))
	if got := (Driver{}).BootScript(Spec{}); strings.Contains(got, "ovs-vsctl") {
		t.Errorf("a script for nothing is %q", got)
	}
}

func TestDiff(t *testing.T) {
	iface := func(name, kind string) []Interface { return []Interface{{Name: name, Type: kind}} }
	observed := State{Bridges: []Bridge{
		{Name: "br-ex", HWAddr: "52:54:00:77:00:09", MTURequest: 9000, Ports: []Port{
			{Name: "eth0", Interfaces: iface("eth0", "")},                                                             // to become a member
			{Name: "old", Interfaces: iface("old", "internal")},                                                       // not wanted
			{Name: "patch", Interfaces: iface("patch", "patch")},                                                      // of OVN
			{Name: "storage", Tag: 7, Interfaces: []Interface{{Name: "storage", Type: "internal", MTURequest: 9000}}}, // wrong tag
			{Name: "vnet0", Interfaces: []Interface{{Name: "vnet0", Owner: "vm"}}},                                    // of a virtual machine
		}},
		{Name: "br-other", Ports: []Port{{Name: "eth1", Interfaces: iface("eth1", "")}, {Name: "kept", Interfaces: iface("kept", "")}}},
	}}
	var b strings.Builder
	for _, c := range Diff(observed, sample()) {
		b.WriteString(c.String() + "\n    " + strings.Join(c.words(), " ") + "\n")
	}
	golden(t, "diff.txt", b.String())
}

// model applies changes to a state as ovs-vsctl does.
func model(s State, changes []Change) State {
	for _, c := range changes {
		b := s.find(c.Bridge)
		switch c.Kind {
		case AddBridge:
			s.Bridges = append(s.Bridges, Bridge{Name: c.Bridge})
		case SetBridge:
			if c.Column == "datapath_type" {
				b.Datapath = c.To
			} else {
				b.HWAddr = c.To
			}
		case RemovePort:
			for i := range b.Ports {
				if b.Ports[i].Name == c.Port {
					b.Ports = append(b.Ports[:i:i], b.Ports[i+1:]...)
					break
				}
			}
		case AddPort:
			b.Ports = append(b.Ports, blank(PortSpec{Name: c.Port, Members: c.Members}))
		default:
			modelSet(b, c)
		}
	}
	return s
}

func modelSet(b *Bridge, c Change) {
	to := value{set: strings.Split(c.To, ",")}
	if c.Interface == b.Name {
		b.MTURequest = to.number()
		return
	}
	for i := range b.Ports {
		p := &b.Ports[i]
		if p.Name != c.Port {
			continue
		}
		switch c.Column {
		case "tag":
			p.Tag = to.number()
		case "trunks":
			p.Trunks = to.numbers()
		case "bond_mode":
			p.BondMode = c.To
		case "lacp":
			p.LACP = c.To
		}
		for j := range p.Interfaces {
			switch {
			case p.Interfaces[j].Name != c.Interface:
			case c.Column == "type":
				p.Interfaces[j].Type = c.To
			default:
				p.Interfaces[j].MTURequest = to.number()
			}
		}
	}
}

// drawSpec gives a wanted state without mistakes.
func drawSpec(t *rapid.T, label string) Spec {
	free := rapid.Permutation([]string{"eth0", "eth1", "eth2", "eth3", "int0", "int1"}).Draw(t, label+" devices")
	take := func() string {
		name := free[0]
		free = free[1:]
		return name
	}
	var s Spec
	for _, name := range []string{"br0", "br1"}[:rapid.IntRange(0, 2).Draw(t, label+" bridges")] {
		b := BridgeSpec{Name: name, MTU: rapid.SampledFrom([]int{0, 1500, 9000}).Draw(t, label+" mtu"), HWAddr: rapid.SampledFrom([]string{"", "52:54:00:00:00:01"}).Draw(t, label+" mac")}
		for range rapid.IntRange(0, 2).Draw(t, label+" ports") {
			p := PortSpec{Name: take(), Tag: rapid.IntRange(0, 2).Draw(t, label+" tag")}
			p.Internal = strings.HasPrefix(p.Name, "int")
			if !p.Internal && len(free) > 3 && rapid.Bool().Draw(t, label+" bond") {
				p.Members, p.BondMode = []string{p.Name, take()}, "active-backup"
				p.Name = "bond" + name
			}
			if findPort(b, p.Name) == nil {
				b.Ports = append(b.Ports, p)
			}
		}
		s.Bridges = append(s.Bridges, b)
	}
	return s
}

// TestDiffProperty: applying a diff leaves nothing to do, from any state to any other.
func TestDiffProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawSpec(t, "first"), drawSpec(t, "second")
		state := model(State{}, Diff(State{}, first))
		if rest := Diff(state, first); len(rest) != 0 {
			t.Fatalf("after the first: %v", rest)
		}
		state = model(state, Diff(state, second))
		if rest := Diff(state, second); len(rest) != 0 {
			t.Fatalf("after the second: %v", rest)
		}
	})
}

func TestCheck(t *testing.T) {
	if err := sample().Check(); err != nil {
		t.Fatal(err)
	}
	bad := Spec{Bridges: []BridgeSpec{
		{Name: "a-name-that-is-too-long", MTU: 1, HWAddr: "01:00:00:00:00:00", Datapath: "magic"},
		{Name: "br", Ports: []PortSpec{
			{Name: "eth0", Tag: 4095}, {Name: "b0", Members: []string{"eth0"}, BondMode: "magic"},
			{Name: "x", BondMode: "balance-slb"}, {Name: "y", Tag: 1, Trunks: []int{2}}, {Name: "z", Internal: true, Members: []string{"p", "q"}, BondMode: "active-backup"},
			{Name: "--help"},
		}},
	}}
	err := bad.Check()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	golden(t, "mistakes.txt", err.Error()+"\n")
}
