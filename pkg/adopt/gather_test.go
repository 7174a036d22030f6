package adopt_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// told is what gather.sh prints on a host with a bond and a VLAN of the kernel's.
const told = `
==name
alpha.example.org
==domain
example.org
==serial
Default string
==product
HPE
ProLiant  BL460c
==cores
32
==memory
263846744
==links
[{"ifname":"lo","link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
 {"ifname":"eno1","link_type":"ether","address":"3C:EC:EF:00:00:01","permaddr":"3c:ec:ef:00:00:09","mtu":9000,"master":"bond0","linkinfo":{"info_slave_kind":"bond"},"addr_info":[]},
 {"ifname":"bond0","link_type":"ether","address":"3c:ec:ef:00:00:01","mtu":9000,"linkinfo":{"info_kind":"bond","info_data":{"mode":"802.3ad"}}},
 {"link":"bond0","ifname":"bond0.7","link_type":"ether","address":"3c:ec:ef:00:00:01","mtu":1500,"linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":7}},
  "addr_info":[{"family":"inet","local":"10.0.0.11","prefixlen":24,"scope":"global"},{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]
==route
[{"dst":"default","gateway":"10.0.0.1","dev":"bond0.7"}]
==resolvers
10.0.0.53
fe80::1%eth0
==roots
/dev/sda
==bmc
10.9.0.11
==cephadm
/var/lib/ceph/6b2f1c1e-0f39-4f0c-8d0a-5a2b1f1f0a01
`

func TestParseHost(t *testing.T) {
	got, err := adopt.ParseHost([]byte(told))
	if err != nil {
		t.Fatal(err)
	}
	want := adopt.Host{Name: "alpha", Domain: "example.org", Product: "HPE ProLiant BL460c", Cores: 32, Memory: 252, Gateway: netip.MustParseAddr("10.0.0.1"),
		DNS: []netip.Addr{netip.MustParseAddr("10.0.0.53")}, Roots: []string{"/dev/sda"}, BMC: "ipmi://10.9.0.11", Cephadm: []string{fsid},
		Links: []adopt.Link{{Name: "eno1", MAC: "3c:ec:ef:00:00:09", Master: "bond0", MTU: 9000}, {Name: "bond0", MAC: "3c:ec:ef:00:00:01", Kind: "bond", MTU: 9000},
			{Name: "bond0.7", MAC: "3c:ec:ef:00:00:01", Kind: "vlan", Below: "bond0", VLAN: 7, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.11/24")}}}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

// TestGather runs the script here, as root or not: it works wherever iproute2 is, and its answer can be read.
func TestGather(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("%v; it is in Debian's package iproute2", err)
	}
	h, err := adopt.Gather(t.Context(), remote.Local{})
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if short, _, _ := strings.Cut(name, "."); h.Name != short || h.Cores < 1 || h.Memory < 1 {
		t.Errorf("%+v", h)
	}
}

// FuzzParseHost: whatever a host prints, it is read or refused; and what was read is described without a fault.
func FuzzParseHost(f *testing.F) {
	f.Add([]byte(told))
	f.Add([]byte(strings.ReplaceAll(told, "bond0.7", "br\x00\"${x}")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := adopt.ParseHost(raw)
		if err != nil {
			return
		}
		h.Reached = netip.MustParseAddr("10.0.0.11")
		described(t, adopt.Survey{FormatVersion: 1, Hosts: []adopt.Host{h}})
	})
}

// FuzzDecode: whatever a file says, it is no survey, or it is described without a fault.
func FuzzDecode(f *testing.F) {
	raw, err := os.ReadFile("testdata/survey.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := adopt.Decode(raw); err == nil {
			described(t, s)
		}
	})
}

// described checks that what was written of a survey is HCL that can be read, whatever else is wrong with it.
func described(t *testing.T, s adopt.Survey) {
	d := adopt.Describe(s, calls)
	for name, src := range adopt.Files(d) {
		if !readable(name, src) {
			t.Errorf("%s cannot be read:\n%s", name, src)
		}
	}
	if _, err := json.Marshal(adopt.Observed(s, d.Desired, d.Path)); err != nil {
		t.Error(err)
	}
}
