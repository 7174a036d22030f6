package adopt

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Names are what cannot be observed: what things are to be called.
type Names struct {
	Cloud, Domain, Site, Region, Zone, Rack string
}

// Description is a site in the inventory's words.
type Description struct {
	Desired model.Desired
	// Notes are what a reader of a node's block wants to know, by node.
	Notes map[model.Path][]string
	// Remarks are what could not be described.
	Remarks []Remark

	paths map[string]model.Path // host's name → node
}

// Remark says why something is not described.
type Remark struct {
	About string `json:"about"` // "host alpha", "bridge br-ex of alpha", "pool images", …
	Text  string `json:"text"`
}

func (r Remark) String() string { return r.About + ": " + r.Text }

// Path is the node behind which a host stands; false when it is not described.
func (d Description) Path(host string) (model.Path, bool) {
	p, ok := d.paths[host]
	return p, ok
}

// describer makes a description.
type describer struct {
	survey  Survey
	names   Names
	hosts   []*host
	nets    []*network
	out     Description
	regions []*region
}

// host is a host that is described.
type host struct {
	Host
	node    model.Node
	place   place
	cards   []*card
	ports   map[string]claim // internal port of a bridge → its address
	bonds   []model.Bond
	bridges []model.Bridge
	osds    int
	notes   []string
}

// word is what the inventory takes for names of places, nodes and networks.
var word = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Describe tells what was surveyed in the inventory's words. It is a pure function: the same survey gives the same description.
func Describe(s Survey, n Names) Description {
	x := &describer{survey: s, names: n, out: Description{Notes: map[model.Path][]string{}, paths: map[string]model.Path{}}}
	x.pick()
	for _, h := range x.hosts {
		x.addresses(h)
	}
	x.networks()
	x.clusters()
	for _, h := range x.hosts {
		x.bridgesOf(h)
		x.machine(h)
	}
	x.profiles()
	x.assemble()
	return x.out
}

func (x *describer) remark(about, format string, args ...any) {
	x.out.Remarks = append(x.out.Remarks, Remark{about, fmt.Sprintf(format, args...)})
}

// pick takes the hosts that can be nodes, by name.
func (x *describer) pick() {
	all := slices.Clone(x.survey.Hosts)
	slices.SortStableFunc(all, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Reached.Compare(b.Reached)) })
	seen := map[string]Host{}
	for _, h := range all {
		about := "host " + cmp.Or(h.Name, h.Reached.String())
		first, twice := seen[h.Name]
		switch {
		case h.Error != "":
			x.remark(about, "it could not be looked at: %s", h.Error)
		case !word.MatchString(h.Name):
			x.remark(about, "%q is no name for a node: nuboctl takes lower-case letters, digits and hyphens, and Ceph and libvirt know hosts by their own names", h.Name)
		case twice:
			x.remark(about, "%s and %s both call themselves so", first.Reached, h.Reached)
		default:
			seen[h.Name] = h
			x.hosts = append(x.hosts, &host{Host: h, ports: map[string]claim{}})
		}
	}
}

// machine describes what a host is made of.
func (x *describer) machine(h *host) {
	n := &h.node
	n.Name, n.Adopted, n.Cores, n.MemoryGiB = h.Name, true, h.Cores, h.Memory
	n.Serial, n.BMC.Address = x.unique(h, "serial number", h.Serial), x.unique(h, "BMC", h.BMC)
	if n.BMC.Address != "" {
		n.BMC.Credentials = "bmc"
	} else {
		h.note("its BMC is not known")
	}
	h.note("%s", strings.Join(slices.DeleteFunc([]string{h.Product, h.Seen.Release, "kernel " + h.Seen.Kernel}, func(s string) bool { return s == "" || s == "kernel " }), ", "))
	for _, text := range h.Trouble {
		x.remark("host "+h.Name, "not all of it could be seen: %s", text)
	}
	x.disks(h)
	x.guests(h)
}

// unique gives a value that no other host has; vendors leave serial numbers unset, all in the same way.
func (x *describer) unique(h *host, what, value string) string {
	of := func(o *host) string {
		if what == "BMC" {
			return o.BMC
		}
		return o.Serial
	}
	if value == "" || slices.ContainsFunc(x.hosts, func(o *host) bool { return o != h && of(o) == value }) {
		if value != "" {
			x.remark("host "+h.Name, "its %s %q is another host's too, so it is left out", what, value)
		}
		return ""
	}
	return value
}

