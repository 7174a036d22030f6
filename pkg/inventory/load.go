package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// Options are what a reading depends on beside the files.
type Options struct {
	// Vars are values of variables from the command line, as text.
	Vars map[string]string
	// Env is consulted for NUBO_VAR_NAME where Vars has nothing.
	Env map[string]string
	// Images are the names of images that exist. Nil: image names are not checked.
	Images []string

	elements int // that the for expressions of one attribute may go through; 0: maxElements
}

// Inventory is a description, read and checked.
type Inventory struct {
	Dir     string
	Desired model.Desired
	// Digest is over the expanded description and the contents of the files it refers to: comments and formatting do not change it.
	Digest model.Digest
	// Files are the sources by the names that ranges carry: relative to Dir, with slashes.
	Files map[string][]byte
	// Provenance tells where each noun was written: "lab/r1", "lab/r1/az1/a/blade-01", "lab/r1/az1/a/blade-01/nic/eth0", "network/provision",
	// "profile/hyperconverged", "vm/hello", "rollout", "cloud".
	Provenance map[string]diag.Range
	// Secrets says where secret() is resolved.
	Secrets SecretsSpec
	// State says where the state is kept.
	State StateSpec

	objects map[string]*object
}

// Where is the range of an attribute's value of a noun in Provenance, for example Where("lab/r1/az1/a/blade-01", "bmc", "address"). An
// attribute that was not written has the range of its block; an unknown noun has none.
func (i *Inventory) Where(noun string, attr ...string) diag.Range {
	o := i.objects[noun]
	for len(attr) > 1 && o != nil {
		o, attr = o.first(attr[0]), attr[1:]
	}
	if o == nil {
		return i.Provenance[noun]
	}
	if len(attr) == 0 {
		return o.at()
	}
	return o.where(attr[0])
}

// loader is the state of one reading.
type loader struct {
	opts     Options
	readFile func(name string) ([]byte, error)
	files    map[string][]byte // every file read, by name
	sources  []string          // names of the .hcl files, sorted
	diags    diag.List
	root     *hcl.EvalContext
	vars     map[string]*variable
	locals   map[string]*local
	networks map[string]bool // names, nil when they are only known after expansion
	count    int             // objects made so far
	laps     laps            // of for expressions, so far
}

// Load reads the inventory in a directory: all its *.hcl files and the files they refer to. It returns an inventory even when there are
// mistakes, as far as it could be read; it must not be acted on when the list has errors.
func Load(dir string, opts Options) (*Inventory, diag.List) {
	l := &loader{opts: opts, files: map[string][]byte{}, readFile: func(name string) ([]byte, error) {
		return readBounded(filepath.Join(dir, filepath.FromSlash(name)))
	}}
	names, err := filepath.Glob(filepath.Join(globbed(dir), "*.hcl"))
	if err != nil || len(names) == 0 {
		l.diags.Errorf(diag.Range{}, "make one with: nuboctl init DIR, or choose another directory with -C DIR", "no inventory: there is no *.hcl file in %s", dir)
		return &Inventory{Dir: dir}, l.diags
	}
	for _, n := range names {
		l.sources = append(l.sources, filepath.Base(n))
	}
	inv := l.load()
	inv.Dir = dir
	return inv, l.finish()
}

// Is reports whether a directory holds an inventory, whether it is right or wrong.
func Is(dir string) bool {
	names, err := filepath.Glob(filepath.Join(globbed(dir), "*.hcl"))
	return err == nil && len(names) > 0
}

// globbed is a directory's name with what has a meaning in patterns escaped.
func globbed(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// readBounded reads a plain file that is no larger than anything an inventory needs: neither a device nor an image of a disk.
func readBounded(name string) ([]byte, error) {
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, err
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("has %d MiB; a file of an inventory has %d at most", info.Size()>>20, maxFileBytes>>20)
	case !info.Mode().IsRegular() && !info.IsDir(): // that it is a directory is told by reading it
		return nil, errors.New("is no plain file")
	}
	return os.ReadFile(name)
}

