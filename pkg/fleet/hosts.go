package fleet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/files"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/host/packages"
	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Hosts implements ops.Hosts over SSH.
type Hosts struct {
	Desired model.Desired
	Links   *Links
	// Epoch goes with every change; hosts refuse one older than the newest they have seen.
	Epoch int64
	Log   *slog.Logger
	// Files gives the files that a node's configuration lays down; nil: nobody looks at them.
	Files func(n model.Node) ([]files.File, error)
	// Authorities sign the certificates of libvirt and QEMU; nil while nothing is to be moved.
	Authorities *kvm.Authorities
	Now         func() time.Time
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
		out.OVS, out.OVSVersion = BridgesOf(v), v.Version
	} else {
		out.Error = err.Error()
	}
	if h.Files != nil && out.Config == n.Config && n.Config != "" {
		out.Files = h.files(ctx, link, n)
	}
	if f.Slot != "" {
		observeSlots(ctx, link, &out)
	}
	if want := h.Desired.Rollout.Snapshot; want.Digest != "" {
		if p, err := (packages.Driver{Host: link}).Observe(ctx, want.Digest, asked(want)); err == nil {
			out.Packages = &p
		} else {
			out.Error = err.Error()
		}
	}
	if mark, err := kvm.ReadCordon(ctx, link); err == nil {
		out.Cordoned, out.Drained = ends(mark, h.now()), mark.Drain
	} else {
		out.Error = err.Error()
	}
	if c, err := kvm.Connect(ctx, link); err == nil {
		if v, err := c.Observe(ctx); err == nil {
			out.Libvirt, out.QEMU = v.Libvirt, v.QEMU
			h.hypervisor(ctx, n, v, &out)
		}
		_ = c.Close() // what was asked has been answered
	}
	return out, context.Cause(ctx)
}

// observeSlots tells what the host's other slot holds, and which one boots by default. Where the agent does not answer, nothing is known of them.
func observeSlots(ctx context.Context, link remote.Host, out *model.ObservedHost) {
	st, err := slot.Agent{Host: link}.Status(ctx)
	if err != nil {
		return
	}
	out.Idle, out.Default = slotOf(st, st.Idle()), slotOf(st, st.Default)
}

func slotOf(st slot.Status, name string) *model.ObservedSlot {
	one, ok := st.Slot(name)
	if !ok || (one.Condition != slot.Written && one.Condition != slot.Good) {
		return nil
	}
	return &model.ObservedSlot{Image: one.Image, Config: one.Config, Proven: one.Condition == slot.Good}
}

func (h *Hosts) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

// BridgesOf gives observed bridges in the inventory's words.
func BridgesOf(s ovs.State) []model.Bridge {
	var out []model.Bridge
	for _, b := range s.Bridges {
		m := model.Bridge{Name: b.Name, MTU: b.MTURequest}
		if up := b.Uplinks(); len(up) > 0 {
			m.Uplink = up[0].Name
			m.Bond = bondOf(up[0])
			m.UplinkMTU = leastMTU(up[0])
		}
		for _, p := range b.Ports {
			if p.Name != b.Name && len(p.Interfaces) == 1 && p.Interfaces[0].Type == "internal" && p.Interfaces[0].Owner == "" {
				m.VLANs = append(m.VLANs, model.BridgeVLAN{Port: p.Name, Tag: p.Tag, MTU: p.Interfaces[0].MTURequest})
			}
		}
		out = append(out, m)
	}
	return out
}

// bondOf is an uplink's bond, nil when it is a single card.
func bondOf(p ovs.Port) *model.Bond {
	if len(p.Interfaces) < 2 {
		return nil
	}
	b := &model.Bond{Mode: p.BondMode, LACP: p.LACP}
	for _, i := range p.Interfaces {
		b.Members = append(b.Members, i.Name)
	}
	return b
}

// leastMTU is the smallest MTU that a port's cards were told to have, in bytes. A card that was told none has Ethernet's default.
func leastMTU(p ovs.Port) int {
	least := 0
	for _, i := range p.Interfaces {
		if n := cmp.Or(i.MTURequest, 1500); least == 0 || n < least {
			least = n
		}
	}
	return least
}