// disks names the system's disk, and notes the OSDs.
func (x *describer) disks(h *host) {
	if h.Ceph == nil {
		return
	}
	serial := map[string]string{}
	for _, d := range h.Ceph.Disks {
		serial[d.Name] = d.Serial
	}
	if len(h.Roots) == 1 && serial[h.Roots[0]] != "" {
		h.node.RootDevice.Serial = serial[h.Roots[0]]
	} else if len(h.Roots) > 0 {
		h.note("its system is on %s, which the inventory cannot name by serial number", strings.Join(h.Roots, " and "))
	}
	for _, v := range h.Ceph.Volumes {
		h.note("osd.%d is on %s, serial number %s", v.OSD, v.Device, cmp.Or(serial[v.Device], "none"))
	}
}

// guests notes the virtual machines: nuboctl knows those that it declares, and these it did not make.
func (x *describer) guests(h *host) {
	for _, vm := range x.survey.VMs {
		if string(vm.Node) == h.Name {
			h.note("virtual machine %s: %s, %d vCPU, %d MiB, on %s", vm.Name, vm.State, vm.VCPUs, vm.MemoryMiB, cmp.Or(strings.Join(vm.Networks, ", "), "no network"))
		}
	}
}

func (h *host) note(format string, args ...any) {
	if text := oneLine(fmt.Sprintf(format, args...)); text != "" {
		h.notes = append(h.notes, text)
	}
}

// oneLine is text of a host's as it may stand in a comment.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// assemble puts the parts together, sorted as the loader sorts them.
func (x *describer) assemble() {
	d := &x.out.Desired
	d.Cloud = model.Cloud{Name: x.names.Cloud, Domain: x.domain(), DNS: x.resolvers()}
	for _, n := range x.nets {
		d.Networks = append(d.Networks, n.Network)
	}
	site := model.Path(x.names.Site)
	places := map[model.Path]bool{}
	add := func(list *[]model.Place, p model.Path) {
		if !places[p] {
			places[p] = true
			*list = append(*list, model.Place{Path: p})
		}
	}
	add(&d.Sites, site)
	for _, r := range x.regions {
		d.Regions = append(d.Regions, model.Region{Path: site.Join(r.name), Ceph: r.ceph})
	}
	for _, h := range x.hosts {
		zone := site.Join(h.place.region, h.place.zone)
		above := zone.Join(h.place.rack)
		add(&d.Zones, zone)
		add(&d.Racks, above)
		if h.place.chassis != "" {
			above = above.Join(h.place.chassis)
			add(&d.Chassis, above)
			h.node.Chassis = above
		}
		h.node.Path = above.Join(h.Name)
		d.Nodes = append(d.Nodes, h.node)
		x.out.paths[h.Name], x.out.Notes[h.node.Path] = h.node.Path, h.notes
	}
	byPath := func(a, b model.Place) int { return cmp.Compare(a.Path, b.Path) }
	slices.SortFunc(d.Zones, byPath)
	slices.SortFunc(d.Racks, byPath)
	slices.SortFunc(d.Chassis, byPath)
	slices.SortFunc(d.Networks, func(a, b model.Network) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Regions, func(a, b model.Region) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(d.Nodes, func(a, b model.Node) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortStableFunc(x.out.Remarks, func(a, b Remark) int { return cmp.Compare(a.About, b.About) })
}

var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// domain is the given one, or that of most hosts.
func (x *describer) domain() string {
	votes := tally[string]{}
	for _, h := range x.hosts {
		if domainName.MatchString(h.Domain) {
			votes.add(h.Domain)
		}
	}
	if x.names.Domain != "" {
		return x.names.Domain
	}
	if d, ok := votes.most(); ok {
		return d
	}
	x.remark("cloud "+x.names.Cloud, "no host tells its DNS domain, so example.invalid stands for it: correct it, or say --domain")
	return "example.invalid"
}

// resolvers are the name servers that most hosts ask, but for ones of their own.
func (x *describer) resolvers() []string {
	votes := tally[string]{}
	for _, h := range x.hosts {
		var list []string
		for _, a := range h.DNS {
			if !a.IsLoopback() {
				list = append(list, a.String())
			}
		}
		if len(list) > 0 {
			votes.add(strings.Join(list, " "))
		}
	}
	if best, ok := votes.most(); ok {
		return strings.Fields(best)
	}
	return nil
}

// tally counts votes.
type tally[K cmp.Ordered] map[K]int

func (t tally[K]) add(k K) { t[k]++ }

// most is what most voted for; among equals the least.
func (t tally[K]) most() (best K, ok bool) {
	for k, n := range t {
		if !ok || n > t[best] || (n == t[best] && k < best) {
			best, ok = k, true
		}
	}
	return best, ok
}
