//go:build e2e

// Package rack is what the end-to-end tests stand on: a virtual rack of this machine, an inventory with a state of its own, and nuboctl run on
// one of the rack's stations as an operator would. Nothing here is mocked.
package rack

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Rack is a running virtual rack.
type Rack struct {
	Name string
	Root string // of the checkout
	Bin  string // where the programs under test are
	log  io.Writer
}

// The environment variables that a developer may set.
const (
	binVar    = "NUBO_E2E_BIN"    // directory of the programs under test; default: bin of the checkout
	keepVar   = "NUBO_E2E_KEEP"   // not empty: leave the rack running, with its files, when the test ends
	seedVar   = "NUBO_E2E_SEED"   // of tests that choose moments
	imagesVar = "NUBO_E2E_IMAGES" // image store to build into; default: nuboctl's own, in the user's cache
)

// programs are those under test.
var programs = []string{"nuboctl", "nubo-lab", "nubo-agent", "nubo-bootd"}

// Start brings up a rack with new disks, and takes it down when the test ends.
func Start(t *testing.T, name string) *Rack {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	r := &Rack{Name: name, Root: root, Bin: filepath.Join(root, "bin"), log: t.Output()}
	if bin := os.Getenv(binVar); bin != "" {
		r.Bin = bin
	}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(r.Bin, p)); err != nil {
			t.Fatalf("%v: run make build first", err)
		}
	}
	r.lab(t, "down", "--purge")
	t.Cleanup(func() {
		if os.Getenv(keepVar) == "" {
			r.lab(t, "down", "--purge")
		}
	})
	r.lab(t, "up")
	return r
}

// Seed is what a test chooses its moments by: always the same ones, unless somebody asks for others.
func Seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedVar)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedVar, err)
	}
	return seed
}

func (r *Rack) labArgs(args ...string) []string {
	return append([]string{filepath.Join(r.Bin, "nubo-lab"), "--rack", r.Name}, args...)
}

// lab runs nubo-lab. The test's own context may have ended: the rack is taken down all the same.
func (r *Rack) lab(t *testing.T, args ...string) string {
	t.Helper()
	argv := r.labArgs(args...)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = r.Root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nubo-lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Power is a blade's power as the rack itself knows it: "on" or "off".
func (r *Rack) Power(t *testing.T, blade string) string {
	t.Helper()
	for _, line := range strings.Split(r.lab(t, "status"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == blade {
			return f[1]
		}
	}
	t.Fatalf("nubo-lab status does not name %s", blade)
	return ""
}

// SetPower switches a blade as if somebody pressed its button, or pulled its plug.
func (r *Rack) SetPower(t *testing.T, blade, state string) {
	t.Helper()
	r.lab(t, "power", blade, state)
}

// Path is a file in the rack's own directory.
func (r *Rack) Path(parts ...string) string {
	return filepath.Join(append([]string{r.Root, ".lab", r.Name}, parts...)...)
}

// Disk is the file behind a blade's disk.
func (r *Rack) Disk(blade, disk string) string { return r.Path("blades", blade, disk+".qcow2") }
