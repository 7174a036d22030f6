package profile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/coreos/ignition/v2/config/v3_3"
	"github.com/coreos/ignition/v2/config/v3_3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vincent-petithory/dataurl"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (run with -update when that is intended):\n%s", name, d)
	}
}

const testCA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGM1yqQgdyVJYzTZ2Kp5nn2N0DVzuJgDCkO0OZGAbxcc operator CA"

// bonded is a node with everything: two cards in a bond under a bridge with a tagged port, and a third card of its own.
func bonded(butane string) Input {
	d := &model.Desired{
		Cloud: model.Cloud{Name: "demo", Domain: "demo.test", DNS: []string{"10.0.0.53"}, NTP: []string{"ntp.demo.test"}},
		Networks: []model.Network{
			{Name: "provision", CIDR: netip.MustParsePrefix("10.77.0.0/24"), Gateway: netip.MustParseAddr("10.77.0.1"), NTP: []string{"10.77.0.1"}},
			{Name: "storage", CIDR: netip.MustParsePrefix("10.77.1.0/24"), VLAN: 101, MTU: 9000},
			{Name: "backup", CIDR: netip.MustParsePrefix("10.77.2.0/24"), Gateway: netip.MustParseAddr("10.77.2.1")},
		},
		Profiles: []model.Profile{{Name: "hv", Image: "debian-13", Roles: []model.Role{model.RoleCompute},
			Bonds:   []model.Bond{{Name: "bond0", Mode: "active-backup", Members: []string{"lan0", "lan1"}}},
			Bridges: []model.Bridge{{Name: "br-ex", Uplink: "bond0", VLANs: []model.BridgeVLAN{{Port: "stor0", Network: "storage"}}}}}},
	}
	n := model.Node{Path: "lab/r1/az1/a/blade-01", Name: "blade-01", Profile: "hv", Roles: []model.Role{model.RoleCompute}, Image: model.ImageRef{Name: "debian-13"},
		NICs: []model.NIC{
			{Name: "lan0", MAC: "52:54:00:77:00:01", Network: "provision", Address: netip.MustParsePrefix("10.77.0.11/24")},
			{Name: "lan1", MAC: "52:54:00:77:01:01"},
			{Name: "bkp0", MAC: "52:54:00:77:02:01", Network: "backup", Address: netip.MustParsePrefix("10.77.2.11/24")},
		},
		Ports: []model.Port{{Name: "stor0", Network: "storage", Address: netip.MustParsePrefix("10.77.1.11/24")}}}
	d.Nodes = []model.Node{n}
	return Input{Desired: d, Node: n, Butane: Source{Name: "hv.bu", Text: []byte(butane)}, UserCAs: []string{testCA}}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parsed is the config as Ignition's own parser takes it, without a word of warning.
func parsed(t testing.TB, r Rendered) types.Config {
	t.Helper()
	c, report, err := v3_3.Parse(r.Ignition)
	if err != nil || len(report.Entries) > 0 {
		t.Fatalf("Ignition refuses the config: %v\n%s\n%s", err, report.String(), r.Ignition)
	}
	return c
}

func mustRender(t testing.TB, in Input) (Rendered, types.Config) {
	t.Helper()
	r, diags := Render(in)
	if len(diags) > 0 {
		t.Fatal(diags.Err(), diags)
	}
	return r, parsed(t, r)
}

// Everything a host gets, as one text to be read in review.
func TestHostFiles(t *testing.T) {
	_, c := mustRender(t, bonded(read(t, "good.bu")))
	var b strings.Builder
	for _, f := range c.Storage.Files {
		mode := 0
		if f.Mode != nil {
			mode = *f.Mode
		}
		fmt.Fprintf(&b, "=== %s %#o\n", f.Path, mode)
		if f.Contents.Source != nil {
			u, err := dataurl.DecodeString(*f.Contents.Source)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(u.Data)
		}
	}
	for _, u := range c.Systemd.Units {
		fmt.Fprintf(&b, "=== unit %s enabled=%v dropins=%d\n", u.Name, u.Enabled != nil && *u.Enabled, len(u.Dropins))
	}
	golden(t, "host.golden", []byte(b.String()))
}

func TestSameInputSameBytes(t *testing.T) {
	in := bonded(read(t, "good.bu"))
	first, _ := mustRender(t, in)
	var r Renderer
	for range 3 {
		again, diags := r.Render(in)
		if diags.HasErrors() || !bytes.Equal(first.Ignition, again.Ignition) || first.Digest != again.Digest {
			t.Fatal("the same input gave another config")
		}
	}
	in.Node.NICs[0].Address = netip.MustParsePrefix("10.77.0.12/24")
	if other, _ := mustRender(t, in); other.Digest == first.Digest {
		t.Error("another address gave the same digest")
	}
}

// Every value in the author's part of the config leads back to the author's line.
func TestProvenanceCoversEverything(t *testing.T) {
	in := bonded(read(t, "good.bu"))
	author := translateText(in.Butane)
	if author.diags.HasErrors() {
		t.Fatal(author.diags.Err())
	}
	if err := author.sets.DebugVerifyCoverage(author.config); err != nil {
		t.Errorf("Butane's own check: %v", err)
	}
	raw, err := json.Marshal(author.config)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(in.Butane.Text), "\n")
	n := 0
	leaves("", tree, func(path string, value any) {
		if path == "ignition.version" || value == nil {
			return
		}
		n++
		at, ok := author.provenance[path]
		if !ok || at.File != "hv.bu" || at.Start.Line < 1 || at.Start.Line > len(lines) {
			t.Errorf("%s leads nowhere: %v", path, at)
		}
	})
	if n < 20 {
		t.Errorf("only %d values", n)
	}
	for path, want := range map[string]string{"storage.files.0.mode": "mode: 0644", "systemd.units.0.enabled": "enabled: true", "passwd.groups.0.gid": "gid: 3000",
		"storage.links.0.target": "target: /usr/share"} {
		if got := lines[author.provenance[path].Start.Line-1]; !strings.Contains(got, want) {
			t.Errorf("%s leads to %q", path, got)
		}
	}
}

