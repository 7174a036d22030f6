package kvm

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
)

// Outcome is what Ensure found and did.
type Outcome struct {
	Created bool     // there was none
	Changes []string // what differed; empty and not Created: nothing was done
	Restart bool     // it runs with the old description until it is stopped and started
}

// Get gives one domain; ErrNoDomain when there is none.
func (c *Conn) Get(ctx context.Context, name string) (Observed, error) {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return Observed{}, err
	}
	return c.observe(ctx, dom)
}

func (c *Conn) lookup(ctx context.Context, name string) (dom libvirt.Domain, err error) {
	err = c.call(ctx, "look up "+name, func() error {
		dom, err = c.lib.DomainLookupByName(name)
		return err
	})
	return dom, err
}

// Ensure defines the domain where it is missing or differs; it neither starts nor stops it. ErrForeign when one of that name exists
// that is not ours.
func (c *Conn) Ensure(ctx context.Context, want Domain) (Outcome, error) {
	if err := want.Check(); err != nil {
		return Outcome{}, err
	}
	have, err := c.Get(ctx, want.Name)
	switch {
	case errors.Is(err, ErrNoDomain):
		return Outcome{Created: true}, c.define(ctx, want)
	case err != nil:
		return Outcome{}, err
	case !have.Ours:
		return Outcome{}, fmt.Errorf("define %s: %w: undefine it by hand, or choose another name", want.Name, ErrForeign)
	}
	out := Outcome{Changes: Diff(have.Domain, want)}
	if len(out.Changes) == 0 {
		return out, nil
	}
	if want.UUID == "" {
		want.UUID = have.UUID
	}
	if want.Machine == "" {
		want.Machine = have.Machine // a guest keeps its versioned machine type
	}
	out.Restart = have.State != Shutoff
	return out, c.define(ctx, want)
}

// define stores the description, sets autostart and reads both back.
func (c *Conn) define(ctx context.Context, want Domain) error {
	text, err := want.XML()
	if err != nil {
		return err
	}
	err = c.call(ctx, "define "+want.Name, func() error {
		dom, err := c.lib.DomainDefineXMLFlags(text, libvirt.DomainDefineValidate)
		if err != nil {
			return err
		}
		auto := int32(0)
		if want.Autostart {
			auto = 1
		}
		return c.lib.DomainSetAutostart(dom, auto)
	})
	if err != nil {
		return err
	}
	got, err := c.Get(ctx, want.Name)
	if err != nil {
		return err
	}
	if left := Diff(got.Domain, want); len(left) > 0 {
		return fmt.Errorf("define %s: libvirt took it and has something else: %v", want.Name, left)
	}
	return nil
}

// ours looks a domain up and refuses one that is not ours.
func (c *Conn) ours(ctx context.Context, what, name string) (libvirt.Domain, Observed, error) {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return dom, Observed{}, err
	}
	have, err := c.observe(ctx, dom)
	if err == nil && !have.Ours {
		err = fmt.Errorf("%s %s: %w", what, name, ErrForeign)
	}
	return dom, have, err
}

// Start starts a domain; one that runs already is left alone.
func (c *Conn) Start(ctx context.Context, name string) error {
	dom, have, err := c.ours(ctx, "start", name)
	if err != nil || have.State == Running {
		return err
	}
	return c.call(ctx, "start "+name, func() error { return c.lib.DomainCreate(dom) })
}

// Destroy takes the power from a domain; one that is off is left alone.
func (c *Conn) Destroy(ctx context.Context, name string) error {
	dom, have, err := c.ours(ctx, "stop", name)
	if err != nil || have.State == Shutoff {
		return err
	}
	return c.call(ctx, "stop "+name, func() error { return c.lib.DomainDestroy(dom) })
}

// Undefine forgets a domain that is off, with its managed save image and NVRAM; its disks stay. ErrActive when it runs; no error when there
// is none.
func (c *Conn) Undefine(ctx context.Context, name string) error {
	dom, have, err := c.ours(ctx, "undefine", name)
	switch {
	case errors.Is(err, ErrNoDomain):
		return nil
	case err != nil:
		return err
	case have.State != Shutoff && have.State != Crashed:
		return fmt.Errorf("undefine %s: %w: stop it first", name, ErrActive)
	}
	flags := libvirt.DomainUndefineManagedSave | libvirt.DomainUndefineSnapshotsMetadata | libvirt.DomainUndefineNvram
	return c.call(ctx, "undefine "+name, func() error { return c.lib.DomainUndefineFlags(dom, flags) })
}
