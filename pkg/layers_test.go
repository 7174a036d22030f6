// Package pkg_test holds what is true of the whole tree: which package may import which.
package pkg_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nuboctl/nuboctl/"

// layer says where a package stands and which packages of pkg/ it may import beside those of layer 0. A prefix ending in "/..." stands for
// the package and all below it. The table is the one of docs/architecture.md.
type layer struct {
	level int
	may   []string
}

var layers = map[string]layer{
	"model":  {0, nil},
	"diag":   {0, nil},
	"seeded": {0, nil}, // of tests only

	"inventory":      {1, []string{"inventory/..."}},
	"profile":        {1, []string{"profile/..."}},
	"plan":           {1, nil},
	"plan/plantest":  {1, []string{"plan"}},
	"facts":          {1, []string{"plan"}},
	"order":          {1, nil},
	"image/manifest": {1, nil},
	"metal3":         {1, nil},
	"gate":           {1, nil},

	"planner":   {2, []string{"plan", "facts", "planner/..."}},
	"verify":    {2, []string{"plan"}},
	"bmc":       {2, []string{"bmc/..."}},
	"netboot":   {2, []string{"netboot/...", "order"}},
	"image":     {2, []string{"image/..."}},
	"remote":    {2, []string{"remote/..."}},
	"host":      {2, []string{"host/...", "remote/..."}},
	"state":     {2, []string{"state/...", "plan"}},
	"installer": {2, []string{"installer/...", "order", "image/manifest"}},

	"relay":     {3, []string{"relay/...", "remote", "netboot", "order", "image", "image/manifest"}},
	"fleet":     {3, []string{"bmc", "remote", "host/...", "facts", "plan", "ops", "state"}},
	"console":   {3, []string{"bmc", "engine", "plan", "state"}},
	"provision": {3, []string{"relay", "order", "image", "image/manifest", "state", "facts", "plan"}},
	"observe":   {3, []string{"bmc", "host/...", "remote", "order", "facts", "relay", "state", "plan"}},
	"certify":   {3, []string{"plan", "facts", "planner/...", "verify", "ops"}},
	"ops":       {3, []string{"ops/...", "plan", "facts", "order"}},
	"engine":    {3, []string{"engine/...", "plan", "state/..."}},

	"view":  {4, []string{"plan", "engine", "facts", "order", "state"}},
	"adopt": {4, []string{"facts", "fleet", "host/...", "observe", "remote"}},
	// The virtual rack stands beside the product: it plays the hardware, and knows nothing of what drives it.
	"lab": {4, []string{"lab/..."}},
	"sim": {4, []string{"sim/...", "ops/...", "plan/...", "certify", "engine", "planner/...", "verify", "order", "facts", "state/..."}},

	"app": {5, []string{"..."}},
}

// rowOf finds a package's row: its own, or that of the nearest package above it.
func rowOf(name string) (string, layer, bool) {
	for p := name; ; {
		if l, ok := layers[p]; ok {
			return p, l, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return "", layer{}, false
		}
		p = p[:i]
	}
}

func allowed(l layer, imported string) bool {
	if row, il, ok := rowOf(imported); ok && il.level == 0 && row == imported {
		return true
	}
	for _, m := range l.may {
		if prefix, ok := strings.CutSuffix(m, "..."); ok && strings.HasPrefix(imported+"/", prefix) {
			return true
		}
		if m == imported {
			return true
		}
	}
	return false
}

func TestImportsGoDownwards(t *testing.T) {
	seen := 0
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"pkg/")
		_, l, ok := rowOf(name)
		if !ok && len(p.GoFiles) > 0 {
			t.Errorf("pkg/%s stands in no layer: add it to the table here and in docs/architecture.md", name)
			continue
		}
		seen += len(p.GoFiles)
		for _, imp := range p.Imports {
			if below, ok := strings.CutPrefix(imp, module+"pkg/"); ok && !allowed(l, below) {
				t.Errorf("pkg/%s imports pkg/%s, which the table does not allow", name, below)
			}
			if strings.HasPrefix(imp, module+"cmd/") {
				t.Errorf("pkg/%s imports a command", name)
			}
		}
	}
	if seen == 0 {
		t.Error("no package was looked at")
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	bans := map[string]string{
		"github.com/metal3-io/baremetal-operator": "the operator's root module drags in the whole controller; use its apis and hardwareutils modules",
		"log":                   "log/slog is what the project logs with",
		"io/ioutil":             "superseded",
		"math/rand":             "math/rand/v2 with an explicit seed, or crypto/rand",
		"encoding/gob":          "formats are JSON with a version",
		"github.com/pkg/errors": "errors of the standard library wrap",
	}
	for _, p := range list(t, "./...") {
		for _, imp := range p.Imports {
			if why, ok := bans[imp]; ok {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, why)
			}
		}
	}
}

// A property test that draws from the clock passes today and fails in somebody else's change tomorrow.
func TestPropertyTestsAreSeeded(t *testing.T) {
	seen := 0
	for _, p := range list(t, "./...") {
		for _, imports := range [][]string{p.TestImports, p.XTestImports} {
			if !slices.Contains(imports, "pgregory.net/rapid") {
				continue
			}
			seen++
			if !slices.Contains(imports, module+"pkg/seeded") {
				t.Errorf("%s imports rapid and not pkg/seeded in its tests", p.ImportPath)
			}
		}
	}
	if seen == 0 {
		t.Error("no property test was looked at")
	}
}

type listed struct {
	ImportPath   string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T, pattern string) []listed {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,TestImports,XTestImports", pattern)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pattern, err, &stderr)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
