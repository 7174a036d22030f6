package image

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// smallImage puts a guest with two files into the store; its initrd has two chunks.
func smallImage(t *testing.T, s Store) (*manifest.Manifest, model.Digest) {
	t.Helper()
	m := &manifest.Manifest{
		FormatVersion: manifest.FormatVersion, Name: "small", Kind: manifest.Guest, Release: "trixie", Architecture: "amd64", Version: "trixie-1",
		Epoch: 1767225600, Inputs: model.DigestBytes([]byte("inputs")), KernelVersion: "6.12", Packages: []manifest.Package{{Name: "a", Version: "1", Architecture: "all"}},
	}
	for name, content := range map[string]string{manifest.Initrd: strings.Repeat("initrd ", manifest.ChunkSize/6), manifest.Kernel: "kernel"} {
		f, err := manifest.Cut(t.Context(), name, strings.NewReader(content), s.PutChunk)
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	if m.Files[0].Name != manifest.Initrd {
		m.Files[0], m.Files[1] = m.Files[1], m.Files[0]
	}
	d, err := s.PutManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return m, d
}

func testKey(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func TestStoreKeepsAndFinds(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	m, d := smallImage(t, s)
	if err := s.SetRef("small", d); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"small", string(d)} {
		got, err := s.Resolve(ref)
		if err != nil || got != d {
			t.Errorf("%s resolves to %s: %v", ref, got, err)
		}
	}
	back, err := s.Manifest(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(s.Complete(m), s.Verify(t.Context(), m, nil)); err != nil {
		t.Error(err)
	}
	at, err := s.Extract(t.Context(), m, manifest.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	if at, err = s.Extract(t.Context(), m, manifest.Kernel); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(at); err != nil || string(content) != "kernel" {
		t.Errorf("a changed file is not made again: %q %v", content, err)
	}
	for _, ref := range []string{"absent", string(model.DigestBytes(nil))} {
		if digest, err := s.Resolve(ref); err == nil {
			_, err = s.Manifest(digest)
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: got %v", ref, err)
			}
		} else if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	if _, err := s.Resolve("../refs/small"); err == nil {
		t.Error("a path passed as a name")
	}
}

func TestStoreNoticesHarm(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	m, d := smallImage(t, s)
	second := m.Files[0].Chunks[1]
	frame, err := s.Chunk(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(frame)
	bad[len(bad)-1] ^= 1
	if err := s.PutChunk(second, bad); !errors.Is(err, manifest.ErrChunk) {
		t.Errorf("a wrong chunk was taken: %v", err)
	}
	if err := os.WriteFile(s.chunkPath(second.Digest), bad, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), m, nil); !errors.Is(err, manifest.ErrChunk) || !strings.Contains(err.Error(), "chunk 2 of 2 of initrd") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(s.chunkPath(second.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(m); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	at := s.path("manifests", d.Hex()+".json")
	payload, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, bytes.Replace(payload, []byte("small"), []byte("smalL"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(d); !errors.Is(err, manifest.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 1 || entries[0].Fault == "" {
		t.Errorf("list: %+v %v", entries, err)
	}
}

func TestSignAndList(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	_, d := smallImage(t, s)
	public, private := testKey(t)
	other, _ := testKey(t)
	if _, err := s.Signed(d); !errors.Is(err, ErrNotFound) {
		t.Errorf("unsigned: got %v", err)
	}
	if err := s.Sign(d, private); err != nil {
		t.Fatal(err)
	}
	if err := s.SetRef("small", d); err != nil {
		t.Fatal(err)
	}
	entries, err := s.List(public)
	if err != nil || len(entries) != 1 || !entries[0].Signed || entries[0].Names[0] != "small" || entries[0].Fault != "" {
		t.Errorf("list: %+v %v", entries, err)
	}
	if entries, _ := s.List(other); entries[0].Signed {
		t.Error("signed by a key that is not trusted, and listed as signed")
	}
	signed, err := s.Signed(d)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := Store{Dir: t.TempDir()}
	if _, err := elsewhere.PutSigned(signed, other); !errors.Is(err, manifest.ErrSignature) {
		t.Errorf("got %v", err)
	}
	if got, err := elsewhere.PutSigned(signed, public); err != nil || got != d {
		t.Errorf("got %s %v", got, err)
	}
}

func TestHandler(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	m, d := smallImage(t, s)
	public, private := testKey(t)
	server := httptest.NewServer(Handler(s))
	defer server.Close()
	get := func(path, ranges string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			r.Header.Set("Range", ranges)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, body
	}
	if code, _ := get(ImagesPath+d.Hex(), ""); code != http.StatusNotFound {
		t.Errorf("an unsigned image was served: %d", code)
	}
	if err := s.Sign(d, private); err != nil {
		t.Fatal(err)
	}
	code, body := get(ImagesPath+d.Hex(), "")
	var signed manifest.Signed
	if err := json.Unmarshal(body, &signed); code != http.StatusOK || err != nil {
		t.Fatalf("%d %v", code, err)
	}
	fetched, err := manifest.Open(signed, d, public)
	if err != nil {
		t.Fatal(err)
	}
	r := manifest.NewReader(t.Context(), fetched.Files[0], func(_ context.Context, c manifest.Chunk) ([]byte, error) {
		_, first := get(ChunksPath+c.Digest.Hex(), "bytes=0-9")
		code, rest := get(ChunksPath+c.Digest.Hex(), "bytes=10-")
		if code != http.StatusPartialContent || len(first) != 10 {
			t.Errorf("range: %d, %d bytes", code, len(first))
		}
		return append(first, rest...), nil
	})
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != m.Files[0].Size {
		t.Errorf("read %d of %d: %v", n, m.Files[0].Size, err)
	}
	for path, want := range map[string]int{
		ChunksPath + strings.Repeat("0", 64): http.StatusNotFound,
		ChunksPath + "..%2f..%2frefs":        http.StatusBadRequest,
		ImagesPath + "short":                 http.StatusBadRequest,
		"/v1/other":                          http.StatusNotFound,
	} {
		if code, _ := get(path, ""); code != want {
			t.Errorf("%s: %d instead of %d", path, code, want)
		}
	}
}

func TestFullDiskIsSaidClearly(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mount a small file system (tests run as root): %v", err)
	}
	defer syscall.Unmount(dir, 0)
	s := Store{Dir: dir}
	content := make([]byte, 1<<20)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	_, err := manifest.Cut(t.Context(), manifest.RootTar, bytes.NewReader(content), s.PutChunk)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(s.path("chunks"))
	for _, e := range left {
		if inside, _ := os.ReadDir(s.path("chunks", e.Name())); len(inside) > 0 {
			t.Errorf("half a chunk stayed in %s", e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}
