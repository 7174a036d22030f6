package ceph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// brief runs the function of ask.py that shortens "pg dump", as a monitor's host does.
func brief(t *testing.T, dump []byte, having string) []byte {
	t.Helper()
	_, rest, _ := strings.Cut(askScript, "\ndef brief(")
	body, _, ok := strings.Cut(rest, "\n\n\n")
	if !ok {
		t.Fatal("ask.py has no function brief")
	}
	program := "import json, sys\ndef brief(" + body + "\njson.dump(brief(json.load(sys.stdin), " + having + "), sys.stdout, separators=(',', ':'))"
	c := exec.Command("/usr/bin/python3", "-c", program)
	c.Stdin = bytes.NewReader(dump)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return out.Bytes()
}

// TestBriefSaysTheSame: what a real cluster says of its placement groups comes to the same from a fifth of the text.
func TestBriefSaysTheSame(t *testing.T) {
	answers := answersIn(t, "testdata/region.json")
	whole, err := Decode(answers)
	if err != nil {
		t.Fatal(err)
	}
	answers["pg dump"] = brief(t, answers["pg dump"], "None")
	short, err := Decode(answers)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, short); diff != "" {
		t.Error(diff)
	}
}

// TestManyPlacementGroups: those of a large cluster come in one answer, far below what an answer may have.
func TestManyPlacementGroups(t *testing.T) {
	const groups, osds = 100_000, 5_000
	var b bytes.Buffer
	b.WriteString(`{"pg_ready":true,"pg_stats":[`)
	for i := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		state := "active+clean"
		if i%1000 == 0 {
			state = "active+clean+scrubbing+deep"
		}
		x, y, z := i%osds, (i*7+1)%osds, (i*13+2)%osds
		fmt.Fprintf(&b, `{"pgid":"%d.%x","state":"%s","up":[%d,%d,%d],"up_primary":%d,"acting":[%d,%d,%d],"acting_primary":%d}`, i%10+1, i/10, state, x, y, z, x, x, y, z, x)
	}
	b.WriteString(`]}`)
	short := brief(t, b.Bytes(), "None")
	if len(short) > 4<<20 {
		t.Errorf("%d bytes for %d placement groups, of which Ceph made %d", len(short), groups, b.Len())
	}
	t.Logf("%d bytes instead of %d", len(short), b.Len())
	var d pgDump
	if err := json.Unmarshal(short, &d); err != nil {
		t.Fatal(err)
	}
	if by := d.byPool(); len(d.Stats) != groups || len(by) != 10 || len(by[1]) != groups/10 || d.unsure() != "" || d.incomplete() != "" {
		t.Errorf("%d placement groups in %d pools, %q, %q", len(d.Stats), len(by), d.unsure(), d.incomplete())
	}
	var own pgDump
	if err := json.Unmarshal(brief(t, b.Bytes(), "{17}"), &own); err != nil {
		t.Fatal(err)
	}
	for _, p := range own.Stats {
		if p.Acting[0] != 17 && p.Acting[1] != 17 && p.Acting[2] != 17 {
			t.Fatalf("%v has no copy on osd.17", p)
		}
	}
	if len(own.Stats) != 60 { // three of each 5,000, on average one OSD's part
		t.Errorf("%d placement groups have a copy on osd.17", len(own.Stats))
	}
}

func TestWhatIsNotKnown(t *testing.T) {
	ready, not := true, false
	of := func(states ...string) pgDump {
		d := pgDump{Ready: &ready}
		for i, s := range states {
			d.Stats = append(d.Stats, pg{ID: fmt.Sprintf("1.%x", i), State: s, Acting: []int{0, 1, 2}})
		}
		return d
	}
	for _, tc := range []struct {
		dump       pgDump
		unsure     string
		incomplete string
	}{
		{dump: of("active+clean", "active+clean+scrubbing+deep", "active+clean+snaptrim_wait", "active+clean+remapped")},
		{dump: of("active+undersized+degraded", "active+remapped+backfill_wait", "active+undersized+degraded+remapped+backfilling")}, // the acting sets tell it all
		{dump: of("active+clean", "active+recovery_wait+degraded"), incomplete: "which copies are complete is not known: 1.1 is active+recovery_wait+degraded"},
		{dump: of("active+recovering+undersized+degraded+remapped"), incomplete: "which copies are complete is not known: 1.0 is active+recovering+undersized+degraded+remapped"},
		{dump: of("active+clean+inconsistent"), incomplete: "which copies are complete is not known: 1.0 is active+clean+inconsistent"},
		{dump: of("peering", "peering", "peering", "peering", "peering"), incomplete: "which copies are complete is not known: 1.0 is peering, 1.1 is peering, 1.2 is peering and 2 more"},
		{dump: of("unknown", "active+clean"), unsure: "the state of 1.0 is unknown"},
		{dump: pgDump{Ready: &not}, unsure: "the manager has not heard of all of them yet"},
		{dump: pgDump{}, unsure: "no manager answers"},
	} {
		if u, i := tc.dump.unsure(), tc.dump.incomplete(); u != tc.unsure || i != tc.incomplete {
			t.Errorf("%v: unsure %q, incomplete %q; want %q, %q", tc.dump.Stats, u, i, tc.unsure, tc.incomplete)
		}
	}
}

