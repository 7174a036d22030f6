package inventory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

func (b *builder) vm(o *object) {
	b.checkLabel(o)
	if !b.note("vm/"+o.name, o) {
		return
	}
	b.oneOf(o, "on_drain", "refuse", "stop_start", "block_migrate")
	vm := model.VM{Name: o.name, VCPUs: o.num("vcpus"), MemoryMiB: o.num("memory_mib"), Image: b.image(o), AntiAffinity: o.str("anti_affinity"), OnDrain: o.str("on_drain")}
	if !o.has("vcpus") {
		vm.VCPUs = 1
	}
	if vm.VCPUs < 1 || (o.has("memory_mib") && vm.MemoryMiB < 1) {
		b.errorf(o.at(), "give at least 1 vCPU and 1 MiB", "vm %s has no size", o.name)
	}
	node := b.nodeNamed(o)
	if node != nil {
		vm.Node = node.Path
	}
	for _, c := range o.all("disk") {
		if b.note("vm/"+o.name+"/disk/"+c.name, c) {
			vm.Disks = append(vm.Disks, b.vmDisk(c, vm.Name, node))
		}
	}
	if !o.has("image") && (len(vm.Disks) == 0 || vm.Disks[0].Source == "") {
		b.errorf(o.at(), "name an image, or give the first disk a source", "vm %s has nothing to boot from", o.name)
	}
	for _, c := range o.all("nic") {
		if b.note("vm/"+o.name+"/nic/"+c.name, c) {
			vm.NICs = append(vm.NICs, b.vmNIC(c, vm.Name, node))
		}
	}
	b.d.VMs = append(b.d.VMs, vm)
}

// nodeNamed finds the node of a vm by path or short name.
func (b *builder) nodeNamed(o *object) *model.Node {
	name := o.str("node")
	if name == "" {
		return nil
	}
	path := model.Path(name)
	if p, ok := b.byName[name]; ok {
		path = p
	}
	for i := range b.d.Nodes {
		if n := &b.d.Nodes[i]; n.Path == path {
			if !hasRole(n, model.RoleCompute) {
				b.errorf(o.where("node"), "choose a node with the role compute", "node %s carries no virtual machines", path)
			}
			if n.Leaves() {
				b.errorf(o.where("node"), "give it another node, and have it moved there by nuboctl drain "+n.Name, "vm %s is to run on %s, which is %s", o.name, path, n.State)
			}
			if n.Adopted {
				b.errorf(o.where("node"), "choose a node whose profile is not adopted", "somebody else laid node %s down, and nuboctl changes nothing there", path)
			}
			return n
		}
	}
	b.errorf(o.where("node"), didYouMean(name, keysOf(b.byName), "name a node of this inventory"), "there is no node %q", name)
	return nil
}

func (b *builder) vmNIC(o *object, vm string, node *model.Node) model.VMNIC {
	nic := model.VMNIC{Bridge: o.str("bridge"), VLAN: o.num("vlan"), MAC: b.mac(o, "vm "+vm+" "+o.name), Address: o.str("address")}
	if !o.written("mac") {
		sum := sha256.Sum256([]byte(b.d.Cloud.Name + "/" + vm + "/" + o.name))
		nic.MAC = fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
		b.ownMAC(o, nic.MAC, "vm "+vm+" "+o.name)
	}
	if o.has("vlan") && (nic.VLAN < 1 || nic.VLAN > 4094) {
		b.errorf(o.where("vlan"), "use 1 to 4094", "vlan %d does not exist", nic.VLAN)
	}
	if o.has("address") {
		if p, err := netip.ParsePrefix(nic.Address); err != nil {
			b.errorf(o.where("address"), "write address and length, like 10.77.0.100/24", "%q is no address with prefix length", nic.Address)
		} else {
			b.own(o, "address", p.Addr(), "vm "+vm)
		}
	}
	if node != nil && nic.Bridge != "" {
		if p := b.profiles[node.Profile]; p != nil {
			bridges := map[string]bool{}
			for _, br := range p.Bridges {
				bridges[br.Name] = true
			}
			if !bridges[nic.Bridge] {
				b.errorf(o.where("bridge"), didYouMean(nic.Bridge, keysOf(bridges), "add the bridge to the profile"), "profile %s of node %s has no bridge %q", p.Name, node.Path, nic.Bridge)
			}
		}
	}
	return nic
}

var (
	unavailablePattern = regexp.MustCompile(`^([0-9]+)(%|( (node|chassis|rack|zone)s?))?( per (chassis|rack|zone|region|site))?$`)
	reservePattern     = regexp.MustCompile(`^([0-9]|[1-8][0-9]|90)%$`)
	gradePattern       = regexp.MustCompile(`^[ABC](\+[ABC])*$`)
)

