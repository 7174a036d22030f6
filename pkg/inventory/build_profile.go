package inventory

import (
	"sort"

	"github.com/nuboctl/nuboctl/pkg/model"
)

func (b *builder) profile(o *object) {
	b.checkLabel(o)
	if !b.note("profile/"+o.name, o) {
		return
	}
	p := model.Profile{
		Name: o.name, Image: b.image(o).Name, Adopted: o.flag("adopted"), Butane: o.str("butane"), Roles: b.roles(o), SlotGiB: o.num("slot_gib"), LUKS: o.flag("luks"), MDRAID: o.flag("mdraid"),
		KernelArgs: o.strs("kernel_args"), Cores: o.num("cores"), MemoryGiB: o.num("memory_gib"), CPUModel: o.str("cpu_model"),
		CPUOvercommit: o.float("cpu_overcommit"), OSDs: o.num("osds"), OSDGiB: o.num("osd_gib"),
		MigrationMiBs: o.num("migration_mib_s"), NUMACells: o.num("numa_cells"), PinnedCores: o.num("pinned_cores"), HugePagesGiB: o.num("huge_pages_gib"),
		RootDevice: b.device(o.first("root_device")), OSDDevice: b.device(o.first("osd_device")),
	}
	if o.has("roles") && len(o.strs("roles")) == 0 {
		b.errorf(o.where("roles"), `name at least one, for example "compute"`, "profile %q has no role", o.name)
	}
	for _, later := range []string{"luks", "mdraid"} {
		if o.flag(later) {
			b.errorf(o.where(later), "remove it: the installer lays down one plain root disk", "profile %q asks for %s, which this version cannot lay down", o.name, later)
		}
	}
	if p.Butane != "" {
		if _, err := b.l.read(p.Butane); err != nil {
			b.errorf(o.where("butane"), "write the file, or correct its name", "%v", err)
		}
	}
	if o.has("cpu_overcommit") && p.CPUOvercommit < 1 {
		b.errorf(o.where("cpu_overcommit"), "use 1 or more", "cpu_overcommit %g would leave cores unused", p.CPUOvercommit)
	}
	b.system(o, p)
	b.pinned(o, p)
	b.positive(o, "migration_mib_s")
	for _, c := range o.all("bond") {
		b.bond(c, &p)
	}
	for _, c := range o.all("bridge") {
		b.bridge(c, &p)
	}
	b.checkBonds(o, &p)
	sort.SliceStable(p.Bonds, func(i, j int) bool { return p.Bonds[i].Name < p.Bonds[j].Name })
	sort.SliceStable(p.Bridges, func(i, j int) bool { return p.Bridges[i].Name < p.Bridges[j].Name })
	b.d.Profiles = append(b.d.Profiles, p)
	b.profiles[p.Name] = &p
}

// system checks that a profile says what its hosts are laid down from, or that nuboctl does not lay them down.
func (b *builder) system(o *object, p model.Profile) {
	if !p.Adopted {
		if !o.written("image") {
			b.errorf(o.at(), `add: image = "debian-13", or for hosts that somebody else laid down: adopted = true`, "profile %q has no image", o.name)
		}
		return
	}
	for _, attr := range []string{"image", "butane", "slot_gib", "kernel_args"} {
		if o.written(attr) {
			b.errorf(o.where(attr), "remove it; or remove adopted, and lay the hosts down anew with: nuboctl reinstall", "profile %q is of hosts that somebody else laid down, and says %s", o.name, attr)
		}
	}
}

// pinned checks what is set apart for pinned virtual machines.
func (b *builder) pinned(o *object, p model.Profile) {
	if !o.has("numa_cells") && (o.has("pinned_cores") || o.has("huge_pages_gib")) {
		b.errorf(o.at(), "add: numa_cells = 2", "profile %q sets cores or huge pages apart and does not say on how many NUMA cells", p.Name)
	}
	if o.has("numa_cells") && (p.NUMACells < 1 || p.NUMACells > 8) {
		b.errorf(o.where("numa_cells"), "use 1 to 8", "numa_cells %d is no number of cells", p.NUMACells)
		return
	}
	for _, part := range []struct {
		attr string
		has  int
	}{{"pinned_cores", p.Cores}, {"huge_pages_gib", p.MemoryGiB}} {
		if n := o.num(part.attr); o.has(part.attr) && (n < 0 || n >= part.has || (p.NUMACells > 0 && n%p.NUMACells != 0)) {
			b.errorf(o.where(part.attr), "use a multiple of numa_cells, and leave something for the others", "%s %d does not fit a machine with %d, on %d cells", part.attr, n, part.has, p.NUMACells)
		}
	}
}

