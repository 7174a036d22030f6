package kvm

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// ErrCannotTake says that a host cannot run a domain of another, and why.
var ErrCannotTake = errors.New("the other host cannot run it")

// CanTake finds out whether a domain that runs on c could run on other: whether its machine type is known there, and its processor can be given.
// ErrCannotTake when not.
func (c *Conn) CanTake(ctx context.Context, name string, other *Conn) error {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return err
	}
	var text string
	err = c.call(ctx, "read "+name, func() (err error) {
		text, err = c.lib.DomainGetXMLDesc(dom, libvirt.DomainXMLMigratable)
		return err
	})
	if err != nil {
		return err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return fmt.Errorf("%s: libvirt's description of a virtual machine: %w", name, err)
	}
	if x.OS == nil || x.OS.Type == nil {
		return fmt.Errorf("%s: %w: libvirt does not tell its machine type", name, ErrCannotTake)
	}
	arch, machine := x.OS.Type.Arch, x.OS.Type.Machine
	if err := other.knows(ctx, arch, machine, x.Type); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if x.CPU == nil {
		return nil
	}
	if x.CPU.Mode == Passthrough || x.CPU.Mode == "maximum" {
		return c.sameCPU(ctx, name, other)
	}
	if projectCPU(x.CPU).Model == "" {
		return nil
	}
	cpu, err := xml.Marshal(x.CPU)
	if err != nil {
		return fmt.Errorf("describe a processor to libvirt: %w", err)
	}
	if err := other.compare(ctx, string(cpu), arch, machine, x.Type); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrCannotTake, err)
	}
	return nil
}

// knows asks the host's QEMU whether it has a machine type.
func (c *Conn) knows(ctx context.Context, arch, machine, kind string) error {
	err := c.call(ctx, "look for the machine type "+machine, func() error {
		_, err := c.lib.ConnectGetDomainCapabilities(nil, optional(arch), optional(machine), optional(kind), 0)
		return err
	})
	var said libvirt.Error
	if errors.As(err, &said) {
		return fmt.Errorf("%w: machine type %s (%s): %w", ErrCannotTake, machine, kind, err)
	}
	return err
}

// compare asks whether the host can give guests a processor, as libvirt describes it; ErrCPU when it cannot.
func (c *Conn) compare(ctx context.Context, cpu, arch, machine, kind string) error {
	var result int32
	err := c.call(ctx, "compare processors", func() (err error) {
		result, err = c.lib.ConnectCompareHypervisorCPU(nil, optional(arch), optional(machine), optional(kind), cpu,
			uint32(libvirt.ConnectCompareCPUFailIncompatible))
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCPU, err)
	}
	if libvirt.CPUCompareResult(result) == libvirt.CPUCompareIncompatible {
		return ErrCPU
	}
	return nil
}

// sameCPU is for a guest that sees its host's own processor.
func (c *Conn) sameCPU(ctx context.Context, name string, other *Conn) error {
	var word [2]string
	for i, k := range []*Conn{c, other} {
		accelerated, err := k.Accelerated(ctx)
		if err != nil {
			return err
		}
		caps, err := k.capabilities(ctx, accelerated)
		if err != nil {
			return err
		}
		word[i] = hostCPU(caps).String()
	}
	if word[0] == "" || word[0] != word[1] {
		return fmt.Errorf("%s: %w: it sees its host's own processor, which is %s here and %s there", name, ErrCannotTake, shown(word[0]), shown(word[1]))
	}
	return nil
}
