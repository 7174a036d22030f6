package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// trusted is this cloud's public key, if it has one.
func (e Env) trusted() ([]minisign.PublicKey, error) {
	file := filepath.Join(e.stateDir(), "keys", "sign.pub")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var key minisign.PublicKey
	if err == nil {
		err = key.UnmarshalText([]byte(strings.TrimSpace(string(text))))
	}
	if err != nil {
		return nil, fmt.Errorf("this cloud's public key %s: %w", file, err)
	}
	return []minisign.PublicKey{key}, nil
}

// ImageList lists the images of the store.
func ImageList(e Env) error {
	store, _, err := e.imageStore(false)
	if err != nil {
		return err
	}
	trusted, err := e.trusted()
	if err != nil {
		return err
	}
	list, err := store.List(trusted...)
	if err != nil {
		return err
	}
	if e.JSON {
		if list == nil {
			list = []image.Entry{}
		}
		return view.JSON(e.Out, map[string]any{"format_version": 1, "store": store.Dir, "images": list})
	}
	if len(list) == 0 {
		e.note("There are no images in %s. To build what the inventory needs: nuboctl image build", store.Dir)
		return nil
	}
	fmt.Fprintf(e.Out, "%-12s %-12s %-8s %-9s %-24s %9s %10s  %s\n", "NAME", "DIGEST", "KIND", "RELEASE", "KERNEL", "PACKAGES", "SIZE", "SIGNED")
	for _, i := range list {
		name := strings.Join(i.Names, ",")
		if name == "" {
			name = "(superseded)"
		}
		signed := map[bool]string{true: "yes", false: "not by this cloud"}[i.Signed]
		if i.Fault != "" {
			signed = i.Fault
		}
		if _, err := fmt.Fprintf(e.Out, "%-12s %-12s %-8s %-9s %-24s %9d %10s  %s\n", name, i.Digest.Short(), i.Kind, i.Release, i.Kernel, i.Packages, view.Bytes(i.Compressed), signed); err != nil {
			return err
		}
	}
	return nil
}

// checkedImage is what image verify prints of one image.
type checkedImage struct {
	Name   string       `json:"name"`
	Digest model.Digest `json:"digest"`
	Whole  bool         `json:"whole"`
	Signed bool         `json:"signed"`
	Fault  string       `json:"fault,omitempty"`
}

// ImageVerify reads every byte of images, by name or digest, and checks them and their signatures; without names, of all that have a name.
func ImageVerify(ctx context.Context, e Env, refs []string) error {
	store, _, err := e.imageStore(false)
	if err != nil {
		return err
	}
	trusted, err := e.trusted()
	if err != nil {
		return err
	}
	if refs, err = namedImages(store, refs); err != nil {
		return err
	}
	out := make([]checkedImage, len(refs))
	bad := 0
	for i, ref := range refs {
		out[i] = e.checkImage(ctx, store, ref, trusted)
		if ctx.Err() != nil {
			return &Exit{Code: ExitInterrupted, Err: fmt.Errorf("interrupted while reading image %s", ref)}
		}
		if out[i].Fault != "" {
			bad++
		}
		if !e.JSON {
			fmt.Fprintf(e.Out, "%-12s %s  %s\n", ref, out[i].Digest.Short(), map[bool]string{true: "whole, signed by this cloud", false: out[i].Fault}[out[i].Fault == ""])
		}
	}
	if e.JSON {
		err = view.JSON(e.Out, map[string]any{"format_version": 1, "valid": bad == 0, "images": out})
	}
	if bad > 0 {
		err = errors.Join(err, &Exit{Code: ExitError, Err: fmt.Errorf("%d of %d images cannot be used; nuboctl image build makes them anew, nuboctl image sign signs what you trust", bad, len(refs))})
	}
	return err
}

func (e Env) checkImage(ctx context.Context, s image.Store, ref string, trusted []minisign.PublicKey) checkedImage {
	c := checkedImage{Name: ref}
	fault := func(err error) checkedImage {
		c.Fault = err.Error()
		return c
	}
	var err error
	if c.Digest, err = s.Resolve(ref); err != nil {
		return fault(err)
	}
	m, err := s.Manifest(c.Digest)
	if err != nil {
		return fault(err)
	}
	c.Name = m.Name
	p := newImageProgress(e, m.Name)
	err = s.Verify(ctx, m, p.tell)
	p.end()
	if err != nil {
		return fault(err)
	}
	c.Whole = true
	signed, err := s.Signed(c.Digest)
	if errors.Is(err, image.ErrNotFound) {
		return fault(errors.New("whole, but not signed"))
	}
	if err == nil {
		err = manifest.Verify(signed.Payload, signed.Signature, trusted...)
	}
	if err != nil {
		return fault(fmt.Errorf("whole, but not signed by this cloud: %w", err))
	}
	c.Signed = true
	return c
}

// namedImages are the references given, or the names of all images that have one.
func namedImages(s image.Store, refs []string) ([]string, error) {
	if len(refs) > 0 {
		return refs, nil
	}
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		refs = append(refs, i.Names...)
	}
	if len(refs) == 0 {
		return nil, fmt.Errorf("there are no images in %s; to build what the inventory needs: nuboctl image build", s.Dir)
	}
	return refs, nil
}

// ImageSign signs images that are in the store with this cloud's key: the operator says that they are trusted.
func ImageSign(e Env, refs []string) error {
	if err := e.hasKeyPlace(); err != nil {
		return err
	}
	store, key, err := e.imageStore(true)
	if err != nil {
		return err
	}
	var errs []error
	signed := []map[string]any{}
	for _, ref := range refs {
		d, err := store.Resolve(ref)
		if errors.Is(err, image.ErrNotFound) {
			err = fmt.Errorf("%w; nuboctl image list shows what is", err)
		}
		if err == nil {
			err = store.Sign(d, key)
		}
		if errs = append(errs, err); err != nil {
			continue
		}
		signed = append(signed, map[string]any{"name": ref, "digest": d})
		if !e.JSON {
			fmt.Fprintf(e.Out, "%-12s %s  signed\n", ref, d.Short())
		}
	}
	if e.JSON {
		errs = append(errs, view.JSON(e.Out, map[string]any{"format_version": 1, "images": signed}))
	}
	return errors.Join(errs...)
}
