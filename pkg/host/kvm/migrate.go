package kvm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// ErrMigrate says that a domain was not moved: it runs where it ran.
var ErrMigrate = errors.New("virtual machine was not moved")

// Migrate moves a running domain to another host and does not stop it: this host's libvirt talks to that one's over TLS, and memory crosses in
// TLS too. Both hosts must be prepared (Migration) and have all of the domain's disks. It waits until the domain runs there; when ctx ends, the move
// is called off. The description moves with the domain.
func (c *Conn) Migrate(ctx context.Context, name string, to netip.Addr) error {
	dom, have, err := c.ours(ctx, "move", name)
	if err != nil {
		return err
	}
	if have.State != Running {
		return fmt.Errorf("move %s: %w: it is %s", name, ErrMigrate, have.State)
	}
	for _, d := range have.Disks {
		if !d.shared() {
			return fmt.Errorf("move %s: %w: its disk %s is on this host only", name, ErrMigrate, d.Path)
		}
	}
	flags := libvirt.MigrateLive | libvirt.MigratePeer2peer | libvirt.MigratePersistDest | libvirt.MigrateUndefineSource |
		libvirt.MigrateTLS | libvirt.MigrateAutoConverge
	params := []libvirt.TypedParam{{Field: "migrate_uri", Value: *libvirt.NewTypedParamValueString("tcp://" + host(to))}}
	stop := c.abortWith(ctx, dom)
	defer stop()
	err = c.call(context.WithoutCancel(ctx), "move "+name, func() error {
		_, err := c.lib.DomainMigratePerform3Params(dom, optional("qemu+tls://"+host(to)+"/system"), params, nil, flags)
		return err
	})
	if err != nil {
		return fmt.Errorf("move %s to %s: %w: %w", name, to, ErrMigrate, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// host writes an address as URIs do.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// abortWait bounds the call that calls a move off.
const abortWait = 20 * time.Second

// abortWith calls a domain's move off when ctx ends. Libvirt cannot take a call back, and a move that is left alone goes on.
func (c *Conn) abortWith(ctx context.Context, dom libvirt.Domain) func() bool {
	return context.AfterFunc(ctx, func() {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWait)
		defer cancel()
		// The session that waits for the move is the one that is used: libvirt answers calls beside it.
		_ = c.call(asking, "call off the move of "+dom.Name, func() error { return c.lib.DomainAbortJob(dom) })
	})
}
