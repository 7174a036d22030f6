package relay

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/netboot"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Machine is a machine that the relay gives an address to. Machines that are not listed get no answer at all.
type Machine struct {
	MAC      string       `json:"mac"`
	Hostname string       `json:"hostname"`
	Domain   string       `json:"domain,omitempty"`
	Address  netip.Prefix `json:"address"`
	Router   netip.Addr   `json:"router,omitzero"`
	DNS      []netip.Addr `json:"dns,omitempty"`
	NTP      []netip.Addr `json:"ntp,omitempty"`
	MTU      uint16       `json:"mtu,omitempty"`
}

// Decide answers what a machine may have. It changes nothing: it is asked for every packet, also those whose answer is lost.
func (r *Relay) Decide(_ context.Context, c netboot.Client) (netboot.Answer, error) {
	mac := strings.ToLower(c.MAC.String())
	m, ok := r.book.machine(mac)
	if !ok {
		return netboot.Answer{}, nil
	}
	answer := netboot.Answer{Known: true, Lease: netboot.Lease{
		Address: m.Address, Router: m.Router, DNS: m.DNS, NTP: m.NTP, Domain: m.Domain, Hostname: m.Hostname, MTU: m.MTU,
	}}
	rec, ok := r.book.expected(mac)
	if !ok {
		return answer, nil
	}
	o := rec.Record.Order
	answer.Boot = &netboot.Boot{
		Title:   fmt.Sprintf("%s: %s %s", o.Hostname, o.Goal, o.Image.Name),
		Kernel:  "/boot/" + rec.Boot.Kernel,
		Initrd:  "/boot/" + rec.Boot.Initrd,
		Cmdline: r.cmdline(o, mac),
	}
	return answer, nil
}

// cmdline tells the ramdisk where its relay is and which order to take. BOOTIF is PXELINUX's form of the booting card's address.
func (r *Relay) cmdline(o order.Order, mac string) string {
	return fmt.Sprintf("nubo.relay=%s nubo.order=%s BOOTIF=01-%s console=tty0 console=ttyS0,115200 panic=60",
		r.server.BaseURL(), o.ID, strings.ReplaceAll(mac, ":", "-"))
}