// EnsureBridges brings Open vSwitch to the node's bridges; the change undoes itself unless a new connection confirms it.
func (h *Hosts) EnsureBridges(ctx context.Context, n model.Node) error {
	link := h.Links.To(n)
	fresh := ovs.Fresh(link)
	reconnect := func(ctx context.Context) (remote.Host, func(), error) {
		host, end, err := fresh(ctx)
		return remote.Fenced{Host: host, Epoch: h.Epoch}, end, err
	}
	out, err := (ovs.Driver{}).Ensure(ctx, remote.Fenced{Host: link, Epoch: h.Epoch}, BridgeSpec(h.Desired, n), ovs.Guard{ID: "nubo-" + n.Name, Reconnect: reconnect})
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	for _, c := range out.Changes {
		h.Log.Info("bridge changed", "node", string(n.Path), "change", fmt.Sprint(c))
	}
	return nil
}

// BridgeSpec is what a node's profile asks of Open vSwitch, in Open vSwitch's words.
func BridgeSpec(d model.Desired, n model.Node) ovs.Spec {
	var spec ovs.Spec
	for _, b := range facts.Bridges(d, n) {
		bs := ovs.BridgeSpec{Name: b.Name, MTU: b.MTU, HWAddr: uplinkMAC(n, b)}
		if b.Uplink != "" {
			up := ovs.PortSpec{Name: b.Uplink, MTU: b.UplinkMTU}
			if b.Bond != nil {
				up.BondMode, up.Members = b.Bond.Mode, b.Bond.Members
			}
			bs.Ports = append(bs.Ports, up)
		}
		for _, v := range b.VLANs {
			port := ovs.PortSpec{Name: v.Port, Internal: true, Tag: v.Tag, MTU: v.MTU}
			if b.MTU != 0 && v.MTU == 0 {
				port.MTU = 1500 // Ethernet's default, which is not the bridge's here
			}
			bs.Ports = append(bs.Ports, port)
		}
		spec.Bridges = append(spec.Bridges, bs)
	}
	return spec
}

// uplinkMAC is the address that a bridge takes: that of its uplink's first card.
func uplinkMAC(n model.Node, b model.Bridge) string {
	card := b.Uplink
	if b.Bond != nil && len(b.Bond.Members) > 0 {
		card = b.Bond.Members[0]
	}
	for _, nic := range n.NICs {
		if nic.Name == card {
			return strings.ToLower(nic.MAC)
		}
	}
	return ""
}

// libvirtWait bounds the wait for libvirt on a host that has just started.
const libvirtWait = 5 * time.Minute

// EnsureHypervisor starts libvirt where it does not run, and waits until it answers. The hook of a cordon is there before: libvirt looks for hooks when it
// starts, and must not have to be restarted for the first cordon.
func (h *Hosts) EnsureHypervisor(ctx context.Context, n model.Node) error {
	link := remote.Fenced{Host: h.Links.To(n), Epoch: h.Epoch}
	if err := kvm.EnsureHook(ctx, link); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if _, err := link.Run(ctx, remote.Command{Argv: []string{"systemctl", "enable", "--now", "libvirtd.socket", "libvirtd.service"}, Limit: libvirtWait}); err != nil {
		return fmt.Errorf("%s: start libvirt: %w", n.Path, err)
	}
	c, err := kvm.Connect(ctx, link)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	defer c.Close()
	if _, err = c.Observe(ctx); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return h.canRun(ctx, n, c)
}

// Shutdown has the host shut itself down and switch its machine off.
func (h *Hosts) Shutdown(ctx context.Context, n model.Node) error {
	if err := slot.PowerOff(ctx, remote.Fenced{Host: h.Links.To(n), Epoch: h.Epoch}); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// Observe reads a BMC in one session; what went wrong is part of the answer.
func (m *Machines) Observe(ctx context.Context, n model.Node) model.ObservedBMC {
	if n.Adopted && n.BMC.Address == "" {
		return model.ObservedBMC{Power: model.PowerUnknown} // the inventory knows of none
	}
	c, err := m.Client(ctx, n)
	if err != nil {
		return model.ObservedBMC{Power: model.PowerUnknown, Error: err.Error()}
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	o := model.ObservedBMC{Reachable: true}
	id, err1 := c.Identity(ctx)
	power, err2 := c.Power(ctx)
	boot, err3 := machine{c}.Boot(ctx)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return model.ObservedBMC{Power: model.PowerUnknown, Error: err.Error()}
		}
	}
	o.Serial, o.Model, o.Power, o.BootOnce = id.Serial, id.Model, model.Power(power), boot
	return o
}