// LoadFiles reads an inventory that is in memory: the names ending in .hcl at the top are its sources.
func LoadFiles(files map[string][]byte, opts Options) (*Inventory, diag.List) {
	l := &loader{opts: opts, files: map[string][]byte{}, readFile: func(name string) ([]byte, error) {
		if b, ok := files[path.Clean(name)]; ok {
			return b, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}}
	for _, n := range keysOf(files) {
		if strings.HasSuffix(n, ".hcl") && !strings.Contains(n, "/") {
			l.sources = append(l.sources, n)
		}
	}
	inv := l.load()
	return inv, l.finish()
}

func (l *loader) load() *Inventory {
	sort.Strings(l.sources)
	inv := &Inventory{Files: l.files, Provenance: map[string]diag.Range{}, objects: map[string]*object{}}
	bodies := l.parse()
	if l.diags.HasErrors() {
		return inv // what follows from a syntax error is noise
	}
	nodes := l.shape(bodies)
	l.openScope(nodes)
	objects := l.expandAll(nodes)
	b := newBuilder(l, inv)
	b.build(objects)
	b.check()
	inv.Digest = l.digest(inv.Desired)
	return inv
}

// parse reads every source.
func (l *loader) parse() []*hclsyntax.Body {
	var bodies []*hclsyntax.Body
	for _, name := range l.sources {
		src, err := l.read(name)
		if err != nil {
			l.diags.Errorf(diag.Range{}, "make the file readable", "%v", err)
			continue
		}
		if !l.checkText(name, src) || !l.bounded(name, src) {
			continue
		}
		f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		l.addHCL(diags)
		if body, ok := f.Body.(*hclsyntax.Body); ok {
			l.countLoops(body)
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// read reads a file of the inventory once. Names are relative to it: an inventory is moved and reviewed as a whole.
func (l *loader) read(name string) ([]byte, error) {
	if path.IsAbs(name) || filepath.IsAbs(name) {
		return nil, fmt.Errorf("file %s: name it relative to the inventory, and keep it with it", name)
	}
	name = path.Clean(name)
	if b, ok := l.files[name]; ok {
		return b, nil
	}
	b, err := l.readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s in the inventory", name)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("file %s: %w", name, err)
	}
	l.files[name] = b
	return b, nil
}

func (l *loader) digest(d model.Desired) model.Digest {
	referred := map[string]model.Digest{}
	for name, b := range l.files {
		if !strings.HasSuffix(name, ".hcl") {
			referred[name] = model.DigestBytes(b)
		}
	}
	return model.DigestJSON(struct {
		Desired model.Desired
		Files   map[string]model.Digest
	}{d, referred})
}

// mostAtOnePlace bounds what is reported at one place: a mistake in a for_each of ten thousand is one mistake.
const mostAtOnePlace = 3

// finish sorts the list, drops what repeats and folds what a for_each multiplied.
func (l *loader) finish() diag.List {
	var out diag.List
	seen := map[diag.Diagnostic]bool{}
	at := map[diag.Range]int{}
	last := map[diag.Range]int{}
	for _, d := range l.diags.Sorted() {
		if seen[d] {
			continue
		}
		seen[d] = true
		at[d.Subject]++
		if n := at[d.Subject]; n > mostAtOnePlace && !d.Subject.IsZero() {
			continue
		}
		out = append(out, d)
		last[d.Subject] = len(out) - 1
	}
	for r, n := range at {
		if n > mostAtOnePlace && !r.IsZero() {
			d := &out[last[r]]
			d.Detail = strings.TrimSpace(fmt.Sprintf("%s (and %d more like it at this place)", d.Detail, n-mostAtOnePlace))
		}
	}
	return out
}

// stringType is what a secret capsule encloses: its name.
var stringType = typeOfString()

// unknown is the value of what could not be evaluated; the mistake was reported where it was made.
var unknown = cty.DynamicVal
