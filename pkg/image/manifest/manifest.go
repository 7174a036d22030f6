// Package manifest describes one image: which files it has, how each is cut into chunks, the digest of every chunk, and every
// Debian package inside. The digest of an image is the SHA-256 of its manifest's canonical JSON. The manifest is signed with
// minisign, and its signature is verified before a byte of it is parsed (Open); each chunk is verified before it is decompressed
// (NewReader). So nothing that came over an untrusted network is interpreted before it is known to be ours.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// FormatVersion is the version of the manifest's JSON that this package writes and the only one it reads.
const FormatVersion = 1

// The limits a reader holds to, so that a manifest can never make it allocate without bound.
const (
	ChunkSize     = 4 << 20  // uncompressed bytes of every chunk of a file but the last
	MaxCompressed = 5 << 20  // compressed bytes of one chunk: zstd's worst case for ChunkSize is far below
	MaxBytes      = 16 << 20 // bytes of one manifest
	maxChunks     = 1 << 16  // chunks of one file: 256 GiB
)

// ErrMalformed says that the bytes are no manifest of this format; ErrSignature that no trusted key signed them; ErrChunk that a
// chunk's bytes are not those that the manifest names.
var (
	ErrMalformed = errors.New("malformed image manifest")
	ErrSignature = errors.New("signature not valid")
	ErrChunk     = errors.New("chunk does not match the manifest")
)

// Kind says what an image is for.
type Kind string

// The kinds, and the files each kind carries.
const (
	Root    Kind = "root"    // a host's root file system: RootTar
	Ramdisk Kind = "ramdisk" // what a blade boots to be installed: Kernel, Initrd (the base, without agent and key)
	Guest   Kind = "guest"   // a small virtual machine: Kernel, Initrd
)

// The names of files in images.
const (
	RootTar = "root.tar" // tar of a root file system; kernel and initrd at /vmlinuz and /initrd.img inside
	Kernel  = "vmlinuz"
	Initrd  = "initrd" // cpio, zstd
)

// Manifest is one image. Its JSON is canonical: fields in this order, no white space, packages sorted by name and architecture.
type Manifest struct {
	FormatVersion int          `json:"format_version"`
	Name          string       `json:"name"` // of the definition, for example debian-13
	Kind          Kind         `json:"kind"`
	Release       string       `json:"release"`      // Debian's code name
	Architecture  string       `json:"architecture"` // Debian's name: amd64
	Version       string       `json:"version"`      // RELEASE-VERSION of Debian, then a part of Inputs; for people
	Epoch         int64        `json:"epoch"`        // no file is newer: seconds since 1970
	Inputs        model.Digest `json:"inputs"`       // of the definition and of every package's version
	KernelVersion string       `json:"kernel_version"`
	Packages      []Package    `json:"packages"`
	Files         []File       `json:"files"`
}

// Package is one Debian binary package whose files are in the image.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
}

// File is one payload of an image, cut in chunks of ChunkSize; the last is shorter.
type File struct {
	Name   string       `json:"name"`
	Size   int64        `json:"size"` // bytes, uncompressed
	Digest model.Digest `json:"sha256"`
	Chunks []Chunk      `json:"chunks"`
}

// Chunk is one part of a file: an independent zstd frame.
type Chunk struct {
	Digest     model.Digest `json:"sha256"` // of the compressed bytes: what is fetched is verified before it is decompressed
	Compressed int64        `json:"compressed"`
	Size       int64        `json:"size"` // bytes after decompression
}

// File returns the file of that name.
func (m *Manifest) File(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// Size is the sum of all files in bytes, uncompressed and as stored.
func (m *Manifest) Size() (plain, compressed int64) {
	for _, f := range m.Files {
		plain += f.Size
		compressed += f.Compressed()
	}
	return plain, compressed
}

// Compressed is the sum of the file's chunks as they are stored and sent, in bytes.
func (f File) Compressed() int64 {
	var n int64
	for _, c := range f.Chunks {
		n += c.Compressed
	}
	return n
}

// Encode validates the manifest and gives its canonical bytes, which are what is signed and what Digest is of.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// Digest is the name of an image: the SHA-256 of its canonical bytes.
func Digest(payload []byte) model.Digest { return model.DigestBytes(payload) }

// Parse reads canonical bytes and nothing else: unknown or repeated fields, white space and another order are refused, so that
// one image has one digest. Call it on bytes that Verify has accepted. Errors wrap ErrMalformed.
func Parse(payload []byte) (*Manifest, error) {
	if len(payload) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, len(payload), MaxBytes)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: bytes follow the manifest", ErrMalformed)
	}
	again, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, fmt.Errorf("%w: the JSON is not canonical", ErrMalformed)
	}
	return &m, nil
}
