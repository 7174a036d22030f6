package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Packages is the kind of a snapshot: a set of Debian packages to be installed on running hosts.
const Packages Kind = "packages"

// The limits of a snapshot.
const (
	maxDebs    = 4096    // packages of one snapshot
	MaxDebSize = 1 << 30 // bytes of one package
)

// Snapshot names a set of Debian packages. Its JSON is canonical, as a Manifest's: fields in this order, no white space, packages sorted by name and architecture.
// It is no Manifest, and neither is read as the other.
type Snapshot struct {
	FormatVersion int    `json:"format_version"`
	Kind          Kind   `json:"kind"` // Packages
	Name          string `json:"name"`
	Debs          []Deb  `json:"debs"`
}

// Deb is one binary package of a snapshot.
type Deb struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	Architecture string       `json:"architecture"`
	Digest       model.Digest `json:"sha256"` // of the .deb file
	Size         int64        `json:"size"`   // bytes of the .deb file
	// Depends are the fields Pre-Depends and Depends of its control file, joined with a comma, as Debian writes them.
	Depends string `json:"depends,omitempty"`
}

// The words of a package's control file (Debian policy 5.6.1, 5.6.8 and 5.6.12). They end in file names and in commands' arguments.
var (
	debName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	debVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+:~-]*$`)
	debArch    = regexp.MustCompile(`^[a-z0-9-]+$`)
)

// File is the name that the package's file has on a host: Debian's own, without the epoch.
func (d Deb) File() string {
	version := d.Version
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	return path.Base(d.Name + "_" + version + "_" + d.Architecture + ".deb")
}

// Needs are the names of the packages that one depends on, alternatives included.
func (d Deb) Needs() []string {
	var out []string
	for _, word := range strings.FieldsFunc(d.Depends, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(word), " ")
		if name, _, _ = strings.Cut(name, ":"); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Validate reports every fault at once; each error wraps ErrMalformed.
func (s *Snapshot) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...))
	}
	if s.FormatVersion != FormatVersion || s.Kind != Packages || !ValidName(s.Name) {
		bad("format_version %d, kind %q, name %q: not a snapshot that this program reads", s.FormatVersion, s.Kind, s.Name)
	}
	if len(s.Debs) == 0 || len(s.Debs) > maxDebs {
		bad("it holds %d packages; 1 to %d can be", len(s.Debs), maxDebs)
	}
	for i, d := range s.Debs {
		if !debName.MatchString(d.Name) || !debVersion.MatchString(d.Version) || !debArch.MatchString(d.Architecture) {
			bad("package %d: name %q, version %q, architecture %q", i, d.Name, d.Version, d.Architecture)
		}
		if !d.Digest.Valid() || d.Size <= 0 || d.Size > MaxDebSize {
			bad("package %s: sha256 %q, size %d", d.Name, d.Digest, d.Size)
		}
		if i > 0 && s.Debs[i-1].Name >= d.Name {
			bad("packages are not sorted by name, or %q is there twice", d.Name)
		}
	}
	return errors.Join(errs...)
}

// Encode validates the snapshot and gives its canonical bytes, which are what is signed and what its digest is of.
func (s *Snapshot) Encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// ParseSnapshot reads canonical bytes and nothing else, as Parse does.
func ParseSnapshot(payload []byte) (*Snapshot, error) {
	if len(payload) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, len(payload), MaxBytes)
	}
	var s Snapshot
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: bytes follow the snapshot", ErrMalformed)
	}
	again, err := s.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, fmt.Errorf("%w: the JSON is not canonical", ErrMalformed)
	}
	return &s, nil
}

// SignSnapshot signs a snapshot's canonical bytes.
func SignSnapshot(payload []byte, key minisign.PrivateKey) (Signed, error) {
	s, err := ParseSnapshot(payload)
	if err != nil {
		return Signed{}, fmt.Errorf("will not sign: %w", err)
	}
	comment := fmt.Sprintf("nubo snapshot %s %s", s.Name, Digest(payload))
	return Signed{Payload: payload, Signature: string(minisign.SignWithComments(key, payload, comment, "nubo snapshot manifest"))}, nil
}

// OpenSnapshot verifies the signature, then that the bytes are the snapshot asked for, and only then parses.
func OpenSnapshot(s Signed, want model.Digest, trusted ...minisign.PublicKey) (*Snapshot, error) {
	if err := Verify(s.Payload, s.Signature, trusted...); err != nil {
		return nil, err
	}
	if got := Digest(s.Payload); got != want {
		return nil, fmt.Errorf("%w: asked for snapshot %s, got %s", ErrMalformed, want, got)
	}
	return ParseSnapshot(s.Payload)
}
