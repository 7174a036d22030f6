package profile

import (
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// script is /usr/lib/nubo/network: it makes the bridges be, from nothing or from what is there, in one transaction of Open vSwitch. It removes
// only ports that it made itself, which it knows by their external id; the ports of virtual machines are not touched.
func (h *hostNetwork) script() string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n" + header + "set -eu\n")
	b.WriteString(scriptNames)
	for i, nic := range h.in.Node.NICs {
		fmt.Fprintf(&b, "aside %d %s %s\n", i, nic.MAC, nic.Name)
	}
	for i, nic := range h.in.Node.NICs {
		fmt.Fprintf(&b, "settle %d %s\n", i, nic.Name)
	}
	b.WriteString("\nexec_ovs() { ovs-vsctl --timeout=60 \"$@\"; }\n")
	b.WriteString(scriptPrune)
	fmt.Fprintf(&b, "prune %s\n", strings.Join(h.ownPorts(), " "))
	b.WriteString("exec_ovs")
	for i := range h.profile.Bridges {
		for _, cmd := range h.bridgeCommands(&h.profile.Bridges[i]) {
			b.WriteString(" \\\n  -- " + cmd)
		}
	}
	b.WriteString("\n")
	for i := range h.profile.Bridges {
		fmt.Fprintf(&b, "ip link set %s up\n", h.profile.Bridges[i].Name)
	}
	return b.String()
}

// scriptNames gives cards the names of the inventory by MAC address, in two steps, so that two may swap. udev has usually done it already.
const scriptNames = `
udevadm settle --timeout=120 || true

# card MAC: the physical card with this address
card() {
	for dev in /sys/class/net/*; do
		if [ -e "$dev/device" ] && [ "$(cat "$dev/address")" = "$1" ]; then
			basename "$dev"
			return
		fi
	done
	echo "nubo-network: no card has the address $1" >&2
}

# aside N MAC NAME: a card with another name steps aside
aside() {
	have=$(card "$2")
	if [ -n "$have" ] && [ "$have" != "$3" ]; then
		ip link set "$have" down
		ip link set "$have" name "nubo-card$1"
	fi
}

# settle N NAME: it takes its own
settle() {
	if [ -e "/sys/class/net/nubo-card$1" ]; then
		if [ -e "/sys/class/net/$2/device" ]; then
			ip link set "$2" down
			ip link set "$2" name "nubo-spare$1"
		fi
		ip link set "nubo-card$1" name "$2"
	fi
	if [ -e "/sys/class/net/$2" ]; then
		ip link set "$2" up
	fi
}

`

// scriptPrune removes ports that an earlier configuration made and this one does not want.
const scriptPrune = `
# prune PORT...: of the ports that nuboctl made, only these stay
prune() {
	for have in $(exec_ovs --bare --columns=name find Port external-ids:nubo=yes); do
		case " $* " in
		*" $have "*) ;;
		*) exec_ovs --if-exists del-port "$have" ;;
		esac
	done
}
`

// ownPorts are the uplinks and internal ports of all bridges.
func (h *hostNetwork) ownPorts() []string {
	var out []string
	for _, br := range h.profile.Bridges {
		if br.Uplink != "" {
			out = append(out, br.Uplink)
		}
		for _, v := range br.VLANs {
			out = append(out, v.Port)
		}
	}
	return out
}

// bridgeCommands are ovs-vsctl commands that may be repeated without harm (ovs-vsctl(8)).
func (h *hostNetwork) bridgeCommands(br *model.Bridge) []string {
	mtu := h.bridgeMTU(br)
	cmds := []string{"--may-exist add-br " + br.Name}
	if nic := h.nic(h.first[br.Name]); nic != nil {
		cmds = append(cmds, fmt.Sprintf(`set Bridge %s other-config:hwaddr=\"%s\"`, br.Name, nic.MAC))
	}
	cmds = append(cmds, fmt.Sprintf("set Interface %s mtu_request=%d", br.Name, h.mtu(h.bridgeNetwork(br))))
	cmds = append(cmds, h.uplinkCommands(br, mtu)...)
	for _, v := range br.VLANs {
		net := network(h.in.Desired, v.Network)
		tag := 0
		if net != nil {
			tag = net.VLAN
		}
		cmds = append(cmds,
			fmt.Sprintf("--may-exist add-port %s %s", br.Name, v.Port),
			fmt.Sprintf("set Port %s tag=%d external-ids:nubo=yes", v.Port, tag),
			fmt.Sprintf(`set Interface %s type=internal mac=\"%s\" mtu_request=%d`, v.Port, portMAC(h.in.Node.Path, v.Port), h.mtu(v.Network)))
	}
	return cmds
}

func (h *hostNetwork) uplinkCommands(br *model.Bridge, mtu int) []string {
	if br.Uplink == "" {
		return nil
	}
	for _, bond := range h.profile.Bonds {
		if bond.Name != br.Uplink {
			continue
		}
		lacp := "off"
		if bond.Mode == "balance-tcp" {
			lacp = "active"
		}
		cmds := []string{
			fmt.Sprintf("--may-exist add-bond %s %s %s", br.Name, bond.Name, strings.Join(bond.Members, " ")),
			fmt.Sprintf("set Port %s bond_mode=%s lacp=%s bond_updelay=200 external-ids:nubo=yes", bond.Name, bond.Mode, lacp),
		}
		for _, m := range bond.Members {
			cmds = append(cmds, fmt.Sprintf("set Interface %s mtu_request=%d", m, mtu))
		}
		return cmds
	}
	return []string{
		fmt.Sprintf("--may-exist add-port %s %s", br.Name, br.Uplink),
		fmt.Sprintf("set Port %s external-ids:nubo=yes", br.Uplink),
		fmt.Sprintf("set Interface %s mtu_request=%d", br.Uplink, mtu),
	}
}
