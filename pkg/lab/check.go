package lab

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// The kernel's limit is 15 characters for an interface (IFNAMSIZ); taps are named BLADE.N and cables STATION.NETWORK.
var (
	nameForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$`)
	bladeForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$`)
	shortForm = regexp.MustCompile(`^[a-z0-9]{1,7}$`) // no "-": it parts rack and station in a namespace's name
	// The serial numbers end up in QEMU's comma-separated options; virtio-blk carries 20 characters.
	serialForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,20}$`)
	uuidForm   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	// ipmi_sim's file has no escape for quotes, and IPMI 2.0 knows 16 characters of user and 20 of password.
	userForm     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,16}$`)
	passwordForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,20}$`)
)

// checker collects mistakes and remembers what must be unique over the whole rack.
type checker struct {
	rack *Rack
	list *diag.List
	nets map[string]netip.Prefix
	seen map[string]string
	// partial says that the file could not be read whole: what is empty is not complained about a second time.
	partial bool
}

func check(r *Rack, list *diag.List) {
	c := &checker{rack: r, list: list, nets: map[string]netip.Prefix{}, seen: map[string]string{}, partial: list.HasErrors()}
	c.form(hcl.Range{}, "rack name", r.Name, nameForm)
	for _, n := range r.Networks {
		c.network(n)
	}
	for _, s := range r.Stations {
		c.station(s)
	}
	for _, b := range r.Blades {
		c.blade(b)
	}
	for _, b := range r.Blades {
		if b.BMC != nil && b.BMC.Protocol == "redfish" && r.CA == nil {
			c.errorf(b.At, `add "ca" with "certificate" and "key"`, "%s: a redfish BMC needs the rack's ca", b.Name)
		}
	}
}

func (c *checker) errorf(at hcl.Range, remedy, format string, args ...any) {
	c.list.Errorf(place(at), remedy, format, args...)
}

// skip tells that a value is empty for a reason that was reported when the file was read.
func (c *checker) skip(value string) bool { return c.partial && value == "" }

// unique complains when a value of a kind was there before.
func (c *checker) unique(at hcl.Range, kind, value, owner string) {
	if c.skip(value) {
		return
	}
	key := kind + " " + strings.ToLower(value)
	if other, taken := c.seen[key]; taken {
		c.errorf(at, "each "+kind+" may occur once in a rack", "%s: %s %s is also that of %s", owner, kind, value, other)
		return
	}
	c.seen[key] = owner
}

// oneOf complains when a value is not one of those known.
func (c *checker) oneOf(at hcl.Range, what, value string, known ...string) {
	if !slices.Contains(known, value) && !c.skip(value) {
		c.errorf(at, "use one of "+strings.Join(known, ", "), "%s %q is not known", what, value)
	}
}

func (c *checker) within(at hcl.Range, what string, value, least, most int) {
	if (value < least || value > most) && !(c.partial && value == 0) {
		c.list.Errorf(place(at), "", "%s is %d, must be %d to %d", what, value, least, most)
	}
}

func (c *checker) form(at hcl.Range, what, value string, form *regexp.Regexp) {
	if !form.MatchString(value) && !c.skip(value) {
		c.errorf(at, "it must match "+form.String(), "%s %q is not usable", what, value)
	}
}

func (c *checker) network(n Network) {
	c.form(n.At, "network name", n.Name, shortForm)
	c.unique(n.At, "network name", n.Name, "network "+n.Name)
	cidr, err := netip.ParsePrefix(n.CIDR)
	if err != nil || cidr != cidr.Masked() || !cidr.Addr().Is4() {
		c.errorf(n.At, `write it as "10.77.0.0/24"`, "network %s: cidr %q is not an IPv4 network", n.Name, n.CIDR)
		return
	}
	for other, p := range c.nets {
		if p.Overlaps(cidr) {
			c.errorf(n.At, "", "network %s: %s overlaps network %s", n.Name, n.CIDR, other)
		}
	}
	c.nets[n.Name] = cidr
	if n.Time == "" {
		return
	}
	if addr, err := netip.ParseAddr(n.Time); err != nil || !cidr.Contains(addr) {
		c.errorf(n.At, "write an address of "+n.CIDR, "network %s: time %q is no address of it", n.Name, n.Time)
		return
	}
	c.unique(n.At, "address", n.Time, "network "+n.Name)
}

func (c *checker) station(s Station) {
	c.form(s.At, "station name", s.Name, shortForm)
	if s.Name == switchName {
		c.errorf(s.At, "choose another name", "station %s: the name is the switch's", s.Name)
	}
	c.unique(s.At, "station name", s.Name, "station "+s.Name)
	for _, network := range sortedKeys(s.Addresses) {
		cidr, known := c.nets[network]
		if !known {
			c.errorf(s.At, "", "station %s: the rack has no network %q", s.Name, network)
			continue
		}
		addr, err := netip.ParsePrefix(s.Addresses[network])
		if err != nil || addr.Masked() != cidr {
			c.errorf(s.At, "write an address of "+cidr.String()+" with its prefix length",
				"station %s: %q is no address of network %s", s.Name, s.Addresses[network], network)
			continue
		}
		c.unique(s.At, "address", addr.Addr().String(), "station "+s.Name)
	}
}

func (c *checker) blade(b Blade) {
	c.form(b.At, "blade name", b.Name, bladeForm)
	c.unique(b.At, "blade name", b.Name, "blade "+b.Name)
	c.oneOf(b.At, b.Name+": firmware", string(b.Firmware), string(BIOS), string(UEFI), string(UEFISecure))
	c.within(b.At, b.Name+": vcpus", b.VCPUs, 1, 64)
	c.within(b.At, b.Name+": memory_mib", b.MemoryMiB, 256, 1<<20)
	c.form(b.At, b.Name+": serial", b.Serial, serialForm)
	c.unique(b.At, "serial", b.Serial, b.Name)
	c.form(b.At, b.Name+": uuid", b.UUID, uuidForm)
	c.unique(b.At, "uuid", b.UUID, b.Name)
	c.within(b.At, b.Name+": number of nics", len(b.NICs), 1, 8)
	for _, n := range b.NICs {
		c.nic(b, n)
	}
	boot, ahci, names := 0, 0, map[string]bool{}
	for _, d := range b.Disks {
		c.disk(b, d)
		if names[d.Name] {
			c.errorf(b.At, "", "%s: two disks are named %s", b.Name, d.Name)
		}
		names[d.Name] = true
		if d.Boot {
			boot++
		}
		if d.Bus == "ahci" {
			ahci++
		}
	}
	c.within(b.At, b.Name+": number of ahci disks", ahci, 0, 6) // the ports of the board's controller
	if boot > 1 {
		c.errorf(b.At, `keep "boot" on one of them`, "%s: %d disks are to boot from", b.Name, boot)
	}
	if b.BMC == nil {
		c.errorf(b.At, `add "bmc" with protocol, address, user and password`, "%s has no bmc", b.Name)
		return
	}
	c.bmc(b, *b.BMC)
}

func (c *checker) nic(b Blade, n NIC) {
	c.form(b.At, b.Name+": nic name", n.Name, nameForm)
	c.oneOf(b.At, b.Name+": nic "+n.Name+": model", n.Model, "virtio-net", "e1000e")
	mac, err := net.ParseMAC(n.MAC)
	good := err == nil && len(mac) == 6 && mac[0]&1 == 0 && mac.String() == n.MAC
	if !good && !c.skip(n.MAC) {
		c.errorf(b.At, `write it as "52:54:00:77:00:01"`, "%s: nic %s: %q is no MAC address", b.Name, n.Name, n.MAC)
	}
	c.unique(b.At, "mac", n.MAC, b.Name)
	if _, known := c.nets[n.Network]; !known {
		c.errorf(b.At, "", "%s: nic %s: the rack has no network %q", b.Name, n.Name, n.Network)
	}
}

func (c *checker) disk(b Blade, d Disk) {
	c.form(b.At, b.Name+": disk name", d.Name, nameForm)
	c.oneOf(b.At, b.Name+": disk "+d.Name+": bus", d.Bus, "virtio", "ahci", "nvme")
	c.form(b.At, b.Name+": disk "+d.Name+": serial", d.Serial, serialForm)
	c.unique(b.At, "disk serial of "+b.Name, d.Serial, "disk "+d.Name)
	c.within(b.At, b.Name+": disk "+d.Name+": size_gib", d.SizeGiB, 1, 16384)
}

func (c *checker) bmc(b Blade, m BMC) {
	c.oneOf(b.At, b.Name+": bmc protocol", m.Protocol, "redfish", "ipmi")
	c.form(b.At, b.Name+": bmc user", m.User, userForm)
	if !passwordForm.MatchString(m.Password) {
		c.errorf(b.At, "use 1 to 20 letters, digits and . _ -", "%s: bmc password is not usable", b.Name)
	}
	addr, err := netip.ParseAddrPort(m.Address)
	if err != nil || addr.Port() == 0 {
		c.errorf(b.At, `write it as "10.77.9.11:8443"`, "%s: bmc address %q is not IP:PORT", b.Name, m.Address)
		return
	}
	if _, ok := networkOf(c.nets, addr.Addr()); !ok {
		c.errorf(b.At, "", "%s: bmc address %s is on no network of the rack", b.Name, addr.Addr())
	}
	c.unique(b.At, "address", addr.Addr().String(), b.Name+"'s bmc")
}

// networkOf finds the network that an address belongs to.
func networkOf(nets map[string]netip.Prefix, addr netip.Addr) (string, bool) {
	for name, cidr := range nets {
		if cidr.Contains(addr) {
			return name, true
		}
	}
	return "", false
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
