package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// BuildOptions say how to build. The zero value takes this machine's archive and what is cached.
type BuildOptions struct {
	Archive  *Archive // nil: this machine's own (MachineArchive)
	Refresh  bool     // fetch the package lists again, and build anew if a package changed
	Force    bool     // build even if the same inputs were built before; the result must be the same
	Scratch  string   // directory for temporary files; empty: below the store. About 1 GiB is needed
	Progress Progress
}

// Build gives the digest of the image that a definition describes, building it when the store does not have it, and makes the
// definition's name stand for it. Without Refresh a cached image is found without running apt. Building needs root and mmdebstrap.
func Build(ctx context.Context, d Definition, s Store, o BuildOptions) (model.Digest, error) {
	archive := o.Archive
	if archive == nil {
		mine, err := s.machineArchive(ctx, d)
		if err != nil {
			return "", fmt.Errorf("image %s: %w", d.Name, err)
		}
		archive = &mine
	}
	asked := model.DigestJSON([]any{d.Digest(), archive})
	if !o.Refresh && !o.Force {
		if digest, ok := s.built(asked); ok {
			o.Progress.say(d.Name, "cached", "image %s", digest.Short())
			return digest, s.SetRef(d.Name, digest)
		}
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	l, err := openLists(s.CacheDir(), d, *archive)
	if err != nil {
		return "", err
	}
	o.Progress.say(d.Name, "resolve", "packages of %s", d.Release)
	if err := l.update(ctx, o.Refresh); err != nil {
		return "", fmt.Errorf("image %s: fetch package lists: %w", d.Name, err)
	}
	packages, err := l.resolve(ctx, d)
	if err != nil {
		return "", err
	}
	inputs := model.DigestJSON([]any{d.Digest(), packages})
	digest, ok := s.built(inputs)
	if !ok || o.Force {
		if digest, err = s.build(ctx, d, l, packages, inputs, o); err != nil {
			return "", err
		}
	}
	for _, key := range []model.Digest{inputs, asked} {
		if err := put(s.path("built", key.Hex()), []byte(digest+"\n")); err != nil {
			return "", err
		}
	}
	o.Progress.say(d.Name, "done", "image %s", digest.Short())
	return digest, s.SetRef(d.Name, digest)
}

// built looks up what came of these inputs, if it is still whole.
func (s Store) built(inputs model.Digest) (model.Digest, bool) {
	digest, err := s.digestIn("inputs", "built", inputs.Hex())
	if err != nil {
		return "", false
	}
	m, err := s.Manifest(digest)
	return digest, err == nil && s.Complete(m) == nil
}

// lockInterval is how often a build that waits for another looks whether it has ended.
const lockInterval = 200 * time.Millisecond

// lock keeps a second build out of the same store; it waits until the first has ended.
func (s Store) lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	file, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		_ = file.Close()
		return nil, fmt.Errorf("image store %s: waiting for another build: %w", s.Dir, err)
	}
}

func (s Store) build(ctx context.Context, d Definition, l lists, packages []manifest.Package, inputs model.Digest, o BuildOptions) (model.Digest, error) {
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("image %s: building needs root (mmdebstrap installs packages into a directory): run as root, or take a store that holds it", d.Name)
	}
	scratch := o.Scratch
	if scratch == "" {
		scratch = s.path("tmp")
		if err := os.RemoveAll(scratch); err != nil { // the lock is ours: whatever is there was left by a build that was killed
			return "", fmt.Errorf("image %s: what an earlier build left: %w", d.Name, err)
		}
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return "", fmt.Errorf("image %s: %w", d.Name, err)
	}
	work, err := os.MkdirTemp(scratch, d.Name+"-")
	if err != nil {
		return "", fmt.Errorf("image %s: %w", d.Name, err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // packages' scripts run as other users too
		return "", fmt.Errorf("image %s: %w", d.Name, err)
	}
	b := bootstrap{def: d, lists: l, work: work, debs: filepath.Join(s.CacheDir(), "debs"), target: "-"}
	m := &manifest.Manifest{
		FormatVersion: manifest.FormatVersion, Name: d.Name, Kind: d.Kind, Release: d.Release, Architecture: d.Architecture,
		Version: d.Release + "-" + inputs.Short(), Epoch: d.Epoch, Inputs: inputs, Packages: packages,
	}
	if d.Kind == manifest.Root {
		err = s.buildRoot(ctx, b, m, o.Progress)
	} else {
		b.target = filepath.Join(work, "root")
		err = s.buildRamdisk(ctx, b, m, o.Progress)
	}
	if err != nil {
		return "", err
	}
	return s.PutManifest(m)
}

