package view_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/view"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata. Escape sequences are written so that they can be read.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	shown := strings.NewReplacer("\x1b", "<ESC>", "\r", "<CR>").Replace(string(got))
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(shown), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), shown); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// plainToo shows something in colour and plain: the plain text is the coloured one without its colours.
func plainToo(t *testing.T, show func(*bytes.Buffer, view.Style) error) (plain []byte) {
	t.Helper()
	var colour, p bytes.Buffer
	if err := show(&colour, view.Style{Color: true}); err != nil {
		t.Fatal(err)
	}
	if err := show(&p, view.Style{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.String(), "\x1b") {
		t.Error("plain text has escape sequences")
	}
	if got := uncolour(colour.String()); got != p.String() {
		t.Errorf("colours change the text:\n%s", cmp.Diff(p.String(), got))
	}
	return p.Bytes()
}

func uncolour(s string) string {
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		s = strings.ReplaceAll(s, "\x1b["+code+"m", "")
	}
	return s
}

var t0 = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

// makePlan plans for a site of n blades; edit changes what is observed there, after everything was as desired.
func makePlan(t *testing.T, n int, g plan.Goal, edit func(*model.Desired, *model.Observed)) plan.Plan {
	t.Helper()
	d := opstest.Site(n)
	in := planner.Input{Goal: g, Inventory: model.DigestBytes(nil), Images: map[string]model.Digest{
		d.Nodes[0].Image.Name: d.Nodes[0].Image.Digest, d.VMs[0].Image.Name: d.VMs[0].Image.Digest}}
	if edit != nil {
		edit(&d, &in.Observed)
	}
	in.Desired = d
	p, err := planner.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