// TestStandingOfAHost reads what a real cluster of three hosts says, for one of them.
func TestStandingOfAHost(t *testing.T) {
	answers := answersIn(t, "testdata/region.json")
	answers["quorum_status"] = json.RawMessage(`{"quorum_names":["blade-01","blade-02","blade-03"]}`)
	answers["osd ls-tree"] = json.RawMessage(`[1]`)
	answers["now"] = json.RawMessage(`1000`)
	answers["config-key get"] = json.RawMessage(`{"until":1600,"owner":"ann","epoch":7,"undo":"osd unset-group noout blade-02"}`)
	answers["osd dump"] = bytes.Replace(answers["osd dump"], []byte(`"crush_node_flags": {}`), []byte(`"crush_node_flags": {"blade-02": ["noout"]}`), 1)
	s, err := decodeStanding("blade-02", answers)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Noout || s.Mark.Epoch != 7 || s.Mark.End().Sub(s.Now).Seconds() != 600 || s.Unsure != "" || s.Manager != "blade-01" || len(s.OSDs) != 3 {
		t.Errorf("got %+v", s)
	}
	for _, p := range s.Pools {
		if p.Size != 3 || len(p.Acting) == 0 || len(p.Acting)%3 != 0 {
			t.Errorf("pool %+v", p)
		}
	}
	if s, err = decodeStanding("blade-01", answers); err != nil || s.Noout {
		t.Errorf("noout of another host is taken for its own: %v", err)
	}
	delete(answers, "pg dump")
	if s, err = decodeStanding("blade-02", answers); err != nil || s.Unsure == "" {
		t.Errorf("without a manager all is known: %+v %v", s, err)
	}
}

// TestManagerBehind: a manager may still tell of copies on an OSD that is down, above all one that has just taken over. They do not count, and how the
// host stands is not known until the primaries have told.
func TestManagerBehind(t *testing.T) {
	var one osdDump
	if err := json.Unmarshal([]byte(`{"osds":[{"osd":0,"up":0,"in":1},{"osd":1,"up":1,"in":1},{"osd":2,"up":1,"in":1}],
		"pools":[{"pool":1,"pool_name":"vms","size":3,"min_size":2}]}`), &one); err != nil {
		t.Fatal(err)
	}
	ready := true
	groups := func(acting ...int) pgDump {
		return pgDump{Ready: &ready, Stats: []pg{{ID: "1.0", State: "active+clean", Acting: acting}}}
	}
	for _, tc := range []struct {
		groups pgDump
		acting []int32
		unsure string
	}{
		{groups(1, 2), []int32{1, 2, -1}, ""},
		{groups(1, 0, 2), []int32{1, -1, 2}, "the manager has not heard yet where the copies of 1.0 are since an OSD went down"},
	} {
		s := Standing{Here: []int{1}}
		s.pools(one, tc.groups)
		if s.Unsure != tc.unsure || !slices.Equal(s.Pools[0].Acting, tc.acting) {
			t.Errorf("%v is %q and %v", tc.groups.Stats, s.Unsure, s.Pools[0].Acting)
		}
		if all := (&dump{OSD: one, PG: tc.groups}).pools(); !slices.Equal(all[0].Acting, tc.acting) {
			t.Errorf("%v is seen in the cluster as %v", tc.groups.Stats, all[0].Acting)
		}
	}
}
