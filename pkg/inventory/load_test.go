package inventory

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file, or writes it with -update.
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

// render shows diagnostics with their source and caret, so that goldens show what the author would see pointed at.
func render(files map[string][]byte, list diag.List) []byte {
	var b bytes.Buffer
	for _, d := range list {
		fmt.Fprintf(&b, "%s: %s: %s\n", d.Subject, d.Severity, d.Summary)
		if src, ok := files[d.Subject.File]; ok {
			line := bytes.Split(src, []byte("\n"))[d.Subject.Start.Line-1]
			width := len(line) - d.Subject.Start.Column + 1
			if d.Subject.End.Line == d.Subject.Start.Line {
				width = d.Subject.End.Column - d.Subject.Start.Column
			}
			fmt.Fprintf(&b, "  | %s\n  | %s%s\n", line, strings.Repeat(" ", d.Subject.Start.Column-1), strings.Repeat("^", max(1, width)))
		}
		if d.Detail != "" {
			fmt.Fprintf(&b, "  detail: %s\n", d.Detail)
		}
		fmt.Fprintf(&b, "  remedy: %s\n", d.Remedy)
	}
	return b.Bytes()
}

func mustLoad(t testing.TB, dir string, vars map[string]string) *Inventory {
	t.Helper()
	inv, diags := Load(dir, Options{Vars: vars})
	if diags.HasErrors() {
		t.Fatalf("%s:\n%s", dir, render(inv.Files, diags))
	}
	return inv
}

func TestDesignSketchLoads(t *testing.T) {
	inv := mustLoad(t, "testdata/sketch", nil)
	d := inv.Desired
	if len(d.Nodes) != 3 || d.Nodes[1].Path != "lab/r1/az1/a/blade-02" || d.Nodes[1].NICs[0].Network != "provision" {
		t.Fatalf("nodes: %+v", d.Nodes)
	}
	if d.Nodes[0].BMC.Credentials != "bmc" || d.Regions[0].Ceph.Pools[0].Size != 3 || d.Rollout.Survive != "A+C" {
		t.Errorf("desired: %+v", d)
	}
	if at := inv.Where("lab/r1/az1/a/blade-02", "bmc", "address"); at.Start.Line != 46 {
		t.Errorf("bmc address is said to be at %v", at)
	}
	if at := inv.Provenance["lab/r1/az1/a/blade-03/nic/eth1"]; at.IsZero() {
		t.Error("a card has no provenance")
	}
}

// One file with every kind of mistake: all reported in one go, each with place and remedy.
func TestMistakes(t *testing.T) {
	inv, diags := Load("testdata/mistakes", Options{Vars: map[string]string{"bladse": "3"}, Images: []string{"debian-13", "guest"}})
	golden(t, "mistakes.golden", render(inv.Files, diags))
	for _, d := range diags {
		if d.Remedy == "" {
			t.Errorf("no remedy: %s", d)
		}
		if d.Subject.IsZero() && !strings.HasPrefix(d.Summary, "-var") {
			t.Errorf("no place: %s", d)
		}
		if strings.Contains(d.String(), "hunter2") {
			t.Errorf("a password is quoted: %s", d)
		}
	}
	if len(diags) < 25 {
		t.Errorf("only %d mistakes reported", len(diags))
	}
}

func TestInitValidatesAndIsFormatted(t *testing.T) {
	dir := t.TempDir()
	written, err := Init(dir)
	if err != nil || len(written) < 5 {
		t.Fatalf("init: %v, %v", written, err)
	}
	inv := mustLoad(t, dir, nil)
	if len(inv.Desired.Nodes) != 3 {
		t.Errorf("%d nodes", len(inv.Desired.Nodes))
	}
	if changed, diags := FormatDir(dir); len(changed) != 0 || len(diags) != 0 {
		t.Errorf("not canonical: %v %v", changed, diags)
	}
	if _, err := Init(dir); err == nil {
		t.Error("a second init was not refused")
	}
}

func TestDigestIgnoresCommentsAndSeesContents(t *testing.T) {
	files := map[string][]byte{}
	for _, n := range []string{"cloud.hcl", "profiles/hyperconverged.bu", "secrets.dev-cleartext.json"} {
		b, err := os.ReadFile("testdata/sketch/" + n)
		if err != nil {
			t.Fatal(err)
		}
		files[n] = b
	}
	digest := func() model.Digest {
		inv, diags := LoadFiles(files, Options{})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		return inv.Digest
	}
	first := digest()
	files["cloud.hcl"] = append(files["cloud.hcl"], "\n# a comment\n"...)
	files["secrets.dev-cleartext.json"] = []byte(`{"bmc": {"user": "admin", "password": "another"}}`)
	if digest() != first {
		t.Error("a comment or a new password changed the digest")
	}
	files["profiles/hyperconverged.bu"] = append(files["profiles/hyperconverged.bu"], "# more\n"...)
	if digest() == first {
		t.Error("a changed profile did not change the digest")
	}
}
