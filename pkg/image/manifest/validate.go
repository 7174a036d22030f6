package manifest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,63}$`)

// filesOf are the files that an image of each kind has, in order.
var filesOf = map[Kind][]string{Root: {RootTar}, Ramdisk: {Initrd, Kernel}, Guest: {Initrd, Kernel}}

// ValidName reports whether s can name an image: lower-case letters, digits, dot, plus, minus; 64 at most.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Validate reports every fault at once; each error wraps ErrMalformed.
func (m *Manifest) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...))
	}
	if m.FormatVersion != FormatVersion {
		bad("format_version is %d; this program reads %d", m.FormatVersion, FormatVersion)
	}
	for field, s := range map[string]string{"name": m.Name, "release": m.Release, "architecture": m.Architecture} {
		if !ValidName(s) {
			bad("%s %q is not a name", field, s)
		}
	}
	if m.Version == "" || m.KernelVersion == "" {
		bad("version %q and kernel_version %q must not be empty", m.Version, m.KernelVersion)
	}
	if m.Epoch < 0 || !m.Inputs.Valid() {
		bad("epoch %d or inputs %q is out of range", m.Epoch, m.Inputs)
	}
	m.validatePackages(bad)
	names := make([]string, 0, len(m.Files))
	for _, f := range m.Files {
		names = append(names, f.Name)
		f.validate(bad)
	}
	if want, known := filesOf[m.Kind]; !known || !slices.Equal(names, want) {
		bad("kind %q with files %q", m.Kind, names)
	}
	return errors.Join(errs...)
}

func (m *Manifest) validatePackages(bad func(string, ...any)) {
	if len(m.Packages) == 0 {
		bad("no packages")
	}
	for i, p := range m.Packages {
		if p.Name == "" || p.Version == "" || p.Architecture == "" {
			bad("package %d is incomplete: %+v", i, p)
		}
		if i > 0 && ComparePackages(m.Packages[i-1], p) >= 0 {
			bad("packages are not sorted at %q", p.Name)
		}
	}
}

// ComparePackages orders packages by name and then architecture, as manifests list them.
func ComparePackages(a, b Package) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Architecture, b.Architecture)
}

func (f File) validate(bad func(string, ...any)) {
	if !f.Digest.Valid() || f.Size <= 0 || len(f.Chunks) > maxChunks {
		bad("file %q: sha256 %q, size %d, %d chunks", f.Name, f.Digest, f.Size, len(f.Chunks))
	}
	var sum int64
	for i, c := range f.Chunks {
		last := i == len(f.Chunks)-1
		full := c.Size == ChunkSize || last && c.Size > 0 && c.Size < ChunkSize
		if !full || c.Compressed <= 0 || c.Compressed > MaxCompressed || !c.Digest.Valid() {
			bad("file %q chunk %d: size %d, compressed %d, sha256 %q", f.Name, i, c.Size, c.Compressed, c.Digest)
			return
		}
		sum += c.Size
	}
	if sum != f.Size {
		bad("file %q: chunks hold %d bytes, the file %d", f.Name, sum, f.Size)
	}
}
