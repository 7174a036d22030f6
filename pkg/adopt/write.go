package adopt

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Files are the inventory that says what a description says, by file name, in the form of nuboctl fmt: the cloud with its networks and profiles, and a file for
// each site. What could not be described is told at the top of the first.
func Files(d Description) map[string][]byte {
	out := map[string][]byte{}
	w := &writer{}
	w.comment("Written by nuboctl adopt from what was seen on running hosts. What is adopted is compared with this, and never changed.")
	if len(d.Remarks) > 0 {
		w.comment("")
		w.comment("What could not be described, and why:")
		for _, r := range d.Remarks {
			w.comment("- " + oneLine(r.String()))
		}
	}
	w.line("")
	w.cloud(d.Desired.Cloud)
	for _, n := range d.Desired.Networks {
		w.network(n)
	}
	for _, p := range d.Desired.Profiles {
		w.profile(p)
	}
	out["cloud.hcl"] = w.formatted()
	for _, s := range d.Desired.Sites {
		w := &writer{}
		w.site(d, s.Path)
		out["site-"+s.Path.Name()+".hcl"] = w.formatted()
	}
	return out
}

// writer writes blocks; hclwrite aligns and indents.
type writer struct{ b bytes.Buffer }

func (w *writer) formatted() []byte { return hclwrite.Format(w.b.Bytes()) }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

func (w *writer) comment(text string) { w.line("%s", strings.TrimRight("# "+text, " ")) }

// block writes a block with what body writes in it; one without a body is written on one line.
func (w *writer) block(body func(), words ...string) {
	w.line("%s {", strings.Join(words, " "))
	body()
	w.line("}")
}

// named are the words of a block with a label.
func named(typ, label string) []string { return []string{typ, quoted(label)} }

func quoted(s string) string { return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes()) }