func leaves(path string, v any, visit func(string, any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, c := range v {
			leaves(strings.TrimPrefix(path+"."+k, "."), c, visit)
		}
	case []any:
		for i, c := range v {
			leaves(fmt.Sprintf("%s.%d", path, i), c, visit)
		}
	default:
		visit(path, v)
	}
}

func show(src string, list diag.List) []byte {
	var b bytes.Buffer
	lines := strings.Split(src, "\n")
	for _, d := range list {
		fmt.Fprintf(&b, "%s: %s: %s\n", d.Subject, d.Severity, d.Summary)
		if l := d.Subject.Start.Line; l > 0 {
			fmt.Fprintf(&b, "  | %s\n", lines[l-1])
		}
		fmt.Fprintf(&b, "  remedy: %s\n", d.Remedy)
	}
	return b.Bytes()
}

// All that the installer would not apply, and every unknown key, is refused in one go; so is what collides with nuboctl's own.
func TestRefusals(t *testing.T) {
	bad := read(t, "bad.bu")
	_, refused := Render(bonded(bad))
	hidden := "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /etc/hostname\n    - path: /var/log/hidden\n    - path: /etc/nubo/x\n    - path: /etc/ssh\n" +
		"systemd:\n  units:\n    - name: nubo-network.service\n    - name: ssh.service\n      mask: true\n"
	_, conflict := Render(bonded(hidden))
	var b bytes.Buffer
	b.Write(show(bad, refused))
	b.WriteString("--- conflicts\n")
	b.Write(show(hidden, conflict))
	golden(t, "refused.golden", b.Bytes())
}

func TestMistakesInText(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		line       int
	}{
		"no version":       {"storage: {}\n", "is not read", 1},
		"other version":    {"variant: fcos\nversion: 1.6.0\n", "is not read", 2},
		"broken yaml":      {"variant: fcos\nversion: 1.4.0\nstorage: [\n", "", 3},
		"wrong type":       {"variant: fcos\nversion: 1.4.0\nstorage:\n  files: 7\n", "cannot unmarshal", 4},
		"unknown value":    {"variant: fcos\nversion: 1.4.0\n# {{ .Secret }}\n", "no value .Secret", 3},
		"more than values": {"variant: fcos\nversion: 1.4.0\n# {{ if .Hostname }}x{{ end }}\n", "more than a value", 3},
		"open braces":      {"variant: fcos\nversion: 1.4.0\n# {{ .Hostname\n", "unclosed action", 4},
		"relative path":    {"variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: etc/x\n", "not absolute", 5},
		"twice":            {"variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /etc/x\n    - path: /etc/x\n", "duplicate", 6},
		"own word":         {"variant: fcos\nversion: 1.4.0\n# nuboQvalue\n", "own word", 3},
		"two documents":    {"variant: fcos\nversion: 1.4.0\n---\nvariant: fcos\n", "more than one document", 1},
	} {
		_, diags := Render(bonded(tt.text))
		if !diags.HasErrors() || !strings.Contains(diags[0].Summary, tt.want) || diags[0].Subject.Start.Line != tt.line || diags[0].Remedy == "" {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

func TestNoBridgeNoScript(t *testing.T) {
	in := bonded("")
	in.Desired.Profiles[0].Bonds, in.Desired.Profiles[0].Bridges = nil, nil
	r, _ := mustRender(t, in)
	var paths []string
	for _, f := range r.Files {
		paths = append(paths, f.Path)
	}
	if !sort.StringsAreSorted(paths) || strings.Contains(strings.Join(paths, " "), "/usr/lib/nubo/network") {
		t.Errorf("files: %v", paths)
	}
}

func FuzzButane(f *testing.F) {
	for _, n := range []string{"good.bu", "bad.bu"} {
		b, err := os.ReadFile(filepath.Join("testdata", n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("{{ \"{{\" }}")
	f.Fuzz(func(t *testing.T, text string) {
		r, diags := Render(bonded(text))
		if !diags.HasErrors() {
			parsed(t, r)
		}
		for _, d := range diags {
			if e := d.Subject.End.Byte; e > len(text) {
				t.Errorf("range beyond the text: %+v", d)
			}
		}
	})
}

func BenchmarkRender(b *testing.B) {
	good, err := os.ReadFile("testdata/good.bu")
	if err != nil {
		b.Fatal(err)
	}
	in := bonded(string(good))
	b.Run("own text", func(b *testing.B) {
		for b.Loop() {
			if _, diags := Render(in); diags.HasErrors() {
				b.Fatal(diags)
			}
		}
	})
	b.Run("shared text", func(b *testing.B) {
		var r Renderer
		for b.Loop() {
			if _, diags := r.Render(in); diags.HasErrors() {
				b.Fatal(diags)
			}
		}
	})
}
