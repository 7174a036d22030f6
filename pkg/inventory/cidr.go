package inventory

import (
	"fmt"
	"math/big"
	"net/netip"
	"strings"
)

// parsePrefix reads a prefix and insists that its host bits are zero.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix like 10.77.0.0/24", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has host bits set; the prefix is %s", s, p.Masked())
	}
	return p, nil
}

// hostAddr is address number n of a prefix, counted from its end when n is negative.
func hostAddr(p netip.Prefix, n int64) (netip.Addr, error) {
	p = p.Masked()
	size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
	i := big.NewInt(n)
	if n < 0 {
		i.Add(i, size)
	}
	if i.Sign() < 0 || i.Cmp(size) >= 0 {
		return netip.Addr{}, fmt.Errorf("prefix %s has %s addresses, there is no number %d", p, size, n)
	}
	return addrPlus(p.Addr(), i), nil
}

// addrPlus adds to an address; the caller keeps it in range.
func addrPlus(a netip.Addr, n *big.Int) netip.Addr {
	sum := new(big.Int).SetBytes(a.AsSlice())
	sum.Add(sum, n)
	buf := make([]byte, a.BitLen()/8)
	sum.FillBytes(buf)
	out, _ := netip.AddrFromSlice(buf)
	return out
}

// subnet is subnet number n of a prefix that is made newbits longer.
func subnet(p netip.Prefix, newbits, n int64) (netip.Prefix, error) {
	bits := int64(p.Bits()) + newbits
	if newbits < 0 || newbits > 128 || bits > int64(p.Addr().BitLen()) {
		return netip.Prefix{}, fmt.Errorf("prefix %s cannot be made %d bits longer", p, newbits)
	}
	if n < 0 || big.NewInt(n).BitLen() > int(newbits) {
		return netip.Prefix{}, fmt.Errorf("%d more bits do not hold subnet number %d", newbits, n)
	}
	shift := uint(int64(p.Addr().BitLen()) - bits)
	return netip.PrefixFrom(addrPlus(p.Masked().Addr(), new(big.Int).Lsh(big.NewInt(n), shift)), int(bits)), nil
}

// netmask is the IPv4 mask of a prefix: 255.255.255.0.
func netmask(p netip.Prefix) (string, error) {
	if !p.Addr().Is4() {
		return "", fmt.Errorf("%s is not IPv4; IPv6 has no netmask", p)
	}
	m := ^uint32(0) << (32 - p.Bits())
	if p.Bits() == 0 {
		m = 0
	}
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String(), nil
}

// lastAddr is the last address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	a, err := hostAddr(p, -1)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// hostPrefix reads an address of a network, with or without prefix length.
func hostPrefix(s string, network netip.Prefix) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is not an address like 10.77.0.11/24", s)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address like 10.77.0.11", s)
	}
	bits := a.BitLen()
	if network.IsValid() && network.Addr().Is4() == a.Is4() {
		bits = network.Bits()
	}
	return netip.PrefixFrom(a, bits), nil
}
