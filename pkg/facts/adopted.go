package facts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// adopted is what was seen of a cluster that somebody else made, as far as it is compared: which file configures its daemons, and which disks could be more
// OSDs, is his matter.
func adopted(c model.ObservedCeph) model.ObservedCeph {
	c.Hosts = slices.Clone(c.Hosts)
	for i := range c.Hosts {
		c.Hosts[i].Declared, c.Hosts[i].Disks = true, nil
	}
	return c
}

// placed gives OSDs of a node the names of the inventory for the places that they are in, as far as these are the node's: a bucket of somebody else's may be
// called by the place's own name, and there may be several for a host ("blade-01-ssd"). Types of places that the cluster does not use are not compared.
func placed(list []model.ObservedOSD, n model.Node) []model.ObservedOSD {
	own := map[string]string{"zone": n.Path.Zone().Name(), "rack": n.Path.Rack().Name(), "chassis": n.Chassis.Name()}
	out := slices.Clone(list)
	for i := range out {
		at := map[string]string{}
		for _, b := range CrushLocation(n) {
			at[b.Type] = b.Name
			have, used := out[i].Location[b.Type]
			same := b.Type == "root" || have == b.Name || PlaceWord(have) == own[b.Type] || (b.Type == "host" && strings.HasPrefix(have, n.Name+"-"))
			if used && !same {
				at[b.Type] = have
			}
		}
		out[i].Location = at
	}
	return out
}

// BridgesDiffer tells how bridges that were seen are not as wanted, bridge by bridge; what is wanted is in the form of Bridges. Bridges that nobody wants are
// left out.
func BridgesDiffer(want, have []model.Bridge) []string {
	var out []string
	for _, w := range want {
		i := slices.IndexFunc(have, func(h model.Bridge) bool { return h.Name == w.Name })
		if i < 0 {
			out = append(out, "bridge "+w.Name+" is not there")
			continue
		}
		a, b := canonical(w), canonical(have[i])
		for _, p := range []struct{ what, want, have string }{
			{"uplink", a.Uplink, b.Uplink}, {"bond", bondText(a.Bond), bondText(b.Bond)}, {"MTU", mtuText(a.MTU), mtuText(b.MTU)},
			{"MTU of the uplink", mtuText(a.UplinkMTU), mtuText(b.UplinkMTU)}, {"ports", vlansText(a.VLANs), vlansText(b.VLANs)},
		} {
			if p.want != p.have {
				out = append(out, fmt.Sprintf("bridge %s: %s %s, not %s", w.Name, p.what, cmp.Or(p.have, "none"), cmp.Or(p.want, "none")))
			}
		}
	}
	return out
}

func bondText(b *model.Bond) string {
	if b == nil {
		return ""
	}
	return strings.TrimSpace(b.Mode + " of " + strings.Join(b.Members, "+") + " " + map[bool]string{true: "LACP " + b.LACP}[b.LACP != ""])
}

func mtuText(n int) string { return fmt.Sprint(cmp.Or(n, 1500)) }

func vlansText(list []model.BridgeVLAN) string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprintf("%s (tag %d, MTU %d)", v.Port, v.Tag, cmp.Or(v.MTU, 1500)))
	}
	return strings.Join(out, " ")
}

// PlaceWord is the name of a CRUSH bucket as the inventory writes it: lower-case letters, digits and hyphens.
func PlaceWord(bucket string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return '-'
		}
		return r
	}, strings.ToLower(bucket)), "-")
}
