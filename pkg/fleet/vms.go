package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// guestDir is where kernels and ramdisks of virtual machines are kept on a host; their names carry the image's digest.
const guestDir = "/var/lib/libvirt/images/nubo"

// GuestFiles finds kernel and initial ramdisk of a guest image on this machine.
type GuestFiles func(image model.Digest) (kernel, initrd string, err error)

// VMs implements ops.VMs: virtual machines that the inventory declares, under libvirt's authority.
type VMs struct {
	Desired model.Desired
	Links   *Links
	Epoch   int64 // goes with every change
	Images  GuestFiles
	Log     *slog.Logger // nil: nothing is logged
	// Sources opens the file that disks begin with, as the inventory names it.
	Sources func(name string) (io.ReadCloser, error)

	bringing sync.Mutex // one content at a time goes into a pool
}

// Observe looks at one virtual machine on the node that it is declared on.
func (v *VMs) Observe(ctx context.Context, vm model.VM) (model.ObservedVM, error) {
	n, err := v.node(vm)
	if err != nil {
		return model.ObservedVM{}, err
	}
	list, err := v.List(ctx, n, false)
	if err != nil {
		return model.ObservedVM{}, err
	}
	for _, o := range list {
		if o.Name == vm.Name {
			return o, nil
		}
	}
	return model.ObservedVM{}, nil
}

// List lists all virtual machines of a node, with all that decides where they can run and how they move. One that is as the inventory declares it carries
// the declaration's digest. How fast machines write to their memory is measured only where that is asked for: it takes over a second.
func (v *VMs) List(ctx context.Context, n model.Node, rates bool) ([]model.ObservedVM, error) {
	c, err := kvm.Connect(ctx, v.Links.To(n))
	if errors.Is(err, kvm.ErrNotRunning) {
		return nil, nil // no libvirt, no machines: that it is not ready is seen elsewhere
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	h, err := c.Observe(ctx)
	if err != nil {
		return nil, err
	}
	var rate map[string]float64
	if rates {
		rate = measure(ctx, v.Log, v.Links.To(n), n, h.Domains)
	}
	out := make([]model.ObservedVM, len(h.Domains))
	for i, d := range h.Domains {
		out[i] = v.observed(n, h, d)
		out[i].DirtyMiBs = rate[d.Name]
	}
	return out, nil
}

// observed is a domain in the words of an observation.
func (v *VMs) observed(n model.Node, h kvm.Host, d kvm.Observed) model.ObservedVM {
	o := model.ObservedVM{Name: d.Name, Node: n.Path, State: string(d.State), Arriving: d.Arriving, VCPUs: d.VCPUs, MemoryMiB: d.MemoryMiB,
		CPUModel: d.Traits.CPU, Machine: d.Traits.MachineType, Networks: d.Traits.Networks, NUMACells: d.Traits.NUMACells}
	o.Fixed, o.OnDrain = v.policy(d)
	if vm, ok := v.declared(d.Name); ok && d.Ours && len(kvm.Diff(d.Domain, v.domain(vm, h.Accelerated))) == 0 {
		o.Spec = facts.VMSpec(vm, vm.Image.Digest)
	}
	return o
}

// Ensure defines the machine and starts it. One that runs in another form is not touched: nobody's machine is stopped unasked.
func (v *VMs) Ensure(ctx context.Context, vm model.VM, _ model.Digest) error {
	n, err := v.node(vm)
	if err != nil {
		return err
	}
	link := remote.Fenced{Host: v.Links.To(n), Epoch: v.Epoch}
	if err := errors.Join(v.push(ctx, link, vm), v.disks(ctx, vm)); err != nil {
		return fmt.Errorf("virtual machine %s on %s: %w", vm.Name, n.Path, err)
	}
	c, err := kvm.Connect(ctx, link)
	if err != nil {
		return fmt.Errorf("virtual machine %s on %s: %w", vm.Name, n.Path, err)
	}
	defer c.Close()
	h, err := c.Observe(ctx)
	if err != nil {
		return err
	}
	want := v.domain(vm, h.Accelerated)
	runs := false
	for _, d := range h.Domains {
		if d.Name != vm.Name || d.State != kvm.Running {
			continue
		}
		runs = true
		if changes := kvm.Diff(d.Domain, want); len(changes) > 0 {
			return fmt.Errorf("virtual machine %s on %s runs with another description (%s), and changing it would stop it; shut it down with its owner's consent, then apply again",
				vm.Name, n.Path, strings.Join(changes, "; "))
		}
	}
	if !runs {
		if err := cordoned(ctx, link, n); err != nil {
			return fmt.Errorf("virtual machine %s: %w", vm.Name, err)
		}
	}
	if _, err := c.Ensure(ctx, want); err != nil {
		return fmt.Errorf("virtual machine %s on %s: %w", vm.Name, n.Path, err)
	}
	if err := v.alone(ctx, vm, h); err != nil {
		return fmt.Errorf("virtual machine %s on %s: %w", vm.Name, n.Path, err)
	}
	if err := c.Start(ctx, vm.Name); err != nil {
		return fmt.Errorf("virtual machine %s on %s: %w", vm.Name, n.Path, err)
	}
	return nil
}

// push brings kernel and ramdisk of the guest to the host.
func (v *VMs) push(ctx context.Context, h remote.Host, vm model.VM) error {
	if vm.Image.Name == "" {
		return nil
	}
	kernel, initrd, err := v.Images(vm.Image.Digest)
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", guestDir}}); err != nil {
		return err
	}
	want := v.domain(vm, false)
	return errors.Join(pushFile(ctx, h, kernel, want.Kernel), pushFile(ctx, h, initrd, want.Initrd))
}

