package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/provision"
)

// ramdiskImage is the name of the image that installs.
const ramdiskImage = "ramdisk"

// payload implements provision.Images over the image store.
type payload struct {
	s    *session
	once sync.Once
	kern provision.File
	init provision.File
	err  error
}

// Blobs lists an image's manifest and chunks. Only an image that this operator's key has signed is handed out.
func (p *payload) Blobs(d model.Digest) ([]provision.Blob, error) {
	m, signed, err := p.s.signedImage(d)
	if err != nil {
		return nil, err
	}
	envelope, err := json.Marshal(signed)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", d.Short(), err)
	}
	out := []provision.Blob{{Kind: "images", Digest: d.Hex(), Size: int64(len(envelope)), Open: func() ([]byte, error) { return envelope, nil }}}
	seen := map[model.Digest]bool{}
	for _, f := range m.Files {
		for _, c := range f.Chunks {
			if !seen[c.Digest] {
				seen[c.Digest] = true
				out = append(out, provision.Blob{Kind: "chunks", Digest: c.Digest.Hex(), Size: c.Compressed,
					Open: func() ([]byte, error) { return p.s.images.Chunk(context.Background(), c) }})
			}
		}
	}
	return out, nil
}

// signedImage gives an image's manifest, verified with this operator's key.
func (s *session) signedImage(d model.Digest) (*manifest.Manifest, manifest.Signed, error) {
	signed, err := s.images.Signed(d)
	if errors.Is(err, image.ErrNotFound) {
		return nil, signed, fmt.Errorf("image %s is not in the store, or nobody signed it (%w); nuboctl image build makes images, nuboctl image sign signs them", d.Short(), err)
	}
	if err != nil {
		return nil, signed, err
	}
	m, err := manifest.Open(signed, d, s.keys.Public)
	if errors.Is(err, manifest.ErrSignature) {
		return nil, signed, fmt.Errorf("image %s: %w with this cloud's key; if you trust it: nuboctl image sign", d.Short(), err)
	}
	return m, signed, err
}

// Ramdisk joins the ramdisk's base with this release's agent and this operator's public key, and keeps the result in the state directory.
func (p *payload) Ramdisk() (kernel, initrd provision.File, err error) {
	p.once.Do(func() { p.kern, p.init, p.err = p.s.assemble() })
	return p.kern, p.init, p.err
}

func (s *session) assemble() (kernel, initrd provision.File, err error) {
	fail := func(err error) (provision.File, provision.File, error) {
		return provision.File{}, provision.File{}, fmt.Errorf("ramdisk: %w", err)
	}
	d, err := s.images.Resolve(ramdiskImage)
	if errors.Is(err, image.ErrNotFound) {
		return fail(fmt.Errorf("%w; build it with: nuboctl image build %s", err, ramdiskImage))
	}
	if err != nil {
		return fail(err)
	}
	m, _, err := s.signedImage(d)
	if err != nil {
		return fail(err)
	}
	kernelPath, err1 := s.images.Extract(context.Background(), m, manifest.Kernel)
	basePath, err2 := s.images.Extract(context.Background(), m, manifest.Initrd)
	agent, err3 := besideMe("nubo-agent")
	pub, err4 := s.keys.Public.MarshalText()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fail(err)
	}
	whole, err := image.AssembleRamdisk(basePath, agent, append(bytes.TrimSpace(pub), '\n'))
	if err != nil {
		return fail(err)
	}
	initrdPath := filepath.Join(s.env.stateDir(), "ramdisk.img")
	if err := replaceFile(initrdPath, whole); err != nil {
		return fail(err)
	}
	if kernel, err = bootFile("vmlinuz", kernelPath); err != nil {
		return fail(err)
	}
	if initrd, err = bootFile("initrd", initrdPath); err != nil {
		return fail(err)
	}
	return kernel, initrd, nil
}

// replaceFile writes a file beside and moves it into place.
func replaceFile(name string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(tmp.Name(), name)
}

// firstStageDirs is where Debian's package ipxe has what firmware loads.
var firstStageDirs = []string{"/usr/lib/ipxe"}

// FirstStage are iPXE for BIOS and for UEFI.
func (p *payload) FirstStage() ([]provision.File, error) {
	var out []provision.File
	for _, name := range []string{"undionly.kpxe", "snponly.efi"} {
		var f provision.File
		var err error
		for _, dir := range firstStageDirs {
			if f, err = bootFile(name, filepath.Join(dir, name)); err == nil {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w; it is in Debian's package ipxe: apt-get install ipxe", err)
		}
		out = append(out, f)
	}
	return out, nil
}

func bootFile(name, path string) (provision.File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return provision.File{}, fmt.Errorf("boot file %s: %w", name, err)
	}
	sum := sha256.Sum256(content)
	return provision.File{Name: name, SHA256: hex.EncodeToString(sum[:]), Path: path, Size: int64(len(content))}, nil
}

// source opens a file that the inventory names, such as the content of a disk.
func (s *session) source(name string) (io.ReadCloser, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.env.Dir, name)
	}
	return os.Open(name)
}

// guestFiles finds kernel and ramdisk of a guest image.
func (s *session) guestFiles(d model.Digest) (kernel, initrd string, err error) {
	if d == "" {
		return "", "", errors.New("its image is not in the image store; build it with: nuboctl image build guest")
	}
	m, _, err := s.signedImage(d)
	if err != nil {
		return "", "", err
	}
	kernel, err1 := s.images.Extract(context.Background(), m, manifest.Kernel)
	initrd, err2 := s.images.Extract(context.Background(), m, manifest.Initrd)
	return kernel, initrd, errors.Join(err1, err2)
}
