package facts

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// DiskUser is the Ceph user, without "client.", under whose key virtual machines have their disks.
const DiskUser = "nubo-vms"

// DiskSecret is the UUID under which libvirt keeps that key: the same on every host of a region, so that a description means the same on each.
func DiskSecret(cloud string, region model.Path) string {
	sum := sha256.Sum256([]byte("nuboctl disk secret\x00" + cloud + "\x00" + string(region)))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // RFC 9562, section 5.8
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// DiskImage is the name of the image of a virtual machine's disk in its pool.
func DiskImage(vm model.VM, disk model.VMDisk) string { return vm.Name + "-" + disk.Name }

// Disks is the value of plan.AttrDisks of a node that carries virtual machines: the pools of its region in which any of them has a disk, sorted. So
// every one of them can move to it.
func Disks(d model.Desired, n model.Node) string {
	if !slices.Contains(n.Roles, model.RoleCompute) {
		return ""
	}
	pools := map[string]bool{}
	var out []string
	for _, vm := range d.VMs {
		if vm.Node.Region() != n.Path.Region() {
			continue
		}
		for _, k := range vm.Disks {
			if !pools[k.Pool] {
				pools[k.Pool] = true
				out = append(out, k.Pool)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Migration is the address at which a node takes virtual machines from others: its first on a network of the plane "migration". It is the
// value of plan.AttrMove.
func Migration(d model.Desired, n model.Node) (netip.Addr, bool) {
	if !slices.Contains(n.Roles, model.RoleCompute) {
		return netip.Addr{}, false
	}
	carries := func(network string) bool {
		return slices.Contains(networkOf(d, network).Planes, model.PlaneMigration)
	}
	for _, nic := range n.NICs {
		if nic.Address.IsValid() && carries(nic.Network) {
			return nic.Address.Addr(), true
		}
	}
	for _, p := range n.Ports {
		if p.Address.IsValid() && carries(p.Network) {
			return p.Address.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// CPU is the processor that virtual machines on a node see, as its profile says; empty: the host's own.
func CPU(d model.Desired, n model.Node) string { return profileOf(d, n.Profile).CPUModel }
