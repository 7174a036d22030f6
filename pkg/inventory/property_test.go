package inventory

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// drawInventory makes a random description, good or not.
func drawInventory(t *rapid.T) string {
	var b strings.Builder
	word := rapid.SampledFrom([]string{"a", "b1", "lab", "Über", "x-y", ""})
	fmt.Fprintf(&b, "cloud %q {\n domain=  %q\n}\n", word.Draw(t, "cloud"), rapid.SampledFrom([]string{"x.test", "not a domain"}).Draw(t, "domain"))
	for i := range rapid.IntRange(0, 3).Draw(t, "networks") {
		fmt.Fprintf(&b, "network \"n%d\" {\ncidr = cidrsubnet(%q, %d, %d)\n", i, rapid.SampledFrom([]string{"10.0.0.0/8", "10.0.0.0/24", "fd00::/64", "x"}).Draw(t, "cidr"),
			rapid.IntRange(0, 20).Draw(t, "bits"), i)
		if rapid.Bool().Draw(t, "dhcp") {
			b.WriteString("dhcp {}\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("profile \"p\" {\nimage=\"debian-13\"\n  roles = [\"compute\"]\n root_device { serial = \"r*\" }\n}\n")
	fmt.Fprintf(&b, "site %q {\nregion \"r\" {\nzone \"z\" {\nrack \"k\" {\n", word.Draw(t, "site"))
	fmt.Fprintf(&b, "node \"n\" {\nfor_each = range(%d)\nprofile = \"p\"\n", rapid.IntRange(0, 5).Draw(t, "nodes"))
	fmt.Fprintf(&b, "bmc {\naddress = format(\"ipmi://10.200.0.%%d\", each.value)\ncredentials = secret(\"x\")\n}\nnic \"eth0\" {\nmac = format(\"02:00:00:00:00:%%02x\", each.value%s)\n}\n}\n",
		rapid.SampledFrom([]string{"", "/ 2", " - each.value", " + var.nothing"}).Draw(t, "mac"))
	b.WriteString("}\n}\n}\n}\n")
	return b.String()
}

// Reading the same text twice gives the same model, the same digest and the same complaints; formatting it changes neither, and formatting
// twice is formatting once.
func TestLoadIsDeterministicAndFormatHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(drawInventory(t))
		read := func(src []byte) (string, []string) {
			inv, diags := LoadFiles(map[string][]byte{"x.hcl": src}, Options{})
			b, err := json.Marshal(inv.Desired)
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, d := range diags {
				said = append(said, string(d.Severity)+d.Summary)
			}
			return string(b) + string(inv.Digest), said
		}
		first, said := read(src)
		again, saidAgain := read(src)
		if first != again || strings.Join(said, "\n") != strings.Join(saidAgain, "\n") {
			t.Fatalf("two readings differ")
		}
		formatted, _ := Format("x.hcl", src)
		if twice, _ := Format("x.hcl", formatted); string(twice) != string(formatted) {
			t.Fatalf("formatting twice differs:\n%s\n---\n%s", formatted, twice)
		}
		if after, _ := read(formatted); after != first {
			t.Fatalf("formatting changed the meaning of\n%s", src)
		}
	})
}

// Allot gives everybody one address, nobody the same, all inside their networks and outside what is taken; and what was given stays given, however
// the cloud grows.
func TestAllot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := model.Desired{Networks: []model.Network{{Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/26"), Gateway: netip.MustParseAddr("10.0.0.12"),
			Relay: &model.Relay{Address: netip.MustParseAddr("10.0.0.13")}, Reserve: []netip.Prefix{netip.MustParsePrefix("10.0.0.16/29")}}}}
		for i := range rapid.IntRange(1, 20).Draw(t, "nodes") {
			n := model.Node{Path: model.Path(fmt.Sprintf("s/r/z/k/n%02d", i)), NICs: []model.NIC{{Name: "e", Network: "n"}}, BMC: model.BMC{Address: fmt.Sprintf("ipmi://10.0.0.%d", 40+i)}}
			if rapid.IntRange(0, 4).Draw(t, "static") == 0 {
				n.NICs[0].Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 26)
			}
			d.Nodes = append(d.Nodes, n)
		}
		few := d
		few.Nodes = d.Nodes[:rapid.IntRange(0, len(d.Nodes)).Draw(t, "before")]
		before, err := Allot(few, nil)
		if err != nil {
			t.Fatal(err)
		}
		given := map[string]netip.Addr{}
		for k, p := range before {
			given[k] = p.Addr()
		}
		got, err := Allot(d, given)
		if err != nil {
			t.Fatal(err)
		}
		checkAllotment(t, d, before, got)
		for _, n := range WithAddresses(d, got).Nodes {
			if !n.NICs[0].Address.IsValid() {
				t.Fatalf("%s has no address", n.Path)
			}
		}
	})
}

func checkAllotment(t *rapid.T, d model.Desired, before, got map[string]netip.Prefix) {
	owner := map[netip.Addr]string{}
	for k, p := range got {
		if other, taken := owner[p.Addr()]; taken {
			t.Fatalf("%s and %s both have %s", k, other, p)
		}
		owner[p.Addr()] = k
		static := map[string]bool{}
		for _, n := range d.Nodes {
			static[AddressKey(n.Path, "e")] = n.NICs[0].Address.IsValid()
		}
		last := p.Addr().As4()[3]
		if !static[k] && (last < 10 || last == 12 || last == 13 || last >= 16 && last < 24 || last >= 40 && last < 60 || last == 63) {
			t.Fatalf("%s got %s", k, p)
		}
		if b, ok := before[k]; ok && b != p && !static[k] {
			if _, clash := owner[b.Addr()]; !clash && !takenByStatic(d, b.Addr()) {
				t.Fatalf("%s lost %s for %s", k, b, p)
			}
		}
	}
}

func takenByStatic(d model.Desired, a netip.Addr) bool {
	for _, n := range d.Nodes {
		if n.NICs[0].Address.Addr() == a {
			return true
		}
	}
	return false
}

func TestAllotSaysWhenANetworkIsFull(t *testing.T) {
	d := model.Desired{Networks: []model.Network{{Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/28")}}}
	for i := range 8 {
		d.Nodes = append(d.Nodes, model.Node{Path: model.Path(fmt.Sprint("s/", i)), NICs: []model.NIC{{Name: "e", Network: "n"}}})
	}
	if _, err := Allot(d, nil); err == nil || !strings.Contains(err.Error(), "no free address") {
		t.Errorf("error %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"testdata/sketch/cloud.hcl", "testdata/mistakes/cloud.hcl", "starter/nodes.hcl"} {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("cloud \"x\" {\n  domain = network.y\n}\nlocals { a = [for x in local : x] }\n"))
	f.Add([]byte("network \"n\" { cidr = 7 }\nsite \"s\" { for_each = { a = null } }"))
	f.Add([]byte("variable \"v\" { type = list(nonsense) }\nvm \"x\" { for_each = secret(\"a\") }"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if strings.Contains(string(src), "%") || strings.Contains(string(src), "range") {
			t.Skip("widths and ranges of any size only use up memory")
		}
		inv, diags := LoadFiles(map[string][]byte{"x.hcl": src}, Options{})
		for _, d := range diags {
			if d.Summary == "" || d.Subject.End.Byte > len(src) && d.Subject.File == "x.hcl" {
				t.Errorf("diagnostic %+v", d)
			}
		}
		Graph(inv.Desired)
		Summary(inv.Desired)
	})
}
