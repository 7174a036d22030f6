package netboot

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// ipxeFeatureHTTP is the sub-option of option 175 by which an iPXE says that it can do HTTP (ipxe.org/dhcpopts).
const ipxeFeatureHTTP = 19

// clientOf reads who is asking. ok is false for packets that are not an Ethernet client's DHCP request.
func clientOf(m *dhcpv4.DHCPv4) (c Client, ok bool) {
	mac := m.ClientHWAddr
	if m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet || len(mac) != 6 || mac[0]&1 != 0 {
		return Client{}, false
	}
	c = Client{MAC: mac, UUID: uuidOf(m), Stage: stageOf(m)}
	if archs := m.ClientArch(); len(archs) > 0 {
		c.Arch = Arch(archs[0])
	}
	if gi, valid := netip.AddrFromSlice(m.GatewayIPAddr.To4()); valid && !gi.IsUnspecified() {
		c.GIAddr = gi
	}
	return c, m.MessageType() != dhcpv4.MessageTypeNone
}

// stageOf looks for iPXE first: it also says PXEClient, and would be given itself for ever. An iPXE without HTTP is
// firmware like any other, and gets ours.
func stageOf(m *dhcpv4.DHCPv4) Stage {
	class := m.ClassIdentifier()
	switch {
	case ipxeHasHTTP(m.GetOneOption(dhcpv4.OptionEtherboot)):
		return StageIPXE
	case strings.HasPrefix(class, "HTTPClient"):
		return StageHTTPClient
	case strings.HasPrefix(class, "PXEClient"):
		return StageFirmware
	default:
		return StageOS
	}
}

func ipxeHasHTTP(encapsulated []byte) bool {
	features := dhcpv4.Options{}
	if err := features.FromBytes(encapsulated); err != nil {
		return false
	}
	return features.Has(dhcpv4.GenericOptionCode(ipxeFeatureHTTP))
}

// uuidOf formats option 97: a type byte of 0 and sixteen bytes (RFC 4578, 2.3).
func uuidOf(m *dhcpv4.DHCPv4) string {
	id := m.GetOneOption(dhcpv4.OptionClientMachineIdentifier)
	if len(id) != 17 || id[0] != 0 {
		return ""
	}
	id = id[1:]
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
