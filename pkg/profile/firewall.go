package profile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// ports of each plane, as nftables writes them. Ceph: monitors on 3300 (msgr2) and 6789, daemons from 6800 to 7568 (ms_bind_port_min, ms_bind_port_max);
// libvirt over TLS and QEMU's incoming migrations (migration_port_min, migration_port_max of qemu.conf); S3 by HTTP and HTTPS.
var ports = map[model.Plane]string{
	model.PlaneManagement: "22",
	model.PlaneStorage:    "3300, 6789, 6800-7568",
	model.PlaneMigration:  "16514, 49152-49215",
	model.PlanePublic:     "80, 443",
}

// firewall lets in what a network's planes name and nothing else, as soon as one network of the cloud names any. Virtual machines' traffic goes through Open
// vSwitch's datapath and not through these rules.
func firewall(in Input, p model.Profile, c *config) diag.List {
	var diags diag.List
	if !slices.ContainsFunc(in.Desired.Networks, func(n model.Network) bool { return len(n.Planes) > 0 }) {
		return nil
	}
	if own := addressed(in, p); len(own) > 0 && !slices.Contains(own[0].net.Planes, model.PlaneManagement) {
		diags.Errorf(diag.Range{}, `add "management" to its planes`,
			"node %s is reached over network %s, which does not carry the plane %q: its firewall would shut nuboctl out", in.Node.Path, own[0].net.Name, model.PlaneManagement)
		return diags
	}
	var b strings.Builder
	b.WriteString("#!/usr/sbin/nft -f\n" + header + firewallHead)
	for _, i := range addressed(in, p) {
		for _, plane := range model.Planes() {
			if !slices.Contains(i.net.Planes, plane) {
				continue
			}
			from := ""
			if plane == model.PlaneStorage || plane == model.PlaneMigration { // among hosts only
				from = "ip saddr " + i.net.CIDR.Masked().String() + " "
			}
			fmt.Fprintf(&b, "\t\tiifname %q %stcp dport { %s } accept comment %q\n", i.name, from, ports[plane], plane)
		}
	}
	b.WriteString(gatewayRule(in, p))
	b.WriteString(firewallTail)
	c.file("/etc/nftables.conf", 0o644, b.String())
	c.enable("nftables.service")
	return nil
}

// gatewayRule lets in what is for the node's object gateway, where the inventory says on which network or port it serves. Where it says nothing, the gateway is
// on a port that hosts of the storage plane may reach.
func gatewayRule(in Input, p model.Profile) string {
	for _, r := range in.Desired.Regions {
		if r.Path != in.Node.Path.Region() || r.Ceph == nil || r.Ceph.S3 == nil || !slices.Contains(in.Node.Roles, model.RoleCephRGW) {
			continue
		}
		for _, i := range addressed(in, p) {
			if i.net.Name == r.Ceph.GatewayNetwork(r.Ceph.Network) {
				return fmt.Sprintf("\t\tiifname %q tcp dport %d accept comment \"S3\"\n", i.name, r.Ceph.GatewayPort())
			}
		}
	}
	return ""
}

// firewallHead replaces the table in one transaction: there is no moment without rules.
const firewallHead = `
table inet nubo
delete table inet nubo

table inet nubo {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		meta l4proto { icmp, ipv6-icmp } accept
`

const firewallTail = `	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
`

// attached is an interface of the host with an address.
type attached struct {
	name string
	net  model.Network
}

// addressed lists interfaces with addresses in the order in which nuboctl tries them: cards, or the bridges that took their address, then ports.
func addressed(in Input, p model.Profile) []attached {
	h := hostNetwork{in: in, profile: p, bridgeOf: map[string]*model.Bridge{}, first: map[string]string{}}
	h.assign()
	var out []attached
	add := func(name, net string) {
		if n := network(in.Desired, net); n != nil {
			out = append(out, attached{name, *n})
		}
	}
	for _, nic := range in.Node.NICs {
		switch br := h.bridgeOf[nic.Name]; {
		case !nic.Address.IsValid():
		case br == nil:
			add(nic.Name, nic.Network)
		case h.first[br.Name] == nic.Name:
			add(br.Name, h.bridgeNetwork(br))
		}
	}
	for _, port := range in.Node.Ports {
		if port.Address.IsValid() {
			add(port.Name, port.Network)
		}
	}
	return out
}
