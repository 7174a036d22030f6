package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Hosts implements ops.Hosts over SSH.
type Hosts struct {
	Desired model.Desired
	Links   *Links
	Epoch   int64
	Log     *slog.Logger
}

// Observe looks at a running host. One that does not answer is an observation, unless ctx has ended.
func (h *Hosts) Observe(ctx context.Context, n model.Node) (model.ObservedHost, error) {
	link := h.Links.To(n)
	f, err := slot.Observe(ctx, link)
	if err != nil {
		link.Drop() // a host that was reinstalled or restarted is reached anew
		return model.ObservedHost{Error: err.Error()}, context.Cause(ctx)
	}
	out := model.ObservedHost{
		Reachable: true, BootID: f.BootID, Release: f.Codename, Kernel: f.Kernel, Slot: f.Slot, Image: f.Image, Config: f.Config, FailedUnits: f.FailedUnits,
	}
	if v, err := (ovs.Driver{}).Observe(ctx, link); err == nil {
		out.OVS, out.OVSVersion = bridgesOf(v), v.Version
	} else {
		out.Error = err.Error()
	}
	if c, err := kvm.Connect(ctx, link); err == nil {
		if v, err := c.Observe(ctx); err == nil {
			out.Libvirt, out.QEMU = v.Libvirt, v.QEMU
		}
		_ = c.Close() // what was asked has been answered
	}
	return out, context.Cause(ctx)
}

// bridgesOf gives observed bridges in the inventory's words.
func bridgesOf(s ovs.State) []model.Bridge {
	var out []model.Bridge
	for _, b := range s.Bridges {
		m := model.Bridge{Name: b.Name, MTU: b.MTURequest}
		if up := b.Uplinks(); len(up) > 0 {
			m.Uplink = up[0].Name
		}
		for _, p := range b.Ports {
			if p.Tag != 0 && len(p.Interfaces) == 1 && p.Interfaces[0].Type == "internal" && p.Interfaces[0].Owner == "" {
				m.VLANs = append(m.VLANs, model.BridgeVLAN{Port: p.Name})
			}
		}
		out = append(out, m)
	}
	return out
}

// EnsureBridges brings Open vSwitch to the node's bridges; the change undoes itself unless a new connection confirms it.
func (h *Hosts) EnsureBridges(ctx context.Context, n model.Node) error {
	link := h.Links.To(n)
	spec, err := BridgeSpec(h.Desired, n)
	if err != nil {
		return err
	}
	out, err := (ovs.Driver{}).Ensure(ctx, link, spec, ovs.Guard{ID: "nubo-" + n.Name, Reconnect: ovs.Fresh(link)})
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	for _, c := range out.Changes {
		h.Log.Info("bridge changed", "node", string(n.Path), "change", fmt.Sprint(c))
	}
	return nil
}

// BridgeSpec is what a node's profile asks of Open vSwitch, in Open vSwitch's words.
func BridgeSpec(d model.Desired, n model.Node) (ovs.Spec, error) {
	p, ok := profileOf(d, n.Profile)
	if !ok {
		return ovs.Spec{}, fmt.Errorf("%s: profile %q is not in the inventory", n.Path, n.Profile)
	}
	var spec ovs.Spec
	for _, b := range p.Bridges {
		bs := ovs.BridgeSpec{Name: b.Name, MTU: b.MTU, HWAddr: uplinkMAC(p, n, b.Uplink)}
		if b.Uplink != "" {
			bs.Ports = append(bs.Ports, uplinkPort(p, b.Uplink))
		}
		for _, v := range b.VLANs {
			net := networkOf(d, v.Network)
			bs.Ports = append(bs.Ports, ovs.PortSpec{Name: v.Port, Internal: true, Tag: net.VLAN, MTU: net.MTU})
		}
		spec.Bridges = append(spec.Bridges, bs)
	}
	return spec, nil
}

func uplinkPort(p model.Profile, name string) ovs.PortSpec {
	for _, b := range p.Bonds {
		if b.Name == name {
			return ovs.PortSpec{Name: name, BondMode: b.Mode, Members: b.Members}
		}
	}
	return ovs.PortSpec{Name: name}
}

// uplinkMAC is the address that a bridge takes: that of its uplink's first card.
func uplinkMAC(p model.Profile, n model.Node, uplink string) string {
	card := uplink
	for _, b := range p.Bonds {
		if b.Name == uplink && len(b.Members) > 0 {
			card = b.Members[0]
		}
	}
	for _, nic := range n.NICs {
		if nic.Name == card {
			return strings.ToLower(nic.MAC)
		}
	}
	return ""
}

// libvirtWait bounds the wait for libvirt on a host that has just started.
const libvirtWait = 90 * time.Second

// EnsureHypervisor starts libvirt where it does not run, and waits until it answers.
func (h *Hosts) EnsureHypervisor(ctx context.Context, n model.Node) error {
	link := h.Links.To(n)
	if _, err := link.Run(ctx, remote.Command{Argv: []string{"systemctl", "enable", "--now", "libvirtd.socket", "libvirtd.service"}, Limit: libvirtWait}); err != nil {
		return fmt.Errorf("%s: start libvirt: %w", n.Path, err)
	}
	c, err := kvm.Connect(ctx, link)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	defer c.Close()
	_, err = c.Observe(ctx)
	return err
}

func profileOf(d model.Desired, name string) (model.Profile, bool) {
	for _, p := range d.Profiles {
		if p.Name == name {
			return p, true
		}
	}
	return model.Profile{}, false
}

func networkOf(d model.Desired, name string) model.Network {
	for _, n := range d.Networks {
		if n.Name == name {
			return n
		}
	}
	return model.Network{}
}

// Observe reads a BMC in one session; what went wrong is part of the answer.
func (m *Machines) Observe(ctx context.Context, n model.Node) model.ObservedBMC {
	c, err := m.Client(ctx, n)
	if err != nil {
		return model.ObservedBMC{Power: model.PowerUnknown, Error: err.Error()}
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	o := model.ObservedBMC{Reachable: true}
	id, err1 := c.Identity(ctx)
	power, err2 := c.Power(ctx)
	boot, err3 := machine{c}.BootOnce(ctx)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return model.ObservedBMC{Power: model.PowerUnknown, Error: err.Error()}
		}
	}
	o.Serial, o.Model, o.Power, o.BootOnce = id.Serial, id.Model, model.Power(power), boot
	return o
}

