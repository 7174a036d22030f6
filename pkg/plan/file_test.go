package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// The form of version 2 never changes: what one nuboctl wrote is read by every later one of the same version, with the same digest.
func TestFormatVersion2(t *testing.T) {
	p := good()
	file, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	text := unpack(t, file)
	golden(t, "plan-v2.json", append(bytes.Clone(text), '\n'))
	golden(t, "plan-v2.digests", fmt.Appendf(nil, "plan %s\njson %s\n", p.Digest(), model.DigestBytes(text)))
	if model.DigestBytes(text) != p.Digest() {
		t.Error("the plan's digest is not that of its canonical form")
	}
	got, err := plan.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
}

func unpack(t rapid.TB, file []byte) []byte {
	t.Helper()
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := r.DecodeAll(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pack(t testing.TB, text []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(text, nil)
}

// TestKeysAreSorted puts the keys of every level in order again: nothing may move.
func TestKeysAreSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, err := plan.Encode(randomPlan(t))
		if err != nil {
			t.Fatal(err)
		}
		text := unpack(t, file)
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		sorted, err := json.Marshal(v) // maps are written with sorted keys
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, sorted) {
			t.Fatalf("not sorted:\n%s\n%s", text, sorted)
		}
	})
}

func TestEncodeThenDecodeIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomPlan(t)
		file, err := plan.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := plan.Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Fatal(diff)
		}
		again, err := plan.Encode(got)
		if err != nil || !bytes.Equal(file, again) {
			t.Fatalf("the same plan gives another file: %v", err)
		}
	})
}

// randomPlan is a valid plan: chains of ops on a few subjects, in a few stages, with texts of all kinds.
func randomPlan(t *rapid.T) plan.Plan {
	text := rapid.StringMatching(`[a-zé<>&"\\ 日-]{1,12}`)
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalInstall, Initial: plan.State{}}
	if rapid.Bool().Draw(t, "notes") {
		p.Notes = []string{text.Draw(t, "note")}
	}
	if rapid.Bool().Draw(t, "images") {
		p.Provenance.Images = map[string]model.Digest{text.Draw(t, "image"): model.DigestBytes(nil)}
	}
	subjects := rapid.SliceOfNDistinct(text, 1, 3, rapid.ID[string]).Draw(t, "subjects")
	kinds := []plan.Kind{plan.BMCIdentify, plan.OrderArm, plan.PowerOff, plan.HostVerify}
	for i := range rapid.IntRange(0, 4).Draw(t, "stages") {
		s := plan.Stage{Title: text.Draw(t, "title")}
		for _, name := range subjects {
			sub := plan.Subject(fmt.Sprintf("node:%s-%d", name, i))
			var last *plan.Op
			for _, k := range kinds[:rapid.IntRange(1, len(kinds)).Draw(t, "chain")] {
				op := plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Post: []plan.Fact{{Attr: plan.AttrHost, Subject: sub, Value: text.Draw(t, "value")}}}
				if last != nil {
					op.Needs, op.Pre = []plan.OpID{last.ID}, last.Post
				}
				if rapid.Bool().Draw(t, "args") {
					op.Args = map[string]string{text.Draw(t, "key"): text.Draw(t, "arg"), "b": ""}
				}
				s.Ops = append(s.Ops, op)
				last = &op
			}
		}
		p.Stages = append(p.Stages, s)
	}
	plan.Seal(&p)
	return p
}

func TestDecodeRefuses(t *testing.T) {
	file, err := plan.Encode(good())
	if err != nil {
		t.Fatal(err)
	}
	text := string(unpack(t, file))
	for name, changed := range map[string][]byte{
		"nothing":           nil,
		"no zstd":           []byte(text),
		"cut off":           file[:len(file)-5],
		"another version":   pack(t, []byte(strings.Replace(text, `"format_version":2`, `"format_version":3`, 1))),
		"an unknown field":  pack(t, []byte(strings.Replace(text, `"goal":`, `"extra":1,"goal":`, 1))),
		"a field twice":     pack(t, []byte(strings.Replace(text, `"goal":"install"`, `"goal":"upgrade","goal":"install"`, 1))),
		"white space":       pack(t, []byte(strings.Replace(text, `,"goal"`, `, "goal"`, 1))),
		"a second value":    pack(t, []byte(text+"{}")),
		"fields in capital": pack(t, []byte(strings.Replace(text, `"goal"`, `"Goal"`, 1))),
		"a list":            pack(t, []byte("[]")),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := plan.Decode(changed); !errors.Is(err, plan.ErrFormat) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("an op that was edited", func(t *testing.T) {
		edited := pack(t, []byte(strings.Replace(text, `"value":"started"`, `"value":"skipped"`, 1)))
		if _, err := plan.Decode(edited); !errors.Is(err, plan.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

// A file of a few bytes must not fill the memory: this one says in its frame header (RFC 8878, 3.1.1.1) that it unpacks to 8 GiB.
func TestDecodeIsBounded(t *testing.T) {
	file := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50, 0, 0, 0, 0, 2, 0, 0, 0, 0x01, 0, 0}
	if _, err := plan.Decode(file); !errors.Is(err, plan.ErrFormat) || !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		t.Errorf("got %v", err)
	}
}

// Nor may one of some kilobytes that says nothing of its size, or that unpacks to half a gigabyte of one letter.
func TestDecodeRefusesBombs(t *testing.T) {
	letters := []byte(`{"certificate":"` + strings.Repeat("a", 64<<20) + `"}`)
	if _, err := plan.Decode(pack(t, letters)); !errors.Is(err, plan.ErrFormat) || !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		t.Errorf("64 MiB of one letter: %v", err)
	}
	var streamed bytes.Buffer
	w, err := zstd.NewWriter(&streamed)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := w.Write(letters[:1<<20]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Decode(streamed.Bytes()); !errors.Is(err, plan.ErrFormat) || !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a stream: %v", err)
	}
}

// What is far too large for a plan is not read.
func TestReadFileEnds(t *testing.T) {
	if _, err := plan.ReadFile(os.DevNull); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<40); err != nil {
		t.Skip(err)
	}
	if _, err := plan.ReadFile(name); !errors.Is(err, plan.ErrFormat) {
		t.Errorf("a terabyte: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	file, err := plan.Encode(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte{})
	f.Add(pack(f, []byte(`{"format_version":1}`)))
	f.Add(pack(f, []byte(`{"format_version":1,"goal":"","initial":null,"provenance":{"inventory":"","observation":"","policy":""}}`)))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := plan.Decode(file)
		if err != nil {
			return
		}
		again, err := plan.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := plan.Decode(again)
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if p.Digest() != q.Digest() {
			t.Fatal("another digest")
		}
	})
}

// The digest that comes with a file is the plan's.
func TestEncodeDigest(t *testing.T) {
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalInstall, Notes: []string{"<note>"}}
	file, digest, err := plan.EncodeDigest(p)
	if err != nil || digest != p.Digest() {
		t.Fatalf("%s, %v; the plan's digest is %s", digest, err, p.Digest())
	}
	if again, err := plan.Encode(p); err != nil || !bytes.Equal(again, file) {
		t.Errorf("Encode gives another file: %v", err)
	}
}