func list[S ~string](items []S) string {
	words := make([]string, len(items))
	for i, s := range items {
		words[i] = quoted(string(s))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// str, num, flag and strs write an attribute unless it has the value that its absence means.
func (w *writer) str(name, value string) {
	if value != "" {
		w.line("%s = %s", name, quoted(value))
	}
}

func (w *writer) num(name string, value int) {
	if value != 0 {
		w.line("%s = %d", name, value)
	}
}

func (w *writer) flag(name string, value bool) {
	if value {
		w.line("%s = true", name)
	}
}

func (w *writer) strs(name string, value []string) {
	if len(value) > 0 {
		w.line("%s = %s", name, list(value))
	}
}

func (w *writer) cloud(c model.Cloud) {
	w.block(func() {
		w.str("domain", c.Domain)
		w.str("release", c.Release)
		w.strs("dns", c.DNS)
		w.strs("ntp", c.NTP)
	}, named("cloud", c.Name)...)
}

func (w *writer) network(n model.Network) {
	w.line("")
	w.block(func() {
		w.str("cidr", n.CIDR.String())
		w.num("vlan", n.VLAN)
		w.num("mtu", n.MTU)
		if n.Gateway.IsValid() {
			w.str("gateway", n.Gateway.String())
		}
	}, named("network", n.Name)...)
}

func (w *writer) profile(p model.Profile) {
	w.line("")
	w.block(func() {
		w.flag("adopted", p.Adopted)
		w.line("roles = %s", list(p.Roles))
		w.num("cores", p.Cores)
		w.num("memory_gib", p.MemoryGiB)
		w.num("osds", p.OSDs)
		for _, b := range p.Bonds {
			w.block(func() {
				w.str("mode", b.Mode)
				w.strs("members", b.Members)
			}, named("bond", b.Name)...)
		}
		for _, b := range p.Bridges {
			w.block(func() { w.bridge(b) }, named("bridge", b.Name)...)
		}
	}, named("profile", p.Name)...)
}

func (w *writer) bridge(b model.Bridge) {
	w.str("uplink", b.Uplink)
	w.str("network", b.Network)
	w.num("mtu", b.MTU)
	for _, v := range b.VLANs {
		w.block(func() { w.str("network", v.Network) }, named("vlan", v.Port)...)
	}
}

// site writes a site with all that is below it.
func (w *writer) site(d Description, at model.Path) {
	w.block(func() {
		for _, r := range d.Desired.Regions {
			if r.Path.Parent() == at {
				w.block(func() { w.region(d, r) }, named("region", r.Path.Name())...)
			}
		}
	}, named("site", at.Name())...)
}

func (w *writer) region(d Description, r model.Region) {
	if r.Ceph != nil {
		w.block(func() { w.ceph(r.Ceph) }, "ceph")
	}
	for _, z := range below(d.Desired.Zones, r.Path) {
		w.block(func() {
			for _, k := range below(d.Desired.Racks, z) {
				w.block(func() {
					for _, c := range below(d.Desired.Chassis, k) {
						w.block(func() { w.nodes(d, c) }, named("chassis", c.Name())...)
					}
					w.nodes(d, k)
				}, named("rack", k.Name())...)
			}
		}, named("zone", z.Name())...)
	}
}

func below(places []model.Place, at model.Path) []model.Path {
	var out []model.Path
	for _, p := range places {
		if p.Path.Parent() == at {
			out = append(out, p.Path)
		}
	}
	return out
}

func (w *writer) ceph(c *model.Ceph) {
	w.flag("adopted", c.Adopted)
	w.str("fsid", c.FSID)
	w.str("failure_domain", c.FailureDomain)
	w.str("network", c.Network)
	w.str("cluster_network", c.ClusterNetwork)
	w.flag("encrypted", c.Encrypted)
	for _, p := range c.Pools {
		w.block(func() {
			w.num("k", p.K)
			w.num("m", p.M)
			w.num("size", p.Size)
			w.num("min_size", p.MinSize)
			w.str("application", p.Application)
			w.str("device_class", p.DeviceClass)
		}, named("pool", p.Name)...)
	}
	if f := c.Filesystem; f != nil {
		w.block(func() {
			w.str("metadata", f.Metadata)
			w.line("data = %s", list(f.Data))
		}, named("filesystem", f.Name)...)
	}
}

func (w *writer) nodes(d Description, at model.Path) {
	for _, n := range d.Desired.Nodes {
		if n.Path.Parent() == at {
			for _, note := range d.Notes[n.Path] {
				w.comment(note)
			}
			w.block(func() { w.node(d, n) }, named("node", n.Name)...)
		}
	}
}

func (w *writer) node(d Description, n model.Node) {
	w.str("profile", n.Profile)
	w.str("serial", n.Serial)
	if i := slices.IndexFunc(d.Desired.Profiles, func(p model.Profile) bool { return p.Name == n.Profile }); i >= 0 {
		p := d.Desired.Profiles[i]
		if !slices.Equal(p.Roles, n.Roles) {
			w.line("roles = %s", list(n.Roles))
		}
		if p.Cores != n.Cores {
			w.num("cores", n.Cores)
		}
		if p.MemoryGiB != n.MemoryGiB {
			w.num("memory_gib", n.MemoryGiB)
		}
	}
	if n.BMC.Address != "" {
		w.block(func() {
			w.str("address", n.BMC.Address)
			w.line("credentials = secret(%s)", quoted(string(n.BMC.Credentials)))
		}, "bmc")
	}
	for _, c := range n.NICs {
		w.block(func() {
			w.str("mac", c.MAC)
			w.address(c.Network, c.Address)
		}, named("nic", c.Name)...)
	}
	for _, p := range n.Ports {
		w.block(func() { w.address("", p.Address) }, named("port", p.Name)...)
	}
	if n.RootDevice.Serial != "" {
		w.block(func() { w.str("serial", n.RootDevice.Serial) }, "root_device")
	}
}

func (w *writer) address(network string, a netip.Prefix) {
	w.str("network", network)
	if a.IsValid() {
		w.str("address", a.Addr().String())
	}
}
