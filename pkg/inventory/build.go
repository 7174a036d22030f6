package inventory

import (
	"net/netip"
	"regexp"
	"sort"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// builder turns objects into the model, and keeps them at hand for the checks that need to know where something was written.
type builder struct {
	l        *loader
	inv      *Inventory
	d        *model.Desired
	nets     map[string]*model.Network
	profiles map[string]*model.Profile
	places   map[model.Path]*object // sites to chassis
	nodes    map[model.Path]*object
	byName   map[string]model.Path // nodes by short name
	dhcpNets []string
	addrs    map[netip.Addr]owner
	macs     map[string]owner // also serial numbers and BMC addresses, with a word before them
	certs    map[string]error // PEM already looked at
}

// owner is who holds something that only one may hold.
type owner struct {
	what string
	at   diag.Range
}

func newBuilder(l *loader, inv *Inventory) *builder {
	return &builder{l: l, inv: inv, d: &inv.Desired, nets: map[string]*model.Network{}, profiles: map[string]*model.Profile{},
		places: map[model.Path]*object{}, nodes: map[model.Path]*object{}, byName: map[string]model.Path{},
		addrs: map[netip.Addr]owner{}, macs: map[string]owner{}, certs: map[string]error{}}
}

// errorf reports at a place of the source.
func (b *builder) errorf(at diag.Range, remedy, format string, args ...any) {
	b.l.diags.Errorf(at, remedy, format, args...)
}

func (b *builder) warnf(at diag.Range, remedy, format string, args ...any) {
	b.l.diags.Warnf(at, remedy, format, args...)
}

// note records where a noun was written; false when another one has its name.
func (b *builder) note(noun string, o *object) bool {
	if first, dup := b.inv.objects[noun]; dup {
		b.errorf(o.where("name"), "rename one", "%s %q occurs twice; the first is at %s", o.node.spec.typ, noun, first.at())
		return false
	}
	b.inv.objects[noun], b.inv.Provenance[noun] = o, o.at()
	return true
}

// label is what a place, host, network, bridge or port may be called: a DNS label.
var labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (b *builder) checkLabel(o *object) {
	if !labelPattern.MatchString(o.name) {
		b.errorf(o.where("name"), "use lower-case letters, digits and hyphens, at most 63 of them", "%q is no name for a %s", o.name, o.node.spec.typ)
	}
}

func (b *builder) build(objects []*object) {
	byType := map[string][]*object{}
	for _, o := range objects {
		byType[o.node.spec.typ] = append(byType[o.node.spec.typ], o)
	}
	b.cloud(byType["cloud"])
	for _, o := range byType["network"] {
		b.network(o)
	}
	for _, o := range byType["profile"] {
		b.profile(o)
	}
	for _, o := range byType["site"] {
		b.site(o)
	}
	for _, o := range byType["vm"] {
		b.vm(o)
	}
	for _, o := range byType["rollout"] {
		b.rollout(o)
	}
	for _, o := range byType["gate"] {
		b.gate(o)
	}
	for _, o := range byType["moved"] {
		b.moved(o)
	}
	b.state(byType["state"])
	b.secrets(byType["secrets"])
	b.sort()
}

func (b *builder) cloud(objects []*object) {
	if len(objects) == 0 {
		b.errorf(diag.Range{}, `add: cloud "NAME" { domain = "example.org" }`, "the inventory has no cloud block")
		return
	}
	o := objects[0]
	b.note("cloud", o)
	b.checkLabel(o)
	b.d.Cloud = model.Cloud{Name: o.name, Domain: o.str("domain"), Release: o.str("release"), NTP: o.strs("ntp"), DNS: o.strs("dns")}
	if o.has("domain") && !domainPattern.MatchString(b.d.Cloud.Domain) {
		b.errorf(o.where("domain"), "write a DNS name like demo.example.org", "%q is no DNS domain", b.d.Cloud.Domain)
	}
	for _, a := range b.d.Cloud.DNS {
		if _, err := netip.ParseAddr(a); err != nil {
			b.errorf(o.where("dns"), "write an IP address", "name server %q is no address", a)
		}
	}
}

var domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// sort puts every list into its canonical order. Cards, bonds' members and rollout orders keep the author's: there it means something.
func (b *builder) sort() {
	d := b.d
	sort.SliceStable(d.Networks, func(i, j int) bool { return d.Networks[i].Name < d.Networks[j].Name })
	sort.SliceStable(d.Profiles, func(i, j int) bool { return d.Profiles[i].Name < d.Profiles[j].Name })
	for _, list := range [][]model.Place{d.Sites, d.Zones, d.Racks, d.Chassis} {
		sort.SliceStable(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	}
	sort.SliceStable(d.Regions, func(i, j int) bool { return d.Regions[i].Path < d.Regions[j].Path })
	sort.SliceStable(d.Nodes, func(i, j int) bool { return d.Nodes[i].Path < d.Nodes[j].Path })
	sort.SliceStable(d.Gates, func(i, j int) bool { return d.Gates[i].Name < d.Gates[j].Name })
	sort.SliceStable(d.VMs, func(i, j int) bool { return d.VMs[i].Name < d.VMs[j].Name })
	sort.SliceStable(d.Workloads, func(i, j int) bool { return d.Workloads[i].Region < d.Workloads[j].Region })
}

// oneOf reports a word that is none of the allowed ones.
func (b *builder) oneOf(o *object, attr string, allowed ...string) {
	if !o.has(attr) || contains(allowed, o.str(attr)) {
		return
	}
	b.errorf(o.where(attr), didYouMean(o.str(attr), allowed, ""), "%q is no %s", o.str(attr), attr)
}

// refer checks that a name exists.
func refer[V any](b *builder, o *object, attr, noun string, known map[string]V) bool {
	name := o.str(attr)
	if name == "" {
		return false
	}
	if _, ok := known[name]; !ok {
		b.errorf(o.where(attr), didYouMean(name, keysOf(known), "add: "+noun+` "`+name+`" { … }`), "there is no %s %q", noun, name)
		return false
	}
	return true
}

// image checks an image name where the known ones were given.
func (b *builder) image(o *object) model.ImageRef {
	name := o.str("image")
	if b.l.opts.Images != nil && name != "" && !contains(b.l.opts.Images, name) {
		b.errorf(o.where("image"), didYouMean(name, b.l.opts.Images, "build it with: nuboctl image build "+name), "there is no image %q", name)
	}
	return model.ImageRef{Name: name}
}

// roles reads and checks a list of roles.
func (b *builder) roles(o *object) []model.Role {
	var known []string
	for _, r := range model.Roles() {
		known = append(known, string(r))
	}
	var out []model.Role
	seen := map[string]bool{}
	for i, r := range o.strs("roles") {
		switch {
		case !contains(known, r):
			b.errorf(o.whereElement("roles", i), didYouMean(r, known, ""), "there is no role %q", r)
		case !seen[r]:
			seen[r] = true
			out = append(out, model.Role(r))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}
