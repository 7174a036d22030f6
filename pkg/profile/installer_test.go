package profile_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"

	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/profile"
)

const head = "variant: fcos\nversion: 1.4.0\n"

func node(butane string) profile.Input {
	d := &model.Desired{Cloud: model.Cloud{Name: "x", Domain: "x.test"},
		Networks: []model.Network{{Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/24")}},
		Profiles: []model.Profile{{Name: "p", Bridges: []model.Bridge{{Name: "br-ex", Uplink: "eth0"}}}}}
	n := model.Node{Path: "s/r/z/k/n", Name: "n", Profile: "p", NICs: []model.NIC{{Name: "eth0", MAC: "02:00:00:00:00:01", Network: "n", Address: netip.MustParsePrefix("10.0.0.11/24")}}}
	return profile.Input{Desired: d, Node: n, Butane: profile.Source{Name: "p.bu", Text: []byte(butane)}}
}

// What is refused here is what the installer refuses, and what is rendered here is what it takes.
func TestAgreesWithInstaller(t *testing.T) {
	for name, butane := range map[string]string{
		"disks":            "storage:\n  disks:\n    - device: /dev/sda\n",
		"raid":             "storage:\n  raid:\n    - name: x\n      level: raid1\n      devices: [/dev/sda, /dev/sdb]\n",
		"filesystems":      "storage:\n  filesystems:\n    - device: /dev/sda\n      format: ext4\n",
		"luks":             "storage:\n  luks:\n    - name: x\n      device: /dev/sda\n",
		"kernel_arguments": "kernel_arguments:\n  should_exist: [quiet]\n",
		"merge":            "ignition:\n  config:\n    merge:\n      - source: https://example.com/x\n",
		"replace":          "ignition:\n  config:\n    replace:\n      source: https://example.com/x\n",
		"proxy":            "ignition:\n  proxy:\n    http_proxy: http://example.com\n",
		"security":         "ignition:\n  security:\n    tls:\n      certificate_authorities:\n        - source: https://example.com/x\n",
		"timeouts":         "ignition:\n  timeouts:\n    http_total: 3\n",
		"remote file":      "storage:\n  files:\n    - path: /etc/x\n      contents:\n        source: https://example.com/x\n",
		"remote append":    "storage:\n  files:\n    - path: /etc/x\n      append:\n        - source: https://example.com/x\n",
		"password":         "passwd:\n  users:\n    - name: u\n      password_hash: x\n",
		"user gone":        "passwd:\n  users:\n    - name: u\n      should_exist: false\n",
		"group password":   "passwd:\n  groups:\n    - name: u\n      password_hash: x\n",
		"group gone":       "passwd:\n  groups:\n    - name: u\n      should_exist: false\n",
	} {
		if _, diags := profile.Render(node(head + butane)); !diags.HasErrors() {
			t.Errorf("%s: accepted here", name)
		}
		raw, report, err := config.TranslateBytes([]byte(head+butane), common.TranslateBytesOptions{})
		if err != nil || report.IsFatal() {
			t.Fatalf("%s: the test's Butane is wrong: %v %s", name, err, report)
		}
		if _, err := hostfiles.Parse(raw); err == nil {
			t.Errorf("%s: accepted by the installer", name)
		}
	}
	good := head + "storage:\n  files:\n    - path: /etc/x\n      contents:\n        inline: x\n  directories:\n    - path: /etc/d\n  links:\n    - path: /etc/l\n      target: /etc/x\n" +
		"systemd:\n  units:\n    - name: x.service\n      enabled: true\n      contents: \"[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n\"\npasswd:\n  users:\n    - name: u\n  groups:\n    - name: g\n"
	r, diags := profile.Render(node(good))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if _, err := hostfiles.Parse(r.Ignition); err != nil {
		t.Errorf("the installer refuses what was rendered: %v", err)
	}
}

// Every node of the inventories in this repository renders, and the installer takes the result.
func TestInventoriesRender(t *testing.T) {
	for _, name := range []string{"demo", "nubo", "pi"} {
		dir := filepath.Join("../../inventories", name)
		d := rendered(t, dir)
		if len(d) == 0 {
			t.Errorf("%s: nothing rendered", name)
		}
		for path, r := range d {
			if _, err := hostfiles.Parse(r.Ignition); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func rendered(t testing.TB, dir string) map[model.Path]profile.Rendered {
	t.Helper()
	inv, diags := inventory.Load(dir, inventory.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	addresses, err := inventory.Allot(inv.Desired, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := inventory.WithAddresses(inv.Desired, addresses)
	butane := map[string]profile.Source{}
	for _, p := range d.Profiles {
		text, err := os.ReadFile(filepath.Join(dir, p.Butane))
		if err != nil {
			t.Fatal(err)
		}
		butane[p.Name] = profile.Source{Name: p.Butane, Text: text}
	}
	out := map[model.Path]profile.Rendered{}
	var r profile.Renderer
	for _, n := range d.Nodes {
		one, diags := r.Render(profile.Input{Desired: &d, Node: n, Butane: butane[n.Profile]})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		out[n.Path] = one
	}
	return out
}

func BenchmarkRenderNubo(b *testing.B) {
	for b.Loop() {
		rendered(b, "../../inventories/nubo")
	}
}