// buildRoot streams mmdebstrap's tar into chunks and looks at it as it passes.
func (s Store) buildRoot(ctx context.Context, b bootstrap, m *manifest.Manifest, progress Progress) error {
	if err := b.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	ran := make(chan error, 1)
	go func() {
		err := b.run(ctx, in, progress)
		_ = in.Close()
		ran <- err
	}()
	look, fromTar := io.Pipe()
	type scan struct {
		facts rootFacts
		err   error
	}
	seen := make(chan scan, 1)
	go func() {
		facts, err := scanRoot(b.def, look)
		_, _ = io.Copy(io.Discard, look) // tar's padding after the end, or the rest after a fault
		seen <- scan{facts, err}
	}()
	var bytes int64
	file, cutErr := manifest.Cut(ctx, manifest.RootTar, io.TeeReader(&counted{out, func(n int) {
		if bytes += int64(n); progress != nil {
			progress(Event{Image: m.Name, Step: "compress", Text: "root file system", Done: bytes})
		}
	}}, fromTar), s.PutChunk)
	cancelIf(cutErr, cancel)
	_, _ = out.Close(), fromTar.Close()
	runErr, saw := <-ran, <-seen
	if runErr != nil || cutErr != nil { // what the scan says of half a tar is of no use
		return errors.Join(runErr, cutErr)
	}
	if saw.err != nil {
		return saw.err
	}
	m.Files, m.KernelVersion, m.Packages = []manifest.File{file}, saw.facts.kernel, saw.facts.packages
	return nil
}

func cancelIf(err error, cancel func()) {
	if err != nil {
		cancel()
	}
}

// buildRamdisk makes kernel and initramfs of a ramdisk or guest.
func (s Store) buildRamdisk(ctx context.Context, b bootstrap, m *manifest.Manifest, progress Progress) error {
	if err := b.prepare(); err != nil {
		return err
	}
	if err := b.run(ctx, nil, progress); err != nil {
		return err
	}
	t, err := openTree(b.target)
	if err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	m.KernelVersion = t.kernel
	progress.say(m.Name, "files", "kernel %s: modules and firmware", t.kernel)
	kernel, err := os.ReadFile(t.at("/boot/vmlinuz-" + t.kernel))
	if err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	missing, err := t.finish(ctx, b.def)
	if err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	if len(missing) > 0 {
		progress.say(m.Name, "files", "firmware that no package of the definition brings: %s", strings.Join(missing, " "))
	}
	var archive bytes.Buffer
	if err := writeCPIO(&archive, t.root); err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	progress.say(m.Name, "compress", "initramfs of %d MiB", archive.Len()>>20)
	initrd, err := squeeze(&archive)
	if err != nil {
		return fmt.Errorf("image %s: %w", m.Name, err)
	}
	for _, part := range []struct {
		name    string
		content []byte
	}{{manifest.Initrd, initrd}, {manifest.Kernel, kernel}} {
		file, err := manifest.Cut(ctx, part.name, bytes.NewReader(part.content), s.PutChunk)
		if err != nil {
			return fmt.Errorf("image %s: %w", m.Name, err)
		}
		m.Files = append(m.Files, file)
	}
	return nil
}

// finish turns an unpacked root into the content of an initramfs.
func (t tree) finish(ctx context.Context, d Definition) (missingFirmware []string, err error) {
	missing, err := t.takeModules(ctx, d.Modules)
	if err != nil {
		return nil, err
	}
	if err := t.settle(); err != nil {
		return nil, err
	}
	keep := d.Keep
	if len(keep) > 0 {
		keep = append([]string{path.Join(modulesDir(t.root), t.kernel), "/usr/lib/firmware", "/etc/passwd", "/etc/group"}, keep...)
	}
	if err := errors.Join(t.remove(d.Remove), t.keepOnly(keep), t.applets(ctx)); err != nil {
		return nil, err
	}
	for _, f := range d.Files {
		if err := t.write(f); err != nil {
			return nil, fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	return missing, nil
}
