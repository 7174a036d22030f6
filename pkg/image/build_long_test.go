//go:build e2elong

package image

import (
	"os"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/images"
)

// TestSameInputsGiveTheSameBytes builds every image twice from Debian's archive, with the packages of one set of lists, and compares
// the digests of everything. It takes minutes and belongs to make e2e-long; its result is recorded there. NUBO_IMAGE_STORE
// names a store to use again; otherwise one is made and thrown away.
func TestSameInputsGiveTheSameBytes(t *testing.T) {
	dir := os.Getenv("NUBO_IMAGE_STORE")
	if dir == "" {
		dir = t.TempDir()
	}
	s := Store{Dir: dir}
	for _, name := range []string{"guest", "ramdisk", "debian-13", "debian-12"} {
		t.Run(name, func(t *testing.T) {
			d, err := Load(images.FS, name)
			if err != nil {
				t.Fatal(err)
			}
			first, err := Build(t.Context(), d, s, BuildOptions{Refresh: true})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			second, err := Build(t.Context(), d, s, BuildOptions{Force: true})
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Manifest(second)
			if err != nil {
				t.Fatal(err)
			}
			plain, compressed := m.Size()
			t.Logf("%s: built in %.0f s, %d MB, %d MB compressed, %d packages", name, time.Since(began).Seconds(), plain/1e6, compressed/1e6, len(m.Packages))
			if first != second {
				t.Errorf("two builds from the same inputs: %s and %s", first, second)
			}
			if err := s.Verify(t.Context(), m, nil); err != nil {
				t.Error(err)
			}
			cached := time.Now()
			third, err := Build(t.Context(), d, s, BuildOptions{})
			if err != nil || third != second {
				t.Errorf("cached: %s %v", third, err)
			}
			t.Logf("%s: found in the cache in %.2f s", name, time.Since(cached).Seconds())
		})
	}
}
