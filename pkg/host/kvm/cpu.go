package kvm

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// CPU is a processor as guests see it: a model that libvirt knows (`virsh domcapabilities` lists them), with features added and taken away. In
// an inventory and in a domain it is written as one word, "MODEL,+FEATURE,-FEATURE".
type CPU struct {
	Model  string
	Vendor string // as libvirt tells it ("AMD", "Intel"); not part of the word
	Add    []string
	Remove []string
}

var (
	cpuModel   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	cpuFeature = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)
)

// ParseCPU reads the word of a processor.
func ParseCPU(word string) (CPU, error) {
	parts := strings.Split(word, ",")
	c := CPU{Model: parts[0]}
	if !cpuModel.MatchString(c.Model) {
		return c, fmt.Errorf("processor %q: write MODEL or MODEL,+FEATURE,-FEATURE, like EPYC-Rome,-xsaves", word)
	}
	for _, p := range parts[1:] {
		name, list := strings.TrimPrefix(p, "+"), &c.Add
		if strings.HasPrefix(p, "-") {
			name, list = p[1:], &c.Remove
		}
		if name == p || !cpuFeature.MatchString(name) {
			return c, fmt.Errorf("processor %q: %q is neither +FEATURE nor -FEATURE", word, p)
		}
		*list = append(*list, name)
	}
	slices.Sort(c.Add)
	slices.Sort(c.Remove)
	return c, nil
}

// String is the word, features sorted.
func (c CPU) String() string {
	var b strings.Builder
	b.WriteString(c.Model)
	for _, f := range c.Add {
		b.WriteString(",+" + f)
	}
	for _, f := range c.Remove {
		b.WriteString(",-" + f)
	}
	return b.String()
}

// xml describes exactly this processor: a host that cannot give it does not start the guest.
func (c CPU) xml() *libvirtxml.DomainCPU {
	x := &libvirtxml.DomainCPU{Mode: "custom", Match: "exact", Check: "partial", Model: &libvirtxml.DomainCPUModel{Fallback: "forbid", Value: c.Model}, Vendor: c.Vendor}
	for _, f := range c.Add {
		x.Features = append(x.Features, libvirtxml.DomainCPUFeature{Policy: "require", Name: f})
	}
	for _, f := range c.Remove {
		x.Features = append(x.Features, libvirtxml.DomainCPUFeature{Policy: "disable", Name: f})
	}
	return x
}

// projectCPU reads a processor back; the zero CPU when the domain takes the host's own, or what libvirt writes where nothing was asked for: QEMU's
// usual model, unchecked.
func projectCPU(x *libvirtxml.DomainCPU) CPU {
	if x == nil || x.Mode != "custom" || x.Model == nil || x.Check == "none" {
		return CPU{}
	}
	c := CPU{Model: x.Model.Value, Vendor: x.Vendor}
	c.features(x.Features)
	return c
}

func (c *CPU) features(list []libvirtxml.DomainCPUFeature) {
	for _, f := range list {
		switch f.Policy {
		case "", "require", "force":
			c.Add = append(c.Add, f.Name)
		case "disable", "forbid":
			c.Remove = append(c.Remove, f.Name)
		}
	}
	slices.Sort(c.Add)
	slices.Sort(c.Remove)
}

// capabilities are those that libvirt tells of domains of one kind, q35 machines.
func (c *Conn) capabilities(ctx context.Context, accelerated bool) (libvirtxml.DomainCaps, error) {
	var caps libvirtxml.DomainCaps
	var text string
	err := c.call(ctx, "read its capabilities", func() (err error) {
		text, err = c.lib.ConnectGetDomainCapabilities(nil, optional("x86_64"), optional("q35"), optional(virtType(accelerated)), 0)
		return err
	})
	if err != nil {
		return caps, err
	}
	if err := caps.Unmarshal(text); err != nil {
		return caps, fmt.Errorf("libvirt's capabilities: %w", err)
	}
	return caps, nil
}

func virtType(accelerated bool) string {
	if accelerated {
		return "kvm"
	}
	return "qemu"
}

func optional(s string) libvirt.OptString { return libvirt.OptString{s} }

// hostCPU is the processor that the host gives guests which take "the host's own" (mode host-model); the zero CPU when libvirt tells none.
func hostCPU(caps libvirtxml.DomainCaps) CPU {
	if caps.CPU == nil {
		return CPU{}
	}
	for _, m := range caps.CPU.Modes {
		if m.Name != "host-model" || m.Supported != "yes" || len(m.Models) == 0 {
			continue
		}
		c := CPU{Model: m.Models[0].Name, Vendor: m.Vendor}
		for _, f := range m.Features {
			c.features([]libvirtxml.DomainCPUFeature{{Policy: f.Policy, Name: f.Name}})
		}
		return c
	}
	return CPU{}
}

// ErrCPU says that a host cannot give guests the processor that was asked for.
var ErrCPU = errors.New("the host cannot give guests this processor")

// CanRun finds out whether guests with a processor can run on the host; ErrCPU, with what is missing, when they cannot.
func (c *Conn) CanRun(ctx context.Context, want CPU) error {
	accelerated, err := c.Accelerated(ctx)
	if err != nil {
		return err
	}
	text, err := marshal(want.xml())
	if err != nil {
		return err
	}
	if err := c.compare(ctx, text, "x86_64", "q35", virtType(accelerated)); err != nil {
		return fmt.Errorf("%s: %w", want, err)
	}
	return nil
}

func marshal(x *libvirtxml.DomainCPU) (string, error) {
	text, err := xml.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("describe a processor to libvirt: %w", err)
	}
	return string(text), nil
}