func pushFile(ctx context.Context, h remote.Host, from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = remote.Ensure(ctx, h, remote.File{Path: to, Mode: 0o644, Content: f})
	return err
}

func (v *VMs) node(vm model.VM) (model.Node, error) {
	for _, n := range v.Desired.Nodes {
		if n.Path == vm.Node {
			return n, nil
		}
	}
	return model.Node{}, fmt.Errorf("virtual machine %s: node %q is not in the inventory", vm.Name, vm.Node)
}

// declared finds a machine by name: it may have moved from the node on which it was declared to start.
func (v *VMs) declared(name string) (model.VM, bool) {
	for _, vm := range v.Desired.VMs {
		if vm.Name == name {
			return vm, true
		}
	}
	return model.VM{}, false
}

// domain is a declared machine in libvirt's terms.
func (v *VMs) domain(vm model.VM, accelerated bool) kvm.Domain {
	prefix := path.Join(guestDir, vm.Image.Digest.Short())
	d := kvm.Domain{
		Name: vm.Name, VCPUs: vm.VCPUs, MemoryMiB: vm.MemoryMiB, Accelerated: accelerated,
		// A host that was given up and comes back must not start, by itself, what has been started elsewhere on the same disk.
		Autostart:  len(vm.Disks) == 0,
		ConsoleLog: "/var/log/libvirt/qemu/" + vm.Name + ".console.log",
	}
	if n, err := v.node(vm); err == nil {
		d.CPU = facts.CPU(v.Desired, n)
	}
	if vm.Image.Name != "" {
		d.Kernel, d.Initrd, d.Cmdline = prefix+"-vmlinuz", prefix+"-initrd", "console=ttyS0 nubo.name="+vm.Name
	}
	for _, k := range vm.Disks {
		d.Disks = append(d.Disks, kvm.Disk{Format: "raw", Pool: k.Pool, Image: facts.DiskImage(vm, k), User: facts.DiskUser,
			Secret: facts.DiskSecret(v.Desired.Cloud.Name, vm.Node.Region())})
	}
	for _, nic := range vm.NICs {
		d.NICs = append(d.NICs, kvm.NIC{Bridge: nic.Bridge, VLAN: nic.VLAN, MAC: strings.ToLower(nic.MAC)})
		if nic.Address != "" && d.Kernel != "" {
			d.Cmdline += " nubo.ip=" + nic.Address
		}
	}
	return d
}
