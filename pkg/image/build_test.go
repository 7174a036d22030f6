package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// TestCachedImageRunsNothing gives Build an archive that nothing could be fetched from.
func TestCachedImageRunsNothing(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	m, d := smallImage(t, s)
	def := Definition{Name: "small", Kind: manifest.Guest, Release: "trixie"}
	archive := Archive{Sources: "Types: none\n"}
	asked := model.DigestJSON([]any{def.Digest(), &archive})
	if err := put(s.path("built", asked.Hex()), []byte(d+"\n")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	var steps []string
	o := BuildOptions{Archive: &archive, Progress: func(e Event) { steps = append(steps, e.Step) }}
	got, err := Build(t.Context(), def, s, o)
	if err != nil || got != d || strings.Join(steps, " ") != "cached" {
		t.Errorf("%s %q: %v", got, steps, err)
	}
	if named, err := s.Resolve("small"); err != nil || named != d {
		t.Errorf("the name stands for %s: %v", named, err)
	}
	if err := os.Remove(s.chunkPath(m.Files[0].Chunks[0].Digest)); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.built(asked); ok {
		t.Error("an image with a missing chunk counts as built")
	}
}

func TestSecondBuildWaitsForTheFirst(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	unlock()
	again, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestFailedProgramIsQuoted shows what a person reads when mmdebstrap fails, and that the tar it left unfinished is not kept.
func TestFailedProgramIsQuoted(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	b := bootstrap{
		def:  Definition{Name: "x", Kind: manifest.Root, Release: "no-such-release", Architecture: "amd64", Packages: []string{"a"}, Epoch: 1},
		work: t.TempDir(), debs: filepath.Join(s.CacheDir(), "debs"), target: "-",
		lists: lists{dir: t.TempDir(), archive: Archive{Sources: "Types: nonsense\n"}},
	}
	var m manifest.Manifest
	err := s.buildRoot(t.Context(), b, &m, nil)
	if err == nil || !strings.Contains(err.Error(), "mmdebstrap no-such-release") || !strings.Contains(err.Error(), "E: ") {
		t.Errorf("got %v", err)
	}
	if len(m.Files) != 0 {
		t.Error("half an image has files")
	}
}

func TestMachineKeyFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	at, d := filepath.Join(dir, "a.sources"), Definition{Release: "trixie"}
	pattern := []string{filepath.Join(dir, "*")}
	key := func(content string) model.Digest {
		t.Helper()
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return machineKey(pattern, d)
	}
	one, two, again := key("one"), key("two"), key("one")
	if one == two || one != again {
		t.Errorf("keys: %s %s %s", one.Short(), two.Short(), again.Short())
	}
	if other := machineKey(pattern, Definition{Release: "bookworm"}); other == one {
		t.Error("two releases with one key")
	}
}
