package inventory

import (
	"os"
	"path/filepath"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// Format gives a source file in canonical form. A file with a syntax error is not changed; the list says why.
func Format(name string, src []byte) ([]byte, diag.List) {
	l := &loader{}
	if !l.checkText(name, src) || !l.bounded(name, src) {
		return src, l.finish()
	}
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		l.addHCL(diags)
		return src, l.finish()
	}
	return hclwrite.Format(src), nil
}

// FormatDir gives the files of an inventory whose formatting is not canonical, by name, with their canonical text. It writes nothing.
func FormatDir(dir string) (map[string][]byte, diag.List) {
	var all diag.List
	names, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	if err != nil || len(names) == 0 {
		all.Errorf(diag.Range{}, "choose another directory with -C DIR", "there is no *.hcl file in %s", dir)
		return nil, all
	}
	sort.Strings(names)
	changed := map[string][]byte{}
	for _, n := range names {
		src, err := os.ReadFile(n)
		if err != nil {
			all.Errorf(diag.Range{}, "make the file readable", "%v", err)
			continue
		}
		out, diags := Format(filepath.Base(n), src)
		all = append(all, diags...)
		if string(out) != string(src) {
			changed[filepath.Base(n)] = out
		}
	}
	return changed, all
}
