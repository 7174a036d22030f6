package metal3_test

import (
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"sigs.k8s.io/yaml"

	"github.com/nuboctl/nuboctl/pkg/metal3"
	"github.com/nuboctl/nuboctl/pkg/model"
)

var update = flag.Bool("update", false, "write golden files anew")

func yes(b bool) *bool { return &b }

func desired() model.Desired {
	return model.Desired{
		Cloud: model.Cloud{Name: "demo"},
		Networks: []model.Network{
			{Name: "mgmt", CIDR: netip.MustParsePrefix("10.77.9.0/24")},
			{Name: "prov", CIDR: netip.MustParsePrefix("10.77.0.0/24"), DHCP: model.DHCPAuthoritative},
		},
		Nodes: []model.Node{
			{
				Path: "lab/r1/az1/a/blade-01", Name: "blade-01", Profile: "p",
				BMC:        model.BMC{Address: "redfish+https://10.77.9.11:8443/redfish/v1/Systems/1", Credentials: "bmc"},
				NICs:       []model.NIC{{Name: "eth0", MAC: "52:54:00:77:99:01", Network: "mgmt"}, {Name: "eth1", MAC: "52:54:00:77:00:01", Network: "prov"}},
				RootDevice: model.DeviceHints{Serial: "S3Z8NB0K", Rotational: yes(false)},
			},
			{
				Path: "lab/r1/az1/a/blade-02", Name: "blade-02", Profile: "p",
				BMC:        model.BMC{Address: "ipmi://10.77.9.12", Credentials: "site/BMC", Pin: "sha256:00", Firmware: "uefi"},
				NICs:       []model.NIC{{Name: "eth0", MAC: "52:54:00:77:99:02", Network: "mgmt"}},
				RootDevice: model.DeviceHints{Model: "BOSS-*", MinSizeGiB: 200, MaxSizeGiB: 1000},
			},
		},
	}
}

func TestHostsGolden(t *testing.T) {
	d := desired()
	x, err := metal3.Hosts(d, d.Nodes, "metal3")
	if err != nil {
		t.Fatal(err)
	}
	text, err := x.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got := string(text) + "# Warnings:\n# " + strings.Join(x.Warnings, "\n# ") + "\n"
	const golden = "testdata/hosts.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update if that is meant:\n%s", diff)
	}
}

// What is printed is what Metal3's own types read, nothing unknown in it.
func TestYAMLIsMetal3s(t *testing.T) {
	d := desired()
	x, err := metal3.Hosts(d, d.Nodes, "metal3")
	if err != nil {
		t.Fatal(err)
	}
	text, err := x.YAML()
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(string(text), "---\n")[1:]
	if len(docs) != len(d.Nodes) {
		t.Fatalf("%d documents for %d nodes", len(docs), len(d.Nodes))
	}
	for i, doc := range docs {
		var h v1alpha1.BareMetalHost
		if err := yaml.UnmarshalStrict([]byte(doc), &h); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(x.Hosts[i], h); diff != "" {
			t.Errorf("host %d read back:\n%s", i, diff)
		}
		if h.Annotations[v1alpha1.PausedAnnotation] == "" || h.Spec.AutomatedCleaningMode != v1alpha1.CleaningModeDisabled || h.Spec.Image != nil {
			t.Errorf("%s is not safe to apply: %+v", h.Name, h)
		}
		back, err := metal3.FromHints(h.Spec.RootDeviceHints, h.Annotations[metal3.HintsAnnotation])
		if diff := cmp.Diff(d.Nodes[i].RootDevice, back); err != nil || diff != "" {
			t.Errorf("hints of %s read back: %v\n%s", h.Name, err, diff)
		}
	}
}

