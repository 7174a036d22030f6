package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/images"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// ImageBuildOptions are those of ImageBuild.
type ImageBuildOptions struct {
	Names   []string // empty: all that the inventory needs
	Refresh bool     // ask the archive for newer packages
	Force   bool     // build although the same was built before
	Scratch string   // directory for temporary files; empty: below the store
	// Definitions is a directory with definitions beside, or over, those in this program.
	Definitions string
}

// definitions are those that images are built from.
func (o ImageBuildOptions) definitions() (fs.FS, error) {
	if o.Definitions == "" {
		return images.FS, nil
	}
	if info, err := os.Stat(o.Definitions); err != nil {
		return nil, fmt.Errorf("--definitions: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("--definitions %s is no directory: it holds a directory for each image, with image.hcl in it", o.Definitions)
	}
	return image.Overlay(os.DirFS(o.Definitions), images.FS), nil
}

// builtImage is what image build prints of one image.
type builtImage struct {
	Name       string       `json:"name"`
	Digest     model.Digest `json:"digest"`
	Version    string       `json:"version"`
	Size       int64        `json:"size"`
	Compressed int64        `json:"compressed"`
	Cached     bool         `json:"cached"` // it was in the store already
	Seconds    float64      `json:"seconds"`
}

// ImageBuild builds images from the definitions in this program, and signs them with this cloud's key. What was built before from the same
// inputs is only signed.
func ImageBuild(ctx context.Context, e Env, o ImageBuildOptions) error {
	fsys, err := o.definitions()
	if err != nil {
		return err
	}
	names, err := e.imagesToBuild(fsys, o.Names)
	if err != nil {
		return err
	}
	store, key, err := e.imageStore(true)
	if err != nil {
		return err
	}
	if err := canBuild(store, names, o); err != nil {
		return err
	}
	out := struct {
		FormatVersion int          `json:"format_version"`
		Images        []builtImage `json:"images"`
	}{FormatVersion: 1, Images: []builtImage{}}
	var errs []error
	for _, name := range names {
		b, err := e.buildImage(ctx, fsys, store, key, name, o)
		if ctx.Err() != nil {
			return &Exit{Code: ExitInterrupted, Err: fmt.Errorf("interrupted while building image %s: nothing half-built was kept; build again", name)}
		}
		if errs = append(errs, err); err != nil {
			continue
		}
		out.Images = append(out.Images, b)
		if !e.JSON {
			fmt.Fprintf(e.Out, "%-12s %s  %s, signed\n", b.Name, b.Digest.Short(), view.Bytes(b.Compressed))
		}
	}
	if e.JSON {
		errs = append(errs, view.JSON(e.Out, out))
	}
	return errors.Join(errs...)
}

// imagesToBuild checks names, or takes those of all images that the inventory needs.
func (e Env) imagesToBuild(fsys fs.FS, names []string) ([]string, error) {
	if len(names) == 0 {
		inv, err := e.load()
		if err != nil {
			return nil, err
		}
		return neededImages(inv.Desired), nil
	}
	if err := e.hasKeyPlace(); err != nil {
		return nil, err
	}
	defined, err := image.Definitions(fsys)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range names {
		if !slices.Contains(defined, name) {
			errs = append(errs, fmt.Errorf("no image %q is defined; there are %s", name, strings.Join(defined, ", ")))
		}
	}
	return names, errors.Join(errs...)
}

// hasKeyPlace refuses to make keys in a directory that is no inventory's.
func (e Env) hasKeyPlace() error {
	if !inventory.Is(e.Dir) && e.StateDir == "" {
		return fmt.Errorf("there is no inventory in %s, so no key to sign images with: choose its directory with -C DIR", e.Dir)
	}
	return nil
}

// neededImages are those of nodes and virtual machines, and the ramdisk that installs; sorted.
func neededImages(d model.Desired) []string {
	names := []string{}
	if slices.ContainsFunc(d.Nodes, func(n model.Node) bool { return !n.Adopted }) {
		names = append(names, ramdiskImage)
	}
	for _, n := range d.Nodes {
		names = append(names, n.Image.Name)
	}
	for _, vm := range d.VMs {
		names = append(names, vm.Image.Name)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
}

// imageStore opens the image store. With keys, it also opens this cloud's keys, which are made when there are none.
func (e Env) imageStore(withKey bool) (image.Store, minisign.PrivateKey, error) {
	dir, err := e.imageDir()
	if err != nil || !withKey {
		return image.Store{Dir: dir}, minisign.PrivateKey{}, err
	}
	k, made, err := openKeys(e.stateDir(), e.Now())
	if err != nil {
		return image.Store{}, minisign.PrivateKey{}, err
	}
	if made {
		e.note("Made this cloud's keys in %s: keep that directory safe, and out of version control.", k.dir)
	}
	return image.Store{Dir: dir}, k.Sign, nil
}

func (e Env) buildImage(ctx context.Context, fsys fs.FS, s image.Store, key minisign.PrivateKey, name string, o ImageBuildOptions) (builtImage, error) {
	b := builtImage{Name: name}
	d, err := image.Load(fsys, name)
	if err != nil {
		return b, err
	}
	began := e.Now()
	p := newImageProgress(e, name)
	b.Digest, err = image.Build(ctx, d, s, image.BuildOptions{Refresh: o.Refresh, Force: o.Force, Scratch: o.Scratch, Progress: p.tell})
	p.end()
	b.Cached, b.Seconds = p.cached(), e.Now().Sub(began).Seconds()
	if err != nil {
		return b, errors.Join(err, missingProgram(err))
	}
	m, err := s.Manifest(b.Digest)
	if err != nil {
		return b, err
	}
	b.Version = m.Version
	b.Size, b.Compressed = m.Size()
	return b, s.Sign(b.Digest, key)
}

// canBuild finds out, before anything is fetched, whether this machine can build the images that have to be built.
func canBuild(s image.Store, names []string, o ImageBuildOptions) error {
	var build []string
	for _, name := range names {
		if _, err := s.Resolve(name); errors.Is(err, image.ErrNotFound) || o.Force || o.Refresh {
			build = append(build, name)
		}
	}
	if len(build) == 0 {
		return nil
	}
	what := "these images have to be built: " + strings.Join(build, ", ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s; that needs root, since mmdebstrap installs packages into a directory: run as root, or choose a store that holds them with --images DIR", what)
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fmt.Errorf("%s: %w; %w", what, err, missingProgram(err))
	}
	return nil
}

// missingProgram tells what to do when a program was not found.
func missingProgram(err error) error {
	if !errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	return errors.New("images are built by Debian's own tools: apt-get install mmdebstrap; on other systems, build on a Debian machine and share the store (--images)")
}
