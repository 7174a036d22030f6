package profile

import (
	"net/netip"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// migration lays down what a host needs, besides its certificates, to take virtual machines from others as soon as it has booted. The certificates
// are made on the host once (op kvm.migration) and outlive its slots in /etc/libvirt.
func migration(in Input, c *config) {
	address, ok := onPlane(in, model.PlaneMigration)
	if !ok || !slices.Contains(in.Node.Roles, model.RoleCompute) {
		return
	}
	for _, dir := range []string{"CA", "libvirt", "qemu"} {
		c.link("/etc/pki/"+dir, "/etc/libvirt/pki/"+dir)
	}
	c.file("/etc/systemd/system/libvirtd-tls.socket.d/10-nubo.conf", 0o644, header+"[Unit]\nConditionPathExists=/etc/libvirt/pki/libvirt/servercert.pem\n\n"+
		"[Socket]\nListenStream=\nListenStream="+netip.AddrPortFrom(address, 16514).String()+"\nFreeBind=yes\n")
	c.enable("libvirtd-tls.socket")
}

// onPlane is the node's first address on a network of a plane.
func onPlane(in Input, p model.Plane) (netip.Addr, bool) {
	carries := func(name string) bool {
		n := network(in.Desired, name)
		return n != nil && slices.Contains(n.Planes, p)
	}
	for _, nic := range in.Node.NICs {
		if nic.Address.IsValid() && carries(nic.Network) {
			return nic.Address.Addr(), true
		}
	}
	for _, port := range in.Node.Ports {
		if port.Address.IsValid() && carries(port.Network) {
			return port.Address.Addr(), true
		}
	}
	return netip.Addr{}, false
}