func TestHostsRefuses(t *testing.T) {
	d := desired()
	d.Nodes[0].Name = "Blade_01"
	d.Nodes[1].BMC.Address = "gopher://10.77.9.12"
	d.Nodes[1].BMC.Credentials = "BMC" // would be the same Secret as "bmc"
	_, err := metal3.Hosts(d, d.Nodes, "no/namespace")
	for _, want := range []string{"Blade_01", "gopher", "namespace", "rename one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
}

func drawHints(t *rapid.T) model.DeviceHints {
	text := rapid.StringMatching(`([A-Za-z0-9:_-]{1,8}\*?)?`)
	h := model.DeviceHints{
		Serial: text.Draw(t, "serial"), WWN: text.Draw(t, "wwn"), Model: text.Draw(t, "model"), Vendor: text.Draw(t, "vendor"), HCTL: text.Draw(t, "hctl"),
		MinSizeGiB: rapid.IntRange(0, 3).Draw(t, "min"), MaxSizeGiB: rapid.IntRange(0, 3).Draw(t, "max"),
	}
	if rapid.Bool().Draw(t, "says rotational") {
		h.Rotational = yes(rapid.Bool().Draw(t, "rotational"))
	}
	return h
}

// Hints come back as they went, whatever Metal3 can say of them.
func TestHintsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHints(t)
		out, err := metal3.ToHints(h)
		if err != nil {
			t.Fatal(err)
		}
		back, err := metal3.FromHints(out.Root, out.Annotation)
		if diff := cmp.Diff(h, back); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

// Where no warning is given, every disk that nuboctl would choose is one that Metal3 would choose, by its documented comparison.
func TestHintsMeanTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHints(t)
		part := func(hint, name string) string {
			return rapid.SampledFrom([]string{strings.TrimSuffix(hint, "*"), strings.TrimSuffix(hint, "*") + "7", "other"}).Draw(t, name)
		}
		d := model.Disk{Serial: part(h.Serial, "s"), WWN: part(h.WWN, "w"), Model: part(h.Model, "m"), Vendor: part(h.Vendor, "v"), HCTL: part(h.HCTL, "h"),
			SizeBytes: int64(rapid.IntRange(0, 4).Draw(t, "size")) << 30, Rotational: rapid.Bool().Draw(t, "spins")}
		out, err := metal3.ToHints(h)
		if err != nil {
			t.Fatal(err)
		}
		if h.Matches(d) && len(out.Warnings) == 0 && !metal3Matches(*out.Root, d) {
			t.Fatalf("%v matches %v here and not there", h, d)
		}
	})
}

// metal3Matches is what the comments of RootDeviceHints say.
func metal3Matches(r v1alpha1.RootDeviceHints, d model.Disk) bool {
	exact := func(hint, value string) bool { return hint == "" || hint == value }
	return exact(r.SerialNumber, d.Serial) && exact(r.WWN, d.WWN) && exact(r.HCTL, d.HCTL) && strings.Contains(d.Model, r.Model) && strings.Contains(d.Vendor, r.Vendor) &&
		d.SizeBytes >= int64(r.MinSizeGigabytes)<<30 && (r.Rotational == nil || *r.Rotational == d.Rotational)
}

func TestFromHints(t *testing.T) {
	if _, err := metal3.FromHints(&v1alpha1.RootDeviceHints{DeviceName: "/dev/sda", WWNWithExtension: "x"}, ""); err == nil || !strings.Contains(err.Error(), "deviceName") || !strings.Contains(err.Error(), "wwnWithExtension") {
		t.Errorf("what nuboctl does not choose disks by is refused, all of it: %v", err)
	}
	// Somebody has changed the hints: the annotation of before means nothing.
	h, err := metal3.FromHints(&v1alpha1.RootDeviceHints{SerialNumber: "new"}, `{"serial":"old-*"}`)
	if diff := cmp.Diff(model.DeviceHints{Serial: "new"}, h); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := metal3.FromHints(&v1alpha1.RootDeviceHints{SerialNumber: "new"}, `{`); err == nil {
		t.Error("a damaged annotation is taken")
	}
	if h, err := metal3.FromHints(nil, ""); err != nil || !h.IsZero() {
		t.Errorf("no hints became %v, %v", h, err)
	}
}
