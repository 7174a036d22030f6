package provision

import (
	"slices"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/relay"
)

// upload counts what has gone to a relay.
type upload struct {
	relay  *relay.Client
	report func(text string, done, total int64)
	total  int64

	mu   sync.Mutex
	done int64
}

func newUpload(c *relay.Client, report func(string, int64, int64)) *upload {
	return &upload{relay: c, report: report}
}

func (u *upload) add(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done += n
	u.report("hand boot files and image to the relay", u.done, u.total)
}

func pickFiles(all []File, names map[string]string) []File {
	return slices.DeleteFunc(slices.Clone(all), func(f File) bool { return names[f.Name] == "" })
}

func pickBlobs(all []Blob, digests []string) []Blob {
	want := make(map[string]bool, len(digests))
	for _, d := range digests {
		want[d] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(b Blob) bool { return !want[b.Digest] })
}
