//go:build e2e && e2elong

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// kills is how many times nuboctl is killed in an install, and how many times in a drain.
const kills = 8

// installsKilled applies one plan for the whole region; nuboctl is killed with kill -9 at records of its journal that a seed chooses (NUBO_E2E_SEED takes
// others), and a little after them. Each time the same plan is applied again. An op has two records, and one when there was nothing to do. The last ones are left out: a plan that is finished cannot be killed.
func (d *dayTwo) installsKilled(t *testing.T) {
	file := filepath.Join(d.Dir, "install.nubo")
	d.Expect(rack.Within(t, 3*time.Minute), t, 0, "plan", "-o", file)
	rnd := rand.New(rand.NewPCG(rack.Seed(t), 0))
	records := rnd.Perm(countOps(t, d, file) * 3 / 2)[:kills]
	slices.Sort(records)
	t.Logf("nuboctl is killed at the records %v", records)
	began := time.Now()
	for _, n := range records {
		if !d.killedAt(t, n+1, time.Duration(rnd.IntN(3000))*time.Millisecond, file) {
			t.Fatalf("it came to its end before record %d", n+1)
		}
	}
	d.Expect(rack.Within(t, 60*time.Minute), t, 0, "apply", file)
	rack.Figure(t, fmt.Sprintf("three blades with Ceph and two guests, killed %d times", kills), time.Since(began))
}

// countOps counts a plan's ops.
func countOps(t *testing.T, d *dayTwo, file string) int {
	t.Helper()
	var out struct{ Summary struct{ Ops int } }
	text := d.Expect(rack.Within(t, oneCommand), t, 0, "show", "--json", file).Stdout
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.Summary.Ops == 0 {
		t.Fatalf("show: %v, %+v", err, out)
	}
	return out.Summary.Ops
}

// records counts what is in the journal.
func (d *dayTwo) records(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.State, "journal", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(text, []byte("\n"))
	}
	return n
}

// killedAt applies a plan, and kills that some time after the journal has so many records; false when it came to its end before.
func (d *dayTwo) killedAt(t *testing.T, records int, after time.Duration, file string) bool {
	t.Helper()
	apply := d.Begin(t, "apply", file)
	rack.Eventually(rack.Within(t, 30*time.Minute), t, fmt.Sprintf("record %d", records), func() error {
		if n := d.records(t); n < records && !apply.Ended() {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	run, ended := apply.Kill(rack.Within(t, oneCommand), t, after)
	if ended && run.Code != 0 {
		t.Fatalf("apply ended by itself, with exit code %d:\n%s", run.Code, run.All())
	}
	return !ended
}

// laidDownOnce: each blade had one order, of which one attempt was used, and the image was written to it once since it was first switched on.
func (d *dayTwo) laidDownOnce(t *testing.T) {
	for _, b := range blades {
		orders, err := filepath.Glob(filepath.Join(d.State, "relay", "*", "orders", b+"-*.json"))
		if err != nil || len(orders) != 1 {
			t.Errorf("%s had the orders %q (%v), want one", b, orders, err)
			continue
		}
		var order struct {
			Record struct {
				Phase    string
				Attempts int
			}
		}
		text, err := os.ReadFile(orders[0])
		if err == nil {
			err = json.Unmarshal(text, &order)
		}
		if err != nil || order.Record.Phase != "installed" || order.Record.Attempts != 1 {
			t.Errorf("the order of %s: %+v (%v)", b, order.Record, err)
		}
		if n := strings.Count(d.Rack.Console(b), "image: fill slot a"); n != 1 {
			t.Errorf("%s was filled %d times", b, n)
		}
	}
}

// drainsKilled drains blade-02 while nuboctl is killed at each record that it writes, as long as there are any.
func (d *dayTwo) drainsKilled(t *testing.T) {
	d.worldComesBack(t)
	d.probes.Mark(t, "")
	file := filepath.Join(d.Dir, "drain.nubo")
	d.Expect(rack.Within(t, 10*time.Minute), t, 0, "drain", "blade-02", "-o", file)
	n, going := 0, true
	for n < kills && going {
		if going = d.killedAt(t, d.records(t)+1, 0, file); going {
			n++
		}
	}
	if going {
		d.Expect(rack.Within(t, 30*time.Minute), t, 0, "apply", file)
	}
	if n < countOps(t, d, file) {
		t.Errorf("the drain was killed %d times only", n)
	}
	t.Logf("the drain was killed %d times", n)
	if got := d.running(t, "blade-02"); len(got) != 0 {
		t.Errorf("blade-02 still runs %q", got)
	}
	where := append(d.running(t, "blade-01"), d.running(t, "blade-03")...)
	slices.Sort(where)
	if !slices.Equal(where, []string{"hello", "world"}) {
		t.Errorf("the others run %q", where)
	}
	d.undisturbed(t, "a drain that was killed at each record")
}
