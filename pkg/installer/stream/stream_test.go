package stream

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// store keeps frames in memory and may spoil what it gives.
type store struct {
	mu     sync.Mutex
	frames map[model.Digest][]byte
	opened int
	spoil  func(n int, frame []byte) (io.Reader, error) // n counts from 1
}

func (s *store) keep(c manifest.Chunk, frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames[c.Digest] = frame
	return nil
}

func (s *store) Chunk(_ context.Context, d model.Digest) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	frame, ok := s.frames[d]
	if !ok {
		return nil, os.ErrNotExist
	}
	if s.spoil == nil {
		return io.NopCloser(bytes.NewReader(frame)), nil
	}
	r, err := s.spoil(s.opened, frame)
	return io.NopCloser(r), err
}

// cut makes a file of these bytes.
func cut(t testing.TB, plain []byte) (*store, manifest.File) {
	t.Helper()
	s := &store{frames: map[model.Digest][]byte{}}
	file, err := manifest.Cut(context.Background(), manifest.RootTar, bytes.NewReader(plain), s.keep)
	if err != nil {
		t.Fatal(err)
	}
	// The shared decoder must be made outside of any synctest bubble.
	if _, err := file.Chunks[0].Open(s.frames[file.Chunks[0].Digest], nil); err != nil {
		t.Fatal(err)
	}
	return s, file
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func read(ctx context.Context, s Source, f manifest.File, o Options) ([]byte, error) {
	r := manifest.NewReader(ctx, f, Fetcher(s, f, o))
	defer r.Close()
	return io.ReadAll(r)
}

// A download that breaks at any byte goes on at its chunk: the whole arrives, and no proven chunk is asked for again.
func TestGoesOnAtItsChunk(outer *testing.T) {
	plain := noise(2*manifest.ChunkSize + 1000)
	s, file := cut(outer, plain)
	rapid.Check(outer, func(t *rapid.T) {
		broken := rapid.IntRange(1, 3).Draw(t, "chunk")
		at := rapid.Float64Range(0, 0.999).Draw(t, "at")
		abrupt := rapid.Bool().Draw(t, "abrupt")
		synctest.Test(outer, func(t *testing.T) { breakOnce(t, s, file, plain, broken, at, abrupt) })
	})
}

// breakOnce reads a file whose chunk number broken breaks at a part of its bytes, the first time.
func breakOnce(t *testing.T, s *store, file manifest.File, plain []byte, broken int, at float64, abrupt bool) {
	s.opened = 0
	s.spoil = func(n int, frame []byte) (io.Reader, error) {
		if n != broken {
			return bytes.NewReader(frame), nil
		}
		part := io.Reader(bytes.NewReader(frame[:int(at*float64(len(frame)))]))
		if abrupt {
			part = io.MultiReader(part, errReader{})
		}
		return part, nil
	}
	got, err := read(context.Background(), s, file, Options{})
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if s.opened != len(file.Chunks)+1 {
		t.Fatalf("%d requests for %d chunks and one break", s.opened, len(file.Chunks))
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// Nothing of a chunk that is wrong reaches the reader, however it is wrong.
func TestWrongChunk(t *testing.T) {
	plain := noise(manifest.ChunkSize + 1000)
	s, file := cut(t, plain)
	for name, spoil := range map[string]func([]byte) []byte{
		"one bit":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"longer":   func(b []byte) []byte { return append(b, 0) },
		"another":  func([]byte) []byte { return noise(100) },
		"too much": func(b []byte) []byte { return bytes.Repeat(b, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.opened = 0
				s.spoil = func(n int, frame []byte) (io.Reader, error) {
					if n > 1 {
						frame = spoil(bytes.Clone(frame))
					}
					return bytes.NewReader(frame), nil
				}
				got, err := read(t.Context(), s, file, Options{Patience: time.Minute})
				if err == nil || !bytes.Equal(got, plain[:manifest.ChunkSize]) {
					t.Errorf("%d bytes, %v; want the first chunk and an error", len(got), err)
				}
			})
		})
	}
}

func TestGivesUp(t *testing.T) {
	s, file := cut(t, noise(100))
	synctest.Test(t, func(t *testing.T) {
		s.spoil = func(int, []byte) (io.Reader, error) { return nil, errors.New("no route to host") }
		told := 0
		start := time.Now()
		_, err := read(t.Context(), s, file, Options{Patience: time.Minute, Retrying: func(error, time.Duration) { told++ }})
		if err == nil || !strings.Contains(err.Error(), "no route to host") || told == 0 {
			t.Errorf("got %v after %d tries", err, told)
		}
		if spent := time.Since(start); spent > 2*time.Minute {
			t.Errorf("gave up after %s", spent)
		}
	})
}

func TestPace(t *testing.T) {
	s, file := cut(t, noise(3*manifest.ChunkSize))
	synctest.Test(t, func(t *testing.T) {
		start, last := time.Now(), int64(0)
		_, err := read(t.Context(), s, file, Options{BytesPerSecond: 1 << 20, Progress: func(done, total int64) {
			if done <= last || total != file.Compressed() {
				t.Errorf("progress %d after %d of %d", done, last, total)
			}
			last = done
		}})
		want := time.Duration(float64(file.Compressed()) / (1 << 20) * float64(time.Second))
		if spent := time.Since(start); err != nil || spent < want || spent > want+time.Second {
			t.Errorf("%s at 1 MiB/s for %d bytes, %v", spent, file.Compressed(), err)
		}
	})
}

// entry is one member of a test archive.
func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Size, h.Linkname = int64(len(body)), ""
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1767225600, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, body)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("sets owners and makes devices: needs root")
	}
	root := t.TempDir()
	n, err := Unpack(bytes.NewReader(archive(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 5, Gid: 6},
		tar.Header{Name: "./etc/file", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 7, Gid: 8, Linkname: "body"},
		tar.Header{Name: "./etc/hard", Typeflag: tar.TypeLink, Linkname: "./etc/file"},
		tar.Header{Name: "./sudo", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 0, Linkname: "x"},
		tar.Header{Name: "./ping", Typeflag: tar.TypeReg, Mode: 0o755, Linkname: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.nubo": "yes"}},
		tar.Header{Name: "./link", Typeflag: tar.TypeSymlink, Linkname: "/etc/file", Uid: 9},
		tar.Header{Name: "./null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
		tar.Header{Name: "./fifo", Typeflag: tar.TypeFifo, Mode: 0o600},
	)), root)
	if err != nil || n != 9 {
		t.Fatalf("%d entries, %v", n, err)
	}
	for path, want := range map[string]string{
		"etc": "drwxr-x--- 5 6", "etc/file": "-rw-r----- 7 8", "etc/hard": "-rw-r----- 7 8", "sudo": "urwxr-xr-x 0 0",
		"link": "Lrwxrwxrwx 9 0", "null": "Dcrw-rw-rw- 0 0", "fifo": "prw------- 0 0",
	} {
		st, err := os.Lstat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		sys := st.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%s %d %d", st.Mode(), sys.Uid, sys.Gid); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if st.ModTime().Unix() != 1767225600 {
			t.Errorf("%s: time %s", path, st.ModTime())
		}
	}
	var value [10]byte
	if n, err := unix.Lgetxattr(filepath.Join(root, "ping"), "user.nubo", value[:]); err != nil || string(value[:n]) != "yes" {
		t.Errorf("extended attribute: %v %q", err, value[:n])
	}
	a, _ := os.Stat(filepath.Join(root, "etc/file"))
	b, _ := os.Stat(filepath.Join(root, "etc/hard"))
	if !os.SameFile(a, b) {
		t.Error("a hard link became a copy")
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"a name that leads out":      {Name: "../x", Typeflag: tar.TypeReg, Linkname: "x"},
		"a hard link that leads out": {Name: "x", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"},
		"an unknown kind":            {Name: "x", Typeflag: 'Z'},
	} {
		root := filepath.Join(t.TempDir(), "deep", "root")
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(bytes.NewReader(archive(t, h)), root); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Lstat(filepath.Join(root, "..", "x")); err == nil {
			t.Errorf("%s: written outside", name)
		}
	}
}

// A stream that breaks anywhere, after the archive's own end too, is an error.
func TestUnpackCut(t *testing.T) {
	whole := archive(t, tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid(), Linkname: strings.Repeat("x", 3000)})
	broken := errors.New("broken")
	for _, at := range []int{0, 100, 512, 1000, 3583, len(whole) - 1, len(whole)} {
		_, err := Unpack(io.MultiReader(bytes.NewReader(whole[:at]), &failing{broken}), t.TempDir())
		if !errors.Is(err, broken) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
