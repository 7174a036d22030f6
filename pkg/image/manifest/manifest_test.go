package manifest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shelf keeps chunks in memory.
type shelf struct {
	mu     sync.Mutex
	chunks map[model.Digest][]byte
}

func (s *shelf) keep(c Chunk, frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chunks == nil {
		s.chunks = map[model.Digest][]byte{}
	}
	s.chunks[c.Digest] = frame
	return nil
}

func (s *shelf) fetch(_ context.Context, c Chunk) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame, ok := s.chunks[c.Digest]
	if !ok {
		return nil, fmt.Errorf("chunk %s: %w", c.Digest.Short(), os.ErrNotExist)
	}
	return frame, nil
}

// sample is a valid manifest over these plain bytes.
func sample(t testing.TB, s *shelf, plain []byte) *Manifest {
	t.Helper()
	file, err := Cut(t.Context(), RootTar, bytes.NewReader(plain), s.keep)
	if err != nil {
		t.Fatal(err)
	}
	return &Manifest{
		FormatVersion: FormatVersion, Name: "debian-13", Kind: Root, Release: "trixie", Architecture: "amd64", Version: "13.2-0123456789ab",
		Epoch: 1767225600, Inputs: model.DigestBytes([]byte("inputs")), KernelVersion: "6.12.1-amd64",
		Packages: []Package{{"base-files", "13.8+deb13u2", "amd64"}, {"libc6", "2.41-12", "amd64"}, {"netbase", "6.5", "all"}},
		Files:    []File{file},
	}
}

func encode(t testing.TB, m *Manifest) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenManifest(t *testing.T) {
	got := encode(t, sample(t, &shelf{}, []byte(strings.Repeat("a root file system\n", 300_000))))
	golden := filepath.Join("testdata", "manifest.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("manifests laid down earlier would no longer be found by their digest (-golden +now):\n%s", diff)
	}
	if _, err := Parse(want); err != nil {
		t.Errorf("golden manifest: %v", err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	m := sample(t, &shelf{}, []byte("x"))
	m.FormatVersion, m.Name, m.Epoch, m.Packages[0].Version, m.Files[0].Size, m.Kind = 2, "Bad Name", -1, "", 7, Guest
	err := m.Validate()
	if !errors.Is(err, ErrMalformed) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"format_version is 2", "Bad Name", "epoch -1", "package 0 is incomplete", "chunks hold 1 bytes, the file 7", `kind "guest"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not named in:\n%v", part, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(encode(t, sample(t, &shelf{}, []byte("x"))))
	for name, bad := range map[string]string{
		"nothing":         "",
		"trailing bytes":  good + "{}",
		"white space":     strings.Replace(good, ",", ", ", 1),
		"unknown field":   strings.Replace(good, `"name"`, `"extra":1,"name"`, 1),
		"repeated field":  strings.Replace(good, `"kind":"root"`, `"kind":"guest","kind":"root"`, 1),
		"another version": strings.Replace(good, `"format_version":1`, `"format_version":2`, 1),
		"unsorted":        strings.Replace(good, `"libc6"`, `"zlib"`, 1),
		"huge chunk":      strings.Replace(good, `"size":1}`, `"size":99999999}`, 1),
		"bad digest":      strings.Replace(good, "sha256:", "sha255:", 1),
	} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		unit := rapid.SliceOfN(rapid.Byte(), 1, 4096).Draw(rt, "unit")
		size := rapid.SampledFrom([]int{1, 5, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2*ChunkSize + 77}).Draw(rt, "size")
		plain := bytes.Repeat(unit, size/len(unit)+1)[:size]
		var s shelf
		m := sample(t, &s, plain)
		parsed, err := Parse(encode(t, m))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(m, parsed); diff != "" {
			rt.Fatal(diff)
		}
		r := NewReader(t.Context(), parsed.Files[0], s.fetch)
		defer r.Close()
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("read %d bytes of %d: %v", len(got), len(plain), err)
		}
	})
}

func TestCutGivesTheSameBytes(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789 the same inputs "), 400_000)
	first, second := sample(t, &shelf{}, plain), sample(t, &shelf{}, plain)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestReaderRefusesWrongChunks(t *testing.T) {
	plain := append(bytes.Repeat([]byte("content "), ChunkSize/8), "the second chunk"...)
	for name, harm := range map[string]func(frame []byte) []byte{
		"flipped bit": func(f []byte) []byte { g := slices.Clone(f); g[len(g)/2] ^= 1; return g },
		"truncated":   func(f []byte) []byte { return f[:len(f)-1] },
		"longer":      func(f []byte) []byte { return append(slices.Clone(f), 0) },
		"another":     func([]byte) []byte { other, _ := Compress([]byte("other")); return other },
	} {
		t.Run(name, func(t *testing.T) {
			var s shelf
			m := sample(t, &s, plain)
			second := m.Files[0].Chunks[1]
			s.chunks[second.Digest] = harm(s.chunks[second.Digest])
			r := NewReader(t.Context(), m.Files[0], s.fetch)
			defer r.Close()
			got, err := io.ReadAll(r)
			if !errors.Is(err, ErrChunk) || !strings.Contains(err.Error(), "chunk 2 of") {
				t.Errorf("got %v", err)
			}
			if len(got) != ChunkSize {
				t.Errorf("%d bytes came out; only the first chunk was good", len(got))
			}
		})
	}
}

func TestChunkThatClaimsTooMuchIsNotInflated(t *testing.T) {
	frame := encoder().EncodeAll(make([]byte, 4*ChunkSize), nil)
	c := Chunk{Digest: model.DigestBytes(frame), Compressed: int64(len(frame)), Size: ChunkSize}
	if _, err := c.Open(frame, nil); !errors.Is(err, ErrChunk) {
		t.Errorf("got %v", err)
	}
}

func TestReaderComparesTheWholeFile(t *testing.T) {
	var s shelf
	m := sample(t, &s, []byte("whole"))
	m.Files[0].Digest = model.DigestBytes([]byte("another"))
	r := NewReader(t.Context(), m.Files[0], s.fetch)
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, ErrChunk) {
		t.Errorf("got %v", err)
	}
}

func TestReaderStopsWithItsContext(t *testing.T) {
	var s shelf
	m := sample(t, &s, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	r := NewReader(ctx, m.Files[0], func(ctx context.Context, _ Chunk) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	defer r.Close()
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCutReportsStoreAndSource(t *testing.T) {
	full := errors.New("no space left")
	_, err := Cut(t.Context(), "f", strings.NewReader("x"), func(Chunk, []byte) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("pipe broke")
	_, err = Cut(t.Context(), "f", io.MultiReader(strings.NewReader("x"), errReader{broken}), (&shelf{}).keep)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func FuzzParse(f *testing.F) {
	good := encode(f, sample(f, &shelf{}, []byte("seed")))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"format_version":1,"files":[{"chunks":[{}]}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted bytes are not canonical: %v", err)
		}
	})
}

func FuzzOpenChunk(f *testing.F) {
	frame, _ := Compress([]byte("seed"))
	f.Add(frame, int64(4))
	f.Add(frame[:5], int64(4))
	f.Fuzz(func(t *testing.T, frame []byte, size int64) {
		c := Chunk{Digest: model.DigestBytes(frame), Compressed: int64(len(frame)), Size: size}
		if plain, err := c.Open(frame, nil); err == nil && int64(len(plain)) != size {
			t.Fatalf("%d bytes instead of %d", len(plain), size)
		}
	})
}
