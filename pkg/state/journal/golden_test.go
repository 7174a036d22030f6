package journal

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds the form of the journal: what was written by a released version is read for ever.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{Epoch: 7})
	op := *intent(1).Op
	for _, r := range []state.Record{
		{Kind: state.KindApproved, By: "ann", Scope: "lab/r1"},
		{Kind: state.KindIntent, OpID: op.ID, Op: &op},
		{Kind: state.KindUnknown, OpID: op.ID, Outcome: plan.Unknown, Error: "nobody answers"},
		{Kind: state.KindDone, OpID: op.ID, Outcome: plan.Applied, By: "ann", Text: "settled by hand"},
		{Kind: state.KindFinished},
	} {
		r.Time, r.Run, r.Plan = t0, "20260102T030405Z-abc", "sha256:abc"
		mustAppend(t, j, r)
	}
	mustClose(t, j)
	_, got := readSegment(t, dir)
	golden := filepath.Join("testdata", "journal-v1.jsonl")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the journal's form has changed:\n%s\nwant\n%s", got, want)
	}
}