func (b *builder) rollout(o *object) {
	b.note("rollout", o)
	r := model.Rollout{MaxUnavailable: strings.Join(strings.Fields(o.str("max_unavailable")), " "), Survive: o.str("survive"), Bake: o.str("bake"), Canary: o.num("canary"), MaxParallel: o.num("max_parallel"),
		Reserve: o.str("reserve"), Method: o.str("method")}
	b.oneOf(o, "method", "slot", "reinstall", "packages")
	b.snapshot(o, &r)
	if o.has("reserve") && !reservePattern.MatchString(r.Reserve) {
		b.errorf(o.where("reserve"), `write a part from "0%" to "90%"`, "reserve %q is not understood", r.Reserve)
	}
	for i, p := range o.strs("order") {
		path := model.Path(strings.Trim(p, "/"))
		known := map[string]bool{}
		for q := range b.places {
			known[string(q)] = true
		}
		switch {
		case !known[string(path)]:
			b.errorf(o.whereElement("order", i), didYouMean(p, keysOf(known), "name a site, region, zone or rack by its path"), "rollout.order names %q, which is no place of this cloud", p)
		case overlaps(r.Order, path):
			b.errorf(o.whereElement("order", i), "name each place once", "rollout.order comes to %s twice", path)
		default:
			r.Order = append(r.Order, path)
		}
	}
	if m := unavailablePattern.FindStringSubmatch(r.MaxUnavailable); o.has("max_unavailable") && (m == nil || strings.Trim(m[1], "0") == "" || (m[2] == "%" && len(m[1]) > 2 && m[1] != "100")) {
		b.errorf(o.where("max_unavailable"), `write a number above 0 ("2"), a part ("10%") or places ("1 rack per zone")`, "max_unavailable %q is not understood", o.str("max_unavailable"))
	}
	if o.has("survive") && (!gradePattern.MatchString(r.Survive) || repeats(strings.Split(r.Survive, "+"))) {
		b.errorf(o.where("survive"), `write grades A, B and C joined with +: "A+C"`, "survive %q is not understood", r.Survive)
	}
	if d, err := time.ParseDuration(r.Bake); o.has("bake") && (err != nil || d < 0) {
		b.errorf(o.where("bake"), `write a duration like "5m" or "1h30m"`, "bake %q is no duration", r.Bake)
	}
	r.SignedBy = b.signers(o)
	r.HealthAllow = b.healthChecks(o)
	b.d.Rollout = r
}

