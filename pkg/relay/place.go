package relay

import (
	"fmt"
	"net"
	"net/netip"
)

// Place finds this machine's interface and address on a network: the interface with exactly the address, where one is given, otherwise the first
// with an address in the network. The interface is empty when there is none.
func Place(want netip.Addr, network netip.Prefix) (string, netip.Addr, error) {
	list, err := net.Interfaces()
	if err != nil {
		return "", netip.Addr{}, fmt.Errorf("list this machine's interfaces: %w", err)
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone in between
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && (p.Addr() == want || (!want.IsValid() && network.Contains(p.Addr()))) {
				return i.Name, p.Addr(), nil
			}
		}
	}
	return "", netip.Addr{}, nil
}
