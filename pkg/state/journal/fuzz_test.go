package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// FuzzDecode reads anything as a line: what is accepted is exactly what writing it again gives.
func FuzzDecode(f *testing.F) {
	r := intent(1)
	r.FormatVersion, r.Seq, r.Epoch, r.Prev = FormatVersion, 7, 3, digest(nil)
	line, err := Encode(&r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSuffix(line, []byte("\n")))
	f.Add([]byte(`{"hash":"`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Decode(line)
		if err != nil {
			return
		}
		again, err := Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(bytes.TrimSuffix(again, []byte("\n")))
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("%+v became %+v (%v)", r, back, err)
		}
	})
}

// FuzzCheckpoint puts anything in the place of the checkpoint: the journal opens as it does without one, or says that it is damaged.
func FuzzCheckpoint(f *testing.F) {
	dir := f.TempDir()
	j := mustOpen(f, dir, Options{})
	mustAppend(f, j, state.Record{Kind: state.KindApproved, Time: t0, Run: "r", Plan: "sha256:00", By: "ann"})
	mustAppend(f, j, intent(1))
	mustClose(f, j)
	good, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		f.Fatal(err)
	}
	path, records := readSegment(f, dir)
	f.Add(good)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"format_version":1,"at":{"segment":"../x","offset":-1},"length":-5,"pos":{"seq":1},"sum":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{filepath.Base(path): records, checkpointName: text} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		runs, err := Load(dir)
		if errors.Is(err, state.ErrDamaged) {
			return
		}
		if err != nil || len(runs) != 1 || len(runs[0].Open()) != 1 {
			t.Fatalf("%v %+v", err, runs)
		}
	})
}
