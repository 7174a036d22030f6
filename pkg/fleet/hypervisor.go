package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/rbd"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// hypervisor adds what virtual machines need beyond libvirt itself.
func (h *Hosts) hypervisor(ctx context.Context, n model.Node, seen kvm.Host, out *model.ObservedHost) {
	if seen.CPU.Model != "" {
		out.CPU = seen.CPU.String()
	}
	id := facts.DiskSecret(h.Desired.Cloud.Name, n.Path.Region())
	for _, s := range seen.Secrets {
		if s.UUID == id && s.Print != "" {
			out.Disks = s.Scope
		}
	}
	if m, ok := h.migration(n); ok && m.Observe(ctx, h.Links.To(n), *h.Authorities, h.Now()) == nil {
		out.Migration = m.Address.String()
	}
}

// migration is how a node takes part in moves of virtual machines; false when it does not.
func (h *Hosts) migration(n model.Node) (kvm.Migration, bool) {
	address, ok := facts.Migration(h.Desired, n)
	return kvm.Migration{Name: n.Name, Address: address}, ok && h.Authorities != nil
}

// canRun refuses a host on which the processor that the inventory promises to virtual machines does not exist.
func (h *Hosts) canRun(ctx context.Context, n model.Node, c *kvm.Conn) error {
	word := facts.CPU(h.Desired, n)
	if word == "" {
		return nil
	}
	cpu, err := kvm.ParseCPU(word)
	if err == nil {
		err = c.CanRun(ctx, cpu)
	}
	if err != nil {
		return fmt.Errorf("%s: cpu_model of profile %s: %w; virsh hypervisor-cpu-baseline over the capabilities of the hosts of a region shows what they have in common", n.Path, n.Profile, err)
	}
	return nil
}

// EnsureStorage gives libvirt its key to the pools in which virtual machines of the region have disks, and the host the cluster's address where it is
// no part of the cluster itself.
func (h *Hosts) EnsureStorage(ctx context.Context, n model.Node) error {
	pools := facts.Disks(h.Desired, n)
	if pools == "" {
		return nil
	}
	mon, err := monitor(ctx, h.Desired, h.Links, h.Epoch, n.Path.Region())
	if err != nil {
		return err
	}
	key, err := rbd.Key(ctx, mon, facts.DiskUser, strings.Split(pools, ","))
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path.Region(), err)
	}
	link := remote.Fenced{Host: h.Links.To(n), Epoch: h.Epoch}
	if !inCeph(n) {
		if err := copyConf(ctx, mon, link); err != nil {
			return fmt.Errorf("%s: %w", n.Path, err)
		}
	}
	c, err := kvm.Connect(ctx, link)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	defer c.Close()
	region := n.Path.Region()
	secret := kvm.Secret{UUID: facts.DiskSecret(h.Desired.Cloud.Name, region), Usage: "client." + facts.DiskUser + " of " + string(region), Scope: pools}
	if _, err := c.EnsureSecret(ctx, secret, key); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// cephConf tells where a cluster's monitors are.
const cephConf = "/etc/ceph/ceph.conf"

func copyConf(ctx context.Context, from, to remote.Host) error {
	text, err := remote.ReadFile(ctx, from, cephConf)
	if err != nil {
		return err
	}
	if _, err := to.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", "/etc/ceph"}}); err != nil {
		return err
	}
	_, err = remote.Ensure(ctx, to, remote.Bytes(cephConf, 0o644, text))
	return err
}

// EnsureMigration prepares the host to take virtual machines from others. On a host whose libvirt runs by itself this is where the hook of a cordon comes
// from, before any machine is there that a restart of libvirt could disturb on its way.
func (h *Hosts) EnsureMigration(ctx context.Context, n model.Node) error {
	m, ok := h.migration(n)
	if !ok {
		return fmt.Errorf("%s has no address on a network of the plane %q", n.Path, model.PlaneMigration)
	}
	link := remote.Fenced{Host: h.Links.To(n), Epoch: h.Epoch}
	if err := kvm.EnsureHook(ctx, link); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if _, err := m.Ensure(ctx, link, *h.Authorities, h.Now()); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// inCeph reports whether a node is part of its region's cluster, and so has the cluster's configuration anyway.
func inCeph(n model.Node) bool {
	return slices.ContainsFunc(n.Roles, func(r model.Role) bool { return strings.HasPrefix(string(r), "ceph-") })
}

// monitor is the first host of a region's Ceph cluster that has a monitor and answers.
func monitor(ctx context.Context, d model.Desired, links *Links, epoch int64, region model.Path) (remote.Host, error) {
	var errs []error
	for _, n := range d.Nodes {
		if n.Path.Region() != region || !slices.Contains(n.Roles, model.RoleCephMon) {
			continue
		}
		link := links.To(n)
		_, err := link.Run(ctx, remote.Command{Argv: []string{"ceph", "--connect-timeout", "60", "quorum_status"}})
		if err == nil {
			return remote.Fenced{Host: link, Epoch: epoch}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", n.Path, err))
	}
	return nil, fmt.Errorf("no monitor of the Ceph cluster of %s answers: %w", region, errors.Join(errs...))
}
