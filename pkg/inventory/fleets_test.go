package inventory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

const fleets = "../../inventories"

func load(t testing.TB, name string, vars map[string]string) (*Inventory, Totals) {
	t.Helper()
	inv := mustLoad(t, filepath.Join(fleets, name), vars)
	return inv, Summary(inv.Desired).Totals
}

// usableTB is what an 85 % full cluster holds on the OSDs of one profile, in units of 10^12 bytes.
func usableTB(inv *Inventory, profile string, factor float64) float64 {
	raw := 0.0
	for _, p := range inv.Desired.Profiles {
		for _, n := range inv.Desired.Nodes {
			if n.Profile == p.Name && len(p.Name) >= len(profile) && p.Name[:len(profile)] == profile {
				raw += float64(p.OSDs*p.OSDGiB) * (1 << 30) / 1e12
			}
		}
	}
	return raw * factor * 0.85
}

func TestNubo(t *testing.T) {
	inv, got := load(t, "nubo", nil)
	want := Totals{Sites: 2, Regions: 4, Zones: 8, Racks: 24, Chassis: 24, Nodes: 304, ComputeNodes: 232, Cores: 16_704, MemoryGiB: 346 * 1024,
		OtherCores: 48*48 + 24*32, OtherMemoryGiB: 72 * 256, WorkloadVMs: 13_500, WorkloadVCPUs: 38_500, OSDs: 48*20 + 24*12, OSDRawGiB: 48*20*7152 + 24*12*14901}
	if got != want {
		t.Errorf("totals\n got %+v\nwant %+v", got, want)
	}
	if block, object := usableTB(inv, "block", 1.0/3), usableTB(inv, "object", 4.0/6); block < 2000 || block > 2200 || object < 2500 || object > 2750 {
		t.Errorf("usable: block %.0f TB, object %.0f TB", block, object)
	}
	checkWorkload(t, inv)
	for _, r := range inv.Desired.Regions {
		mons := 0
		for _, n := range inv.Desired.Nodes {
			if r.Path.Contains(n.Path) && hasRole(&n, model.RoleCephMon) {
				mons++
			}
		}
		if mons != 5 {
			t.Errorf("%s has %d monitors", r.Path, mons)
		}
	}
}

func TestPi(t *testing.T) {
	inv, got := load(t, "pi", nil)
	want := Totals{Sites: 1, Regions: 1, Zones: 5, Racks: 5, Chassis: 10, Nodes: 110, ComputeNodes: 110, Cores: 2_100, MemoryGiB: 330 * 1024,
		WorkloadVMs: 15_000, WorkloadVCPUs: 30_000, OSDs: 330, OSDRawGiB: 330 * 3576}
	if got != want {
		t.Errorf("totals\n got %+v\nwant %+v", got, want)
	}
	if usable := usableTB(inv, "synergy", 1.0/3); usable < 330 || usable > 363 {
		t.Errorf("usable %.0f TB", usable)
	}
	if over := float64(got.WorkloadVCPUs) / float64(got.Cores); over > inv.Desired.Profiles[0].CPUOvercommit {
		t.Errorf("%.1f vCPU per core is more than the stated overcommit", over)
	}
	checkWorkload(t, inv)
}

// checkWorkload holds that the flavors' weights are counts which add up, and that the whole fits into the memory of its region.
func checkWorkload(t *testing.T, inv *Inventory) {
	t.Helper()
	for _, w := range inv.Desired.Workloads {
		vms, vcpus, mib := 0.0, 0.0, 0.0
		for _, f := range w.Flavors {
			vms += f.Weight
			vcpus += f.Weight * float64(f.VCPUs)
			mib += f.Weight * float64(f.MemoryMiB)
		}
		if int(vms) != w.VMs || int(vcpus) != w.VCPUs {
			t.Errorf("%s: flavors add up to %.0f VMs, %.0f vCPU", w.Region, vms, vcpus)
		}
		memory := 0
		for _, n := range inv.Desired.Nodes {
			if w.Region.Contains(n.Path) && hasRole(&n, model.RoleCompute) {
				memory += n.MemoryGiB
			}
		}
		if used := mib / 1024 / float64(memory); used > 0.8 {
			t.Errorf("%s: the workload uses %.0f %% of memory", w.Region, 100*used)
		}
	}
}

func TestDemo(t *testing.T) {
	inv, got := load(t, "demo", nil)
	if got.Nodes != 1 || got.VMs != 1 || got.Racks != 1 {
		t.Errorf("totals %+v", got)
	}
	n := inv.Desired.Nodes[0]
	if n.Path != "lab/r1/az1/a/blade-01" || n.NICs[0].MAC != "52:54:00:77:00:01" || n.NICs[0].Address.String() != "10.77.0.11/24" ||
		n.BMC.Address != "redfish+https://10.77.9.11:8443/redfish/v1/Systems/1" || n.BMC.CA == "" || n.RootDevice.Serial != "root-*" {
		t.Errorf("node %+v", n)
	}
	secrets, err := OpenSecrets(inv.Dir, inv.Secrets, "")
	if err != nil {
		t.Fatal(err)
	}
	if user, password, err := secrets.Resolve(n.BMC.Credentials); err != nil || user != "admin" || password == "" {
		t.Errorf("credentials: %q, %v", user, err)
	}
	inv, _ = load(t, "demo", map[string]string{"blades": "3", "ipmi": "[2]", "ceph": "true", "via": "root@10.77.9.2",
		"via_host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGM1yqQgdyVJYzTZ2Kp5nn2N0DVzuJgDCkO0OZGAbxcc"})
	d := inv.Desired
	if len(d.Nodes) != 3 || !strings.HasPrefix(d.Nodes[1].BMC.Address, "ipmi://10.77.9.12:623") || d.Nodes[1].BMC.CA != "" || d.Regions[0].Ceph == nil ||
		d.Networks[1].Relay.Address.String() != "10.77.0.2" {
		t.Errorf("with variables: %+v", d)
	}
}

// The demo trusts the authority of the lab's management controllers.
func TestDemoTrustsTheLab(t *testing.T) {
	lab, err := os.ReadFile("../../e2e/lab/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := os.ReadFile(filepath.Join(fleets, "demo", "bmc-ca.pem"))
	if err != nil || string(demo) != string(lab) {
		t.Errorf("inventories/demo/bmc-ca.pem is not e2e/lab/ca.pem: copy it (%v)", err)
	}
}

func TestScale(t *testing.T) {
	for nodes, racks := range map[string]int{"24": 8, "100": 8, "1000": 32} {
		inv, got := load(t, "scale", map[string]string{"nodes": nodes})
		if got.Nodes != atoi(nodes) || got.Racks != racks || got.WorkloadVMs != 50*got.Nodes || got.Zones != 8 {
			t.Errorf("%s: %+v", nodes, got)
		}
		if _, err := Allot(inv.Desired, nil); err != nil {
			t.Error(err)
		}
	}
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// Every inventory in the repository is formatted and has no warnings but those it means to have.
func TestFleetsAreFormatted(t *testing.T) {
	for _, name := range []string{"demo", "nubo", "pi", "scale"} {
		changed, diags := FormatDir(filepath.Join(fleets, name))
		if len(diags) > 0 {
			t.Error(diags)
		}
		for f := range changed {
			t.Errorf("%s/%s is not formatted", name, f)
		}
	}
}

func BenchmarkLoadNubo(b *testing.B) {
	for b.Loop() {
		load(b, "nubo", nil)
	}
}

func BenchmarkLoad10000(b *testing.B) {
	for b.Loop() {
		load(b, "scale", map[string]string{"nodes": "10000"})
	}
}
