package inventory

import (
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// checkNodeProfile checks that a node has what its profile builds on: cards for bonds and uplinks, disks for roles.
func (b *builder) checkNodeProfile(o *object, n *model.Node, p *model.Profile) {
	cards := map[string]*model.NIC{}
	for i := range n.NICs {
		cards[n.NICs[i].Name] = &n.NICs[i]
	}
	po := b.inv.objects["profile/"+p.Name]
	bonds := map[string]model.Bond{}
	for _, bond := range p.Bonds {
		bonds[bond.Name] = bond
		b.checkMembers(o, n, bond, cards, po)
	}
	b.checkNames(n, p, cards)
	for _, br := range p.Bridges {
		if br.Uplink == "" {
			continue
		}
		carrier := cards[br.Uplink]
		if bond, ok := bonds[br.Uplink]; ok && len(bond.Members) > 0 {
			carrier = cards[bond.Members[0]]
		} else if carrier == nil {
			at := b.inv.objects["profile/"+p.Name+"/bridge/"+br.Name]
			b.errorf(at.where("uplink"), didYouMean(br.Uplink, append(keysOf(cards), keysOf(bonds)...), "add the card to the node"), "the uplink %q of bridge %s is neither a bond nor a card of node %s", br.Uplink, br.Name, n.Path)
		}
		if carrier != nil && br.Network != "" && carrier.Network != "" && br.Network != carrier.Network {
			at := b.inv.objects["profile/"+p.Name+"/bridge/"+br.Name]
			b.errorf(at.where("network"), "make them the same, or leave one out", "bridge %s is on network %s, but its card %s of node %s is on %s", br.Name, br.Network, carrier.Name, n.Path, carrier.Network)
		}
	}
	b.checkDisks(o, n, po)
}

// checkNames finds two interfaces of a host that would have one name: cards, bonds, bridges and their ports share one space.
func (b *builder) checkNames(n *model.Node, p *model.Profile, cards map[string]*model.NIC) {
	taken := map[string]string{}
	for name := range cards {
		taken[name] = "a card of node " + string(n.Path)
	}
	claim := func(noun, what, name string) {
		if other, dup := taken[name]; dup {
			b.errorf(b.inv.objects["profile/"+p.Name+noun].where("name"), "rename one: interfaces of a host share their names", "%s is %s and %s", name, what, other)
			return
		}
		taken[name] = what + " of profile " + p.Name
	}
	for _, bond := range p.Bonds {
		claim("/bond/"+bond.Name, "a bond", bond.Name)
	}
	for _, br := range p.Bridges {
		claim("/bridge/"+br.Name, "a bridge", br.Name)
		for _, v := range br.VLANs {
			claim("/bridge/"+br.Name+"/"+v.Port, "a port of bridge "+br.Name, v.Port)
		}
	}
}

func (b *builder) checkMembers(o *object, n *model.Node, bond model.Bond, cards map[string]*model.NIC, po *object) {
	for i, m := range bond.Members {
		card := cards[m]
		if card == nil {
			at := o.at()
			if c := b.inv.objects["profile/"+po.name+"/bond/"+bond.Name]; c != nil {
				at = c.where("members")
			}
			b.errorf(at, didYouMean(m, keysOf(cards), "add the card to the node"), "member %q of bond %s is no card of node %s", m, bond.Name, n.Path)
			continue
		}
		if i > 0 && card.Address.IsValid() {
			at := b.inv.objects[string(n.Path)+"/nic/"+m]
			b.errorf(at.where("address"), "give the address to the bond's first member, "+bond.Members[0], "card %s is in bond %s and cannot have an address of its own", m, bond.Name)
		}
	}
}

func (b *builder) checkDisks(o *object, n *model.Node, po *object) {
	if n.Adopted {
		return // no disk of it is ever written
	}
	if n.RootDevice.IsZero() && po.first("root_device") == nil && o.first("root_device") == nil {
		b.errorf(po.at(), "add: root_device { serial = \"…\" }, to the profile or the node", "node %s has no root_device, so no disk may be written", n.Path)
	}
	if hasRole(n, model.RoleCephOSD) && n.OSDDevice.IsZero() && po.first("osd_device") == nil && o.first("osd_device") == nil {
		b.errorf(po.at(), "add: osd_device { serial = \"…\" }, to the profile or the node", "node %s has role ceph-osd but no osd_device", n.Path)
	}
	if exact := sameDisk(n.RootDevice, n.OSDDevice); exact != "" && hasRole(n, model.RoleCephOSD) {
		at := o
		if o.first("osd_device") == nil {
			at = po
		}
		b.errorf(at.first("osd_device").at(), "name another disk for the OSD", "node %s: root_device and osd_device are the same disk, %s", n.Path, exact)
	}
	for _, s := range n.Consent {
		if strings.TrimSpace(s) == "" || strings.Contains(s, "*") {
			b.errorf(o.where("consent"), "name each disk by its whole serial number", "consent %q is not the serial number of one disk", s)
		}
	}
}

// sameDisk is what two hints name, when both name one and the same disk and no other.
func sameDisk(root, osd model.DeviceHints) string {
	for _, pair := range [][2]string{{root.Serial, osd.Serial}, {root.WWN, osd.WWN}, {root.HCTL, osd.HCTL}} {
		if pair[0] != "" && pair[0] == pair[1] && !strings.HasSuffix(pair[0], "*") {
			return pair[0]
		}
	}
	return ""
}

func hasRole(n *model.Node, r model.Role) bool {
	for _, x := range n.Roles {
		if x == r {
			return true
		}
	}
	return false
}
