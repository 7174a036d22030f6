package inventory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForExpressionsAreBounded: for expressions inside each other go through billions of elements before anybody notices. They end where they stand, whatever is
// in them, and what else is in the inventory is told as well.
func TestForExpressionsAreBounded(t *testing.T) {
	const many = "range(0, 20000)"
	for name, expr := range map[string]string{
		"lists":             "[for a in " + many + " : [for b in " + many + " : b]]",
		"over a local":      "[for a in local.many : [for b in local.many : a]]",
		"nothing is kept":   "[for a in " + many + " : [for b in " + many + " : b if false]]",
		"maps":              "{ for a in " + many + " : a => { for b in " + many + " : b => a } }",
		"in a condition":    "[for a in " + many + " : a if length([for b in " + many + " : b]) == 0]",
		"in an argument":    "length(flatten([for a in " + many + " : [for b in " + many + " : b]]))",
		"in a template":     "\"%{ for a in " + many + " }%{ for b in " + many + " }x%{ endfor }%{ endfor }\"",
		"once for each row": "[for a in [for b in " + many + " : [for c in " + many + " : c]] : a]",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := small + "locals {\n  many = " + many + "\n  huge = " + expr + "\n}\nprofile \"q\" {\n  image = \"debian-13\"\n  cores = local.huge\n  colour = \"red\"\n}\n"
			if err := os.WriteFile(filepath.Join(dir, "cloud.hcl"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			most := 30_000
			if name == "lists" {
				most = 0 // as in earnest
			}
			_, diags := Load(dir, Options{elements: most})
			all := diags.Err()
			if all == nil || !strings.Contains(all.Error(), tooManySummary) || !strings.Contains(all.Error(), "colour") {
				t.Errorf("got %v", all)
			}
		})
	}
	// What a large fleet needs is far below the bounds, and what a for expression refers to is found although its parts are counted.
	dir := t.TempDir()
	text := strings.Replace(small, "range(1, 4)", "[for a in local.three : a + length([for b in "+many+" : b if b < local.three[1]]) - 2]", 1) + "locals {\n  three = [1, 2, 3]\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "cloud.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, diags := Load(dir, Options{})
	if err := diags.Err(); err != nil || len(inv.Desired.Nodes) != 3 {
		t.Errorf("%d nodes, %v", len(inv.Desired.Nodes), err)
	}
}
