package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// environment are the variables NUBO_VAR_* of the process.
func environment() map[string]string {
	out := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "NUBO_VAR_") {
			out[name] = value
		}
	}
	return out
}

// load reads the inventory and shows what is wrong with it; the error then says only that it was shown.
func (e Env) load() (*inventory.Inventory, error) {
	inv, list := inventory.Load(e.Dir, inventory.Options{Vars: e.Vars, Env: environment()})
	if !list.HasErrors() {
		return inv, view.Warnings(e.Err, e.ErrStyle, located(inv, list))
	}
	return inv, e.show(inv, list)
}

// show writes diagnostics to stderr; it returns an error when the list has one.
func (e Env) show(inv *inventory.Inventory, list diag.List) error {
	if len(list) == 0 {
		return nil
	}
	if err := view.Diagnostics(e.Err, e.ErrStyle, located(inv, list), sources(inv)); err != nil {
		return err
	}
	if list.HasErrors() {
		return &Exit{Code: ExitError, Err: list.Err(), Shown: true}
	}
	return nil
}

// located makes the files in ranges findable from where the command was called.
func located(inv *inventory.Inventory, list diag.List) diag.List {
	out := make(diag.List, len(list))
	for i, d := range list {
		if inv != nil && d.Subject.File != "" && !filepath.IsAbs(d.Subject.File) {
			d.Subject.File = filepath.Join(inv.Dir, d.Subject.File)
		}
		out[i] = d
	}
	return out
}

func sources(inv *inventory.Inventory) view.Sources {
	return func(file string) []byte {
		if inv == nil {
			return nil
		}
		if rel, err := filepath.Rel(inv.Dir, file); err == nil {
			if src, ok := inv.Files[filepath.ToSlash(rel)]; ok {
				return src
			}
		}
		return inv.Files[file]
	}
}

// Validate checks the inventory and the profiles it uses, with no network at all.
func Validate(e Env) error {
	inv, list := inventory.Load(e.Dir, inventory.Options{Vars: e.Vars, Env: environment()})
	if !list.HasErrors() {
		list = append(list, checkProfiles(inv)...)
	}
	if e.JSON {
		if err := view.DiagnosticsJSON(e.Out, located(inv, list)); err != nil {
			return err
		}
		if list.HasErrors() {
			return &Exit{Code: ExitError, Err: list.Err(), Shown: true}
		}
		return nil
	}
	if err := e.show(inv, list); err != nil {
		return err
	}
	d := inv.Desired
	_, err := fmt.Fprintf(e.Out, "The inventory in %s is valid: %s, %s, %s, %s, %s.\n", e.Dir,
		view.Plural(len(d.Sites), "site"), view.Plural(len(d.Regions), "region"), view.Plural(len(d.Zones), "zone"),
		view.Plural(len(d.Racks), "rack"), view.Plural(len(d.Nodes), "node"))
	return err
}

// Inventory shows the expanded tree.
func Inventory(e Env) error {
	inv, err := e.load()
	if err != nil {
		return err
	}
	sum := inventory.Summary(inv.Desired)
	if e.JSON {
		return view.JSON(e.Out, sum)
	}
	return view.InventoryText(e.Out, e.OutStyle, inv.Desired)
}

// Graph writes the inventory as a graph in the DOT language.
func Graph(e Env) error {
	inv, err := e.load()
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.Out, inventory.Graph(inv.Desired))
	return err
}

// Init writes an inventory to start from. It touches nothing that is there.
func Init(e Env, dir string) error {
	files, err := inventory.Init(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintf(e.Out, "wrote %s\n", f)
	}
	_, err = fmt.Fprintf(e.Out, "\nRead them, put your machines in, then: nuboctl -C %s validate\n", dir)
	return err
}

// FormatOptions are those of Format.
type FormatOptions struct {
	Check bool // change nothing; exit 1 when something would change
}

// Format brings the inventory's files into their canonical form.
func Format(e Env, o FormatOptions) error {
	names, err := filepath.Glob(filepath.Join(e.Dir, "*.hcl"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("there is no *.hcl file in %s", e.Dir)
	}
	sort.Strings(names)
	var errs []error
	changed := 0
	for _, name := range names {
		c, err := formatFile(name, o.Check)
		if errs = append(errs, err); c {
			changed++
			fmt.Fprintln(e.Out, name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if o.Check && changed > 0 {
		return &Exit{Code: ExitError, Err: fmt.Errorf("%d of %d files are not in canonical form; run nuboctl fmt", changed, len(names))}
	}
	return nil
}

func formatFile(name string, check bool) (changed bool, err error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	out, list := inventory.Format(name, src)
	if err := list.Err(); err != nil {
		return false, err
	}
	if string(out) == string(src) {
		return false, nil
	}
	if check {
		return true, nil
	}
	return true, os.WriteFile(name, out, 0o644)
}