// positive reports a number below 1.
func (b *builder) positive(o *object, attr string) {
	if o.has(attr) && o.num(attr) < 1 {
		b.errorf(o.where(attr), "use 1 or more, or leave it out", "%s is %d", attr, o.num(attr))
	}
}

// device reads hints; nil gives none.
func (b *builder) device(o *object) model.DeviceHints {
	if o == nil {
		return model.DeviceHints{}
	}
	h := model.DeviceHints{Serial: o.str("serial"), WWN: o.str("wwn"), Model: o.str("model"), Vendor: o.str("vendor"), HCTL: o.str("hctl"),
		MinSizeGiB: o.num("min_size_gib"), MaxSizeGiB: o.num("max_size_gib")}
	if o.has("rotational") {
		v := o.flag("rotational")
		h.Rotational = &v
	}
	if h.IsZero() && len(o.node.attrs) == 0 {
		b.errorf(o.at(), "give at least one hint, for example serial or min_size_gib", "%s without a hint matches no disk", o.node.spec.typ)
	}
	if h.MaxSizeGiB > 0 && h.MinSizeGiB > h.MaxSizeGiB {
		b.errorf(o.where("min_size_gib"), "swap them", "min_size_gib %d is more than max_size_gib %d", h.MinSizeGiB, h.MaxSizeGiB)
	}
	return h
}

func (b *builder) bond(o *object, p *model.Profile) {
	b.checkInterfaceName(o)
	if !b.note("profile/"+p.Name+"/bond/"+o.name, o) {
		return
	}
	b.oneOf(o, "mode", "active-backup", "balance-slb", "balance-tcp")
	bond := model.Bond{Name: o.name, Mode: o.str("mode"), Members: o.strs("members")}
	if bond.Mode == "" {
		bond.Mode = "active-backup"
	}
	if o.has("members") && len(bond.Members) < 2 {
		b.errorf(o.where("members"), "name two cards, or make the card itself the bridge's uplink", "bond %q has fewer than two members", o.name)
	}
	p.Bonds = append(p.Bonds, bond)
}

func (b *builder) bridge(o *object, p *model.Profile) {
	b.checkInterfaceName(o)
	if !b.note("profile/"+p.Name+"/bridge/"+o.name, o) {
		return
	}
	br := model.Bridge{Name: o.name, Uplink: o.str("uplink"), Network: o.str("network"), MTU: o.num("mtu")}
	refer(b, o, "network", "network", b.nets)
	for _, v := range o.all("vlan") {
		b.checkInterfaceName(v)
		if !b.note("profile/"+p.Name+"/bridge/"+o.name+"/"+v.name, v) {
			continue
		}
		if refer(b, v, "network", "network", b.nets) {
			if n := b.nets[v.str("network")]; n.VLAN == 0 {
				b.errorf(v.where("network"), "give the network a vlan, or make it the bridge's own network", "port %s is on network %s, which has no vlan", v.name, n.Name)
			}
		}
		br.VLANs = append(br.VLANs, model.BridgeVLAN{Port: v.name, Network: v.str("network")})
	}
	sort.SliceStable(br.VLANs, func(i, j int) bool { return br.VLANs[i].Port < br.VLANs[j].Port })
	p.Bridges = append(p.Bridges, br)
}

// checkInterfaceName holds to what the kernel takes: 15 bytes.
func (b *builder) checkInterfaceName(o *object) {
	if len(o.name) > 15 || !interfacePattern.MatchString(o.name) {
		b.errorf(o.where("name"), "use at most 15 letters, digits, hyphens, dots and underscores, beginning with a letter", "%q is no name of an interface", o.name)
	}
}

// checkBonds finds members that two bonds claim, and bonds that would be laid down nowhere.
func (b *builder) checkBonds(o *object, p *model.Profile) {
	member := map[string]string{}
	for _, c := range o.all("bond") {
		for _, m := range c.strs("members") {
			if other, dup := member[m]; dup {
				b.errorf(c.where("members"), "a card is in one bond, once", "card %s is already a member of %s", m, other)
			}
			member[m] = c.name
		}
	}
	uplink := map[string]string{}
	for _, c := range o.all("bridge") {
		u := c.str("uplink")
		if u == "" {
			continue
		}
		if other, dup := uplink[u]; dup {
			b.errorf(c.where("uplink"), "use one bridge with several vlans", "%s is already the uplink of bridge %s", u, other)
		}
		if bond, isMember := member[u]; isMember {
			b.errorf(c.where("uplink"), "use the bond as the uplink", "%s is a member of bond %s", u, bond)
		}
		uplink[u] = c.name
	}
	for _, c := range o.all("bond") {
		if _, used := uplink[c.name]; !used {
			b.errorf(c.at(), `add: bridge "br-ex" { uplink = "`+c.name+`" }`, "bond %s is the uplink of no bridge", c.name)
		}
	}
}