// snapshotPattern is that of names in the image store.
var snapshotPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,63}$`)

// snapshot reads which packages the method packages installs. The method alone is no mistake: nuboctl upgrade --packages may name them.
func (b *builder) snapshot(o *object, r *model.Rollout) {
	r.Snapshot.Name = o.str("snapshot")
	switch {
	case !o.has("snapshot"):
	case r.Method != "packages":
		b.errorf(o.where("snapshot"), `write method = "packages" beside it, or remove it and give it for once: nuboctl upgrade --packages NAME`, "rollout.snapshot is for the method packages only")
	case !snapshotPattern.MatchString(r.Snapshot.Name):
		b.errorf(o.where("snapshot"), "write lower-case letters, digits, dot, plus and minus", "snapshot %q is not a name", r.Snapshot.Name)
	}
}

// signers reads the keys of those who may sign plans.
func (b *builder) signers(o *object) []string {
	keys := o.strs("signed_by")
	if o.has("signed_by") && len(keys) == 0 {
		b.errorf(o.where("signed_by"), "name at least one key, or remove it", "plans would have to be signed by nobody")
	}
	for i, text := range keys {
		var key minisign.PublicKey
		at := o.whereElement("signed_by", i)
		switch err := key.UnmarshalText([]byte(text)); {
		case err != nil || key.String() != text:
			b.errorf(at, "write the second line of a public key file that minisign -G made: RW…", "%q is no minisign public key", text)
		case slices.Contains(keys[:i], text):
			b.errorf(at, "name each key once", "signed_by names %s twice", text)
		}
	}
	return keys
}

// overlaps reports whether a place is, holds or lies in one of the others.
func overlaps(places []model.Path, p model.Path) bool {
	for _, q := range places {
		if q.Contains(p) || p.Contains(q) {
			return true
		}
	}
	return false
}

func repeats(words []string) bool {
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			return true
		}
		seen[w] = true
	}
	return false
}

func (b *builder) moved(o *object) {
	m := model.Move{From: model.Path(o.str("from")), To: model.Path(o.str("to"))}
	if m.From == "" || m.To == "" {
		return
	}
	if b.nodes[m.From] != nil {
		b.errorf(o.where("from"), "remove the moved block, or rename the node", "moved: there still is a node %s", m.From)
	}
	if b.nodes[m.To] == nil {
		b.errorf(o.where("to"), didYouMean(string(m.To), nodePaths(b.nodes), "name the node's new path"), "moved: there is no node %s", m.To)
	}
	for _, other := range b.d.Moved {
		if other.From == m.From || other.To == m.To {
			b.errorf(o.at(), "keep one", "moved: %s → %s contradicts %s → %s", m.From, m.To, other.From, other.To)
		}
	}
	b.inv.Provenance["moved/"+string(m.From)] = o.at()
	b.d.Moved = append(b.d.Moved, m)
}

func nodePaths(nodes map[model.Path]*object) []string {
	out := make([]string, 0, len(nodes))
	for p := range nodes {
		out = append(out, string(p))
	}
	return out
}

// check looks at the model as a whole.
func (b *builder) check() {
	b.checkOverlaps()
	b.checkCeph()
	b.checkMemory()
	b.checkApart()
	b.checkRoom()
	if len(b.d.Nodes) == 0 && !b.l.diags.HasErrors() {
		b.warnf(diag.Range{}, "add nodes below site, region, zone and rack", "the inventory has no nodes")
	}
}

// checkOverlaps compares every two networks; there are few.
func (b *builder) checkOverlaps() {
	for i, a := range b.d.Networks {
		for _, c := range b.d.Networks[i+1:] {
			o := b.inv.objects["network/"+c.Name]
			if a.CIDR.IsValid() && c.CIDR.IsValid() && a.CIDR.Overlaps(c.CIDR) {
				b.errorf(o.where("cidr"), "give them disjoint prefixes", "networks %s (%s) and %s (%s) overlap", c.Name, c.CIDR, a.Name, a.CIDR)
			}
			if a.CIDR6.IsValid() && c.CIDR6.IsValid() && a.CIDR6.Overlaps(c.CIDR6) {
				b.errorf(o.where("cidr6"), "give them disjoint prefixes", "networks %s (%s) and %s (%s) overlap", c.Name, c.CIDR6, a.Name, a.CIDR6)
			}
		}
	}
}

// checkMemory finds nodes whose own virtual machines cannot fit.
func (b *builder) checkMemory() {
	used := map[model.Path]int{}
	for _, vm := range b.d.VMs {
		used[vm.Node] += vm.MemoryMiB
	}
	for _, n := range b.d.Nodes {
		if n.MemoryGiB > 0 && used[n.Path] > n.MemoryGiB*1024 {
			b.errorf(b.nodes[n.Path].at(), "move some to another node", "the virtual machines of node %s need %d MiB; it has %d GiB", n.Path, used[n.Path], n.MemoryGiB)
		}
	}
}

// checkApart finds virtual machines that are too large for their node, and members of one anti-affinity group on one node.
func (b *builder) checkApart() {
	nodes := map[model.Path]*model.Node{}
	for i := range b.d.Nodes {
		nodes[b.d.Nodes[i].Path] = &b.d.Nodes[i]
	}
	members := map[string]string{}
	for _, vm := range b.d.VMs {
		n, o := nodes[vm.Node], b.inv.objects["vm/"+vm.Name]
		if n == nil {
			continue
		}
		if p := b.profiles[n.Profile]; p != nil && n.Cores > 0 && float64(vm.VCPUs) > float64(n.Cores)*max(1, p.CPUOvercommit) {
			b.errorf(o.where("vcpus"), "give it fewer vCPUs, or a node with more cores", "vm %s has %d vCPUs, and node %s has %d cores, %g of them to a core", vm.Name, vm.VCPUs, n.Path, n.Cores, max(1, p.CPUOvercommit))
		}
		if vm.AntiAffinity == "" {
			continue
		}
		key := vm.AntiAffinity + " " + string(n.Path)
		if other, taken := members[key]; taken {
			b.errorf(o.where("node"), "give one of them another node, or another group", "vm %s and vm %s are of the anti-affinity group %q and both on %s", other, vm.Name, vm.AntiAffinity, n.Path)
			continue
		}
		members[key] = vm.Name
	}
}

// checkRoom finds networks without an address for every card.
func (b *builder) checkRoom() {
	if b.l.diags.HasErrors() {
		return
	}
	_, err := Allot(*b.d, nil)
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	short := map[string]int{}
	for _, e := range list.Unwrap() {
		var full *fullError
		if errors.As(e, &full) {
			short[full.network]++
		}
	}
	for _, name := range keysOf(short) {
		at := b.inv.objects["network/"+name].where("cidr")
		b.errorf(at, fmt.Sprintf("use a larger network, or reserve less; addresses are allotted from number %d on", firstHost),
			"network %s (%s) has no address for %d of the cards and ports that are on it", name, b.nets[name].CIDR, short[name])
	}
}
