package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// At every moment of a replacement there is a whole journal: a missing one would be taken for one in which nothing was begun.
func TestReplace(t *testing.T) {
	write := func(dir string, n int) {
		j := mustOpen(t, dir, Options{Epoch: 1})
		for i := range n {
			mustAppend(t, j, intent(i))
		}
		mustClose(t, j)
	}
	base := t.TempDir()
	dir, other, kept := filepath.Join(base, "journal"), filepath.Join(base, "other"), filepath.Join(base, "journal.before-7")
	write(other, 3)
	if err := Replace(dir, 6, Read(other)); err != nil || count(t, dir) != 3 {
		t.Fatalf("where there was none: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(dir, 2)
	real := exchange
	defer func() { exchange = real }()
	exchange = func(fresh, in string) error {
		if in != dir || count(t, dir) != 2 || count(t, fresh) != 3 {
			t.Errorf("before the step: %d records in %s, %d in %s", count(t, dir), dir, count(t, fresh), fresh)
		}
		return errors.New("input/output error")
	}
	if err := Replace(dir, 7, Read(other)); err == nil || count(t, dir) != 2 {
		t.Fatalf("a step that failed: %v", err)
	}
	if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is kept of what did not happen: %v", err)
	}
	for _, exchange = range []func(string, string) error{real, inSteps} {
		if err := Replace(dir, 7, Read(other)); err != nil {
			t.Fatal(err)
		}
		if now, before := count(t, dir), count(t, kept); now != 3 || before != 2 {
			t.Errorf("%d records, and %d are kept from before", now, before)
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(kept, dir)); err != nil {
			t.Fatal(err)
		}
	}
}
