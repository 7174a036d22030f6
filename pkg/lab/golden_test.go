package lab

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// loadRack loads a rack that comes with the project.
func loadRack(t *testing.T, name string) *Rack {
	t.Helper()
	rack, err := Load(filepath.Join("..", "..", "e2e", "racks", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return rack
}

func blade(t *testing.T, r *Rack, name string) Blade {
	t.Helper()
	b, err := r.Blade(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// options prints an argument list with one option and its value on each line.
func options(args []string) string {
	var b strings.Builder
	for i, a := range args {
		switch {
		case i == 0:
		case strings.HasPrefix(a, "-"):
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(a)
	}
	return b.String() + "\n"
}

func testDirs() Dirs { return Dirs{Runtime: "/lab", Sockets: "/run/nubo-lab/0"} }
