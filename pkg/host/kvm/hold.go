package kvm

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// heldNamespace marks, in a domain's metadata, that it was stopped here and is to be started again. It is apart from the mark of whose a domain is, since
// libvirt keeps one element for each namespace. The hook of a cordon (cordon.go) knows it too.
const heldNamespace = "https://nuboctl.github.io/libvirt/held/1"

// heldKey is the prefix under which libvirt writes it.
const heldKey = "nubo-held"

// heldMark is that element.
type heldMark struct {
	XMLName   xml.Name `xml:"https://nuboctl.github.io/libvirt/held/1 held"`
	Autostart bool     `xml:"autostart,attr"` // it had it, and gets it back
}

// findHeld reads the mark; false when there is none.
func findHeld(x *libvirtxml.Domain) (heldMark, bool) {
	if x.Metadata == nil {
		return heldMark{}, false
	}
	var all struct {
		Marks []heldMark `xml:"https://nuboctl.github.io/libvirt/held/1 held"`
	}
	if err := xml.Unmarshal([]byte("<metadata>"+x.Metadata.XML+"</metadata>"), &all); err != nil || len(all.Marks) == 0 {
		return heldMark{}, false
	}
	return all.Marks[0], true
}

// holdPoll is how often the state of a domain that was told to shut down is looked at.
const holdPoll = 500 * time.Millisecond

// Hold stops a domain and marks it, so that Release finds it. The guest is asked to shut down; one that has not within grace loses its power. That its
// owner consents to both is the caller's matter. A domain that libvirt forgets when it stops is refused. Doing it again changes nothing.
func (c *Conn) Hold(ctx context.Context, name string, grace time.Duration) error {
	dom, have, err := c.find(ctx, name)
	switch {
	case err != nil:
		return err
	case !have.Traits.Persistent:
		return fmt.Errorf("hold %s: libvirt would forget it when it stops: define it first (virsh dumpxml, virsh define)", name)
	}
	if !have.Held {
		mark := fmt.Sprintf("<held autostart='%t'/>", have.Autostart)
		if err := c.mark(ctx, dom, libvirt.OptString{mark}); err != nil {
			return err
		}
	}
	if have.Autostart {
		if err := c.call(ctx, "keep "+name+" from starting by itself", func() error { return c.lib.DomainSetAutostart(dom, 0) }); err != nil {
			return err
		}
	}
	if err := c.stop(ctx, dom, grace); err != nil {
		return err
	}
	switch have, err = c.observe(ctx, dom); {
	case err != nil:
		return err
	case have.State != Shutoff || !have.Held || have.Autostart:
		return fmt.Errorf("hold %s: it was stopped and is %s, marked %t, autostart %t: look at it with virsh dominfo", name, have.State, have.Held, have.Autostart)
	}
	return nil
}

// stop asks the guest to shut down, waits, and takes its power when grace is over.
func (c *Conn) stop(ctx context.Context, dom libvirt.Domain, grace time.Duration) error {
	for end := time.Now().Add(grace); ; {
		have, err := c.observe(ctx, dom)
		if err != nil || have.State == Shutoff {
			return err
		}
		if time.Now().After(end) || have.State == Crashed {
			return c.call(ctx, "stop "+dom.Name, func() error { return c.lib.DomainDestroy(dom) })
		}
		// The power button is pressed again and again: a guest that was still booting does not see the first.
		_ = c.call(ctx, "shut down "+dom.Name, func() error { return c.lib.DomainShutdown(dom) })
		if err := pause(ctx, holdPoll); err != nil {
			return err
		}
	}
}

// Release starts a domain that Hold stopped, and takes the mark away, also from one that runs because an earlier Release did not come to that: it would be taken for
// held when its owner stops it. Doing it again changes nothing; one that is off and has no mark is not ours to start.
func (c *Conn) Release(ctx context.Context, name string) error {
	dom, have, err := c.find(ctx, name)
	switch {
	case err != nil:
		return err
	case !have.Held && have.State == Running:
		return nil
	case !have.Held:
		return fmt.Errorf("start %s: it is %s, and nuboctl did not stop it: start it by hand, or leave it", name, have.State)
	}
	if have.State == Shutoff || have.State == Crashed {
		if err := c.call(ctx, "start "+name, func() error { return c.lib.DomainCreate(dom) }); err != nil {
			return err
		}
	}
	if have.HeldAutostart {
		if err := c.call(ctx, "let "+name+" start by itself", func() error { return c.lib.DomainSetAutostart(dom, 1) }); err != nil {
			return err
		}
	}
	return c.mark(ctx, dom, nil)
}

// mark sets the mark of a held domain in what libvirt keeps of it; nil takes it away.
func (c *Conn) mark(ctx context.Context, dom libvirt.Domain, text libvirt.OptString) error {
	return c.call(ctx, "mark "+dom.Name, func() error {
		return c.lib.DomainSetMetadata(dom, int32(libvirt.DomainMetadataElement), text, optional(heldKey), optional(heldNamespace), libvirt.DomainAffectConfig)
	})
}

// find looks a domain up and reads it.
func (c *Conn) find(ctx context.Context, name string) (libvirt.Domain, Observed, error) {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return dom, Observed{}, err
	}
	have, err := c.observe(ctx, dom)
	return dom, have, err
}
