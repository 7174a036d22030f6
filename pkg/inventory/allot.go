package inventory

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"sort"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// firstHost is the lowest host number that is allotted: routers, relays and the like live below.
const firstHost = 10

// AddressKey names a card or port of a node in the results of Allot: "lab/r1/az1/a/blade-01/eth0".
func AddressKey(node model.Path, iface string) string { return string(node) + "/" + iface }

// Allot gives an address to every card and port that is on a network and has none of its own. What was given before (from the state store,
// by AddressKey) is kept while it still fits; others get the lowest free host number from 10 in the order of paths. Addresses of
// gateways, relays, BMCs, virtual machines, and reserved ones are passed over. The result holds all addresses, static ones too. It is a pure
// function of its arguments.
func Allot(d model.Desired, given map[string]netip.Addr) (map[string]netip.Prefix, error) {
	a := &allotter{out: map[string]netip.Prefix{}, used: map[netip.Addr]bool{}, next: map[string]netip.Addr{}, nets: map[string]model.Network{}}
	a.passOver(d)
	nodes := append([]model.Node(nil), d.Nodes...)
	sort.SliceStable(nodes, func(i, j int) bool { return nodes[i].Path < nodes[j].Path })
	var open []request
	for _, r := range requests(nodes) {
		net, ok := a.nets[r.network]
		switch {
		case r.address.IsValid():
			a.out[r.key], a.used[r.address.Addr()] = r.address, true
		case ok && net.CIDR.IsValid():
			open = append(open, r)
		}
	}
	var rest []request
	for _, r := range open {
		if g, ok := given[r.key]; !ok || !a.keep(r, g) {
			rest = append(rest, r)
		}
	}
	var errs []error
	for _, r := range rest {
		if err := a.give(r); err != nil {
			errs = append(errs, err)
		}
	}
	return a.out, errors.Join(errs...)
}

// WithAddresses returns the description with the addresses filled in; the argument is not changed.
func WithAddresses(d model.Desired, addresses map[string]netip.Prefix) model.Desired {
	nodes := make([]model.Node, len(d.Nodes))
	for i, n := range d.Nodes {
		n.NICs = append([]model.NIC(nil), n.NICs...)
		n.Ports = append([]model.Port(nil), n.Ports...)
		for j := range n.NICs {
			if p, ok := addresses[AddressKey(n.Path, n.NICs[j].Name)]; ok {
				n.NICs[j].Address = p
			}
		}
		for j := range n.Ports {
			if p, ok := addresses[AddressKey(n.Path, n.Ports[j].Name)]; ok {
				n.Ports[j].Address = p
			}
		}
		nodes[i] = n
	}
	d.Nodes = nodes
	return d
}

// request is a card or port that needs, or has, an address.
type request struct {
	key, network string
	address      netip.Prefix
}

func requests(nodes []model.Node) []request {
	var out []request
	for _, n := range nodes {
		for _, c := range n.NICs {
			out = append(out, request{AddressKey(n.Path, c.Name), c.Network, c.Address})
		}
		for _, p := range n.Ports {
			out = append(out, request{AddressKey(n.Path, p.Name), p.Network, p.Address})
		}
	}
	return out
}

type allotter struct {
	out  map[string]netip.Prefix
	used map[netip.Addr]bool
	next map[string]netip.Addr // by network: where the search goes on
	nets map[string]model.Network
}

// passOver marks what is taken by anything but cards and ports.
func (a *allotter) passOver(d model.Desired) {
	for _, n := range d.Networks {
		a.nets[n.Name] = n
		a.used[n.Gateway] = true
		if n.Relay != nil {
			a.used[n.Relay.Address] = true
		}
	}
	for _, n := range d.Nodes {
		if u, err := url.Parse(n.BMC.Address); err == nil {
			if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
				a.used[addr] = true
			}
		}
	}
	for _, vm := range d.VMs {
		for _, nic := range vm.NICs {
			if p, err := netip.ParsePrefix(nic.Address); err == nil {
				a.used[p.Addr()] = true
			}
		}
	}
}

// keep gives the address of before, when it still fits.
func (a *allotter) keep(r request, given netip.Addr) bool {
	n := a.nets[r.network]
	if !n.CIDR.Contains(given) || a.used[given] || given == n.CIDR.Addr() || given == lastAddr(n.CIDR) || reserved(n, given).IsValid() {
		return false
	}
	a.out[r.key], a.used[given] = netip.PrefixFrom(given, n.CIDR.Bits()), true
	return true
}

// give finds the lowest free address.
func (a *allotter) give(r request) error {
	n := a.nets[r.network]
	addr, started := a.next[n.Name]
	if !started {
		first, err := hostAddr(n.CIDR, firstHost)
		if err != nil {
			first = lastAddr(n.CIDR)
		}
		addr = first
	}
	end := lastAddr(n.CIDR)
	for addr.Less(end) && n.CIDR.Contains(addr) {
		if p := reserved(n, addr); p.IsValid() {
			addr = addrPlus(lastAddr(p), big.NewInt(1))
			continue
		}
		if !a.used[addr] {
			a.out[r.key], a.used[addr], a.next[n.Name] = netip.PrefixFrom(addr, n.CIDR.Bits()), true, addr.Next()
			return nil
		}
		addr = addr.Next()
	}
	a.next[n.Name] = end
	return &fullError{n.Name, fmt.Sprintf("network %s (%s) has no free address left for %s", n.Name, n.CIDR, r.key)}
}

// fullError says that a network has no address left for some card or port.
type fullError struct{ network, text string }

func (e *fullError) Error() string { return e.text }

// reserved is the reserved prefix that holds an address, if any.
func reserved(n model.Network, addr netip.Addr) netip.Prefix {
	for _, p := range n.Reserve {
		if p.Contains(addr) {
			return p
		}
	}
	return netip.Prefix{}
}
