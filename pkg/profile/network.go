package profile

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// defaultMTU is Ethernet's, in bytes.
const defaultMTU = 1500

// networking lays down names of cards, addresses, and the script that makes bridges.
func networking(in Input, p model.Profile, c *config) {
	h := hostNetwork{in: in, profile: p, bridgeOf: map[string]*model.Bridge{}, first: map[string]string{}}
	h.assign()
	for _, nic := range in.Node.NICs {
		c.file("/etc/systemd/network/10-"+nic.Name+".link", 0o644, h.link(nic))
		c.file("/etc/systemd/network/20-"+nic.Name+".network", 0o644, h.card(nic))
	}
	for i := range p.Bridges {
		br := &p.Bridges[i]
		c.file("/etc/systemd/network/30-"+br.Name+".network", 0o644, h.internal(br.Name, h.bridgeNetwork(br), h.bridgeAddress(br)))
		for _, v := range br.VLANs {
			c.file("/etc/systemd/network/30-"+v.Port+".network", 0o644, h.internal(v.Port, v.Network, h.portAddress(v.Port)))
		}
	}
	if len(p.Bridges) == 0 {
		return
	}
	c.enable("openvswitch-switch.service")
	c.file("/usr/lib/nubo/network", 0o755, h.script())
	c.unit("nubo-network.service", networkUnit)
}

// networkUnit runs before anything waits for the network. The script may run again at any time.
const networkUnit = `# Written by nuboctl.
[Unit]
Description=Open vSwitch bridges of this host
Documentation=file:/usr/lib/nubo/network
Requires=openvswitch-switch.service
After=openvswitch-switch.service
Before=network.target network-online.target systemd-networkd-wait-online.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/nubo/network
ExecReload=/usr/lib/nubo/network

[Install]
WantedBy=multi-user.target
`

// hostNetwork is one node's network as its profile wants it.
type hostNetwork struct {
	in       Input
	profile  model.Profile
	bridgeOf map[string]*model.Bridge // by card: the bridge that it, or its bond, carries
	first    map[string]string        // by bridge: the card whose MAC address and IP address it takes
}

func (h *hostNetwork) assign() {
	bonds := map[string]model.Bond{}
	for _, b := range h.profile.Bonds {
		bonds[b.Name] = b
	}
	for i := range h.profile.Bridges {
		br := &h.profile.Bridges[i]
		members := []string{br.Uplink}
		if b, ok := bonds[br.Uplink]; ok {
			members = b.Members
		}
		for j, m := range members {
			if m == "" {
				continue
			}
			h.bridgeOf[m] = br
			if j == 0 {
				h.first[br.Name] = m
			}
		}
	}
}

func (h *hostNetwork) nic(name string) *model.NIC {
	for i := range h.in.Node.NICs {
		if h.in.Node.NICs[i].Name == name {
			return &h.in.Node.NICs[i]
		}
	}
	return nil
}

func (h *hostNetwork) bridgeNetwork(br *model.Bridge) string {
	if br.Network != "" {
		return br.Network
	}
	if nic := h.nic(h.first[br.Name]); nic != nil {
		return nic.Network
	}
	return ""
}

// bridgeAddress is that of the card beneath: it moves to the bridge.
func (h *hostNetwork) bridgeAddress(br *model.Bridge) netip.Prefix {
	if nic := h.nic(h.first[br.Name]); nic != nil {
		return nic.Address
	}
	return netip.Prefix{}
}

func (h *hostNetwork) portAddress(port string) netip.Prefix {
	for _, p := range h.in.Node.Ports {
		if p.Name == port {
			return p.Address
		}
	}
	return netip.Prefix{}
}

func (h *hostNetwork) mtu(name string) int {
	if n := network(h.in.Desired, name); n != nil && n.MTU > 0 {
		return n.MTU
	}
	return defaultMTU
}

// bridgeMTU is the greatest of what goes over the bridge, where the profile does not say.
func (h *hostNetwork) bridgeMTU(br *model.Bridge) int {
	if br.MTU > 0 {
		return br.MTU
	}
	most := h.mtu(h.bridgeNetwork(br))
	for _, v := range br.VLANs {
		most = max(most, h.mtu(v.Network))
	}
	return most
}

// match finds a card by its MAC address. The internal port of a bridge has the same address, so that driver is left out.
func match(nic model.NIC) string {
	return fmt.Sprintf("[Match]\nMACAddress=%s\nDriver=!openvswitch\n", nic.MAC)
}

// link gives a card its name, whatever order the kernel finds cards in (systemd.link(5)).
func (h *hostNetwork) link(nic model.NIC) string {
	mtu := h.mtu(nic.Network)
	if br := h.bridgeOf[nic.Name]; br != nil {
		mtu = h.bridgeMTU(br)
	}
	return fmt.Sprintf("%s%s\n[Link]\nNamePolicy=\nName=%s\nMTUBytes=%d\n", header, match(nic), nic.Name, mtu)
}

// card configures a card: nothing but "up" when it carries a bridge or has no address (systemd.network(5)).
func (h *hostNetwork) card(nic model.NIC) string {
	if h.bridgeOf[nic.Name] == nil && nic.Address.IsValid() {
		return header + match(nic) + "\n" + h.addressing(nic.Network, nic.Address, nic.Name)
	}
	return header + match(nic) + "\n[Link]\nRequiredForOnline=no\n\n[Network]\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
}

// internal configures an internal port of a bridge.
func (h *hostNetwork) internal(port, net string, address netip.Prefix) string {
	head := header + "[Match]\nName=" + port + "\n\n"
	if !address.IsValid() {
		return head + "[Link]\nRequiredForOnline=no\n\n[Network]\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
	}
	return head + h.addressing(net, address, port)
}

// addressing is a static address; the default route goes over one network only.
func (h *hostNetwork) addressing(net string, address netip.Prefix, iface string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Network]\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nAddress=%s\n", address)
	if n := network(h.in.Desired, net); n != nil && n.Gateway.IsValid() && h.routed() == iface {
		fmt.Fprintf(&b, "Gateway=%s\n", n.Gateway)
	}
	return b.String()
}

// routed is the interface of the default route: the first with an address on a network that has a gateway, cards before ports.
func (h *hostNetwork) routed() string {
	for _, nic := range h.in.Node.NICs {
		if n := network(h.in.Desired, nic.Network); n != nil && n.Gateway.IsValid() && nic.Address.IsValid() {
			if br := h.bridgeOf[nic.Name]; br != nil {
				return br.Name
			}
			return nic.Name
		}
	}
	for _, p := range h.in.Node.Ports {
		if n := network(h.in.Desired, p.Network); n != nil && n.Gateway.IsValid() && p.Address.IsValid() {
			return p.Name
		}
	}
	return ""
}

// portMAC is a locally administered address for an internal port, the same at every boot and in every slot.
func portMAC(node model.Path, port string) string {
	sum := sha256.Sum256([]byte(string(node) + "/" + port))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4])
}
