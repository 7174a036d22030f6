package facts

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// kind is what decides together what a host can run: its profile (processor, bridges) and its QEMU.
type kind struct{ profile, qemu string }

// next stands for the QEMU of an image that no observed host runs yet: newer than all that were seen.
const next = "next"

// classes gives every host that carries virtual machines its class before and after the change. A class can run what its processor and QEMU are
// known for, and what is seen to run there: the profile's CPU model; versioned machine types (pc-q35-7.2) up to its QEMU's version; and the bridges and
// networks of its profile. Machine types of other vendors are known only where they are seen.
func (b *fleet) classes() {
	images := b.imageQEMU()
	ranks := b.ranks()
	index := map[string]int32{}
	class := func(k kind) int32 {
		c := b.class(k, ranks)
		key := strings.Join(c.CPUs, ",") + "|" + strings.Join(c.Machines, ",") + "|" + strings.Join(c.Networks, ",") + "|" + strconv.Itoa(c.Version)
		i, ok := index[key]
		if !ok {
			i = int32(len(b.out.Classes))
			index[key] = i
			b.out.Classes = append(b.out.Classes, c)
		}
		return i
	}
	known := map[kind]int32{}
	of := func(k kind) int32 {
		i, ok := known[k]
		if !ok {
			i = class(k)
			known[k] = i
		}
		return i
	}
	for i, n := range b.nodes {
		if !Carries(n) {
			continue
		}
		h := &b.out.Hosts[i]
		before := kind{profile: n.Profile}
		if seen := b.seen[n.Path]; seen != nil {
			before.qemu = seen.QEMU
		}
		h.Class = of(before)
		switch h.ClassAfter = h.Class; {
		case !h.Change || b.to.Drain:
		case b.to.InPlace:
			h.ClassAfter = of(kind{n.Profile, cmp.Or(b.to.Brings, before.qemu)})
		default:
			h.ClassAfter = of(kind{n.Profile, b.qemuAfter(n, images)})
		}
	}
}

// qemuAfter is the QEMU that a node has once it is changed.
func (b *fleet) qemuAfter(n model.Node, known map[model.Digest]string) string {
	image := n.Image.Digest
	if b.to.Image != nil {
		image = b.to.Image(n)
	}
	if v := cmp.Or(known[image], b.to.QEMU[image]); v != "" || b.to.Back {
		return v
	}
	return next
}

// imageQEMU tells which QEMU an image brings, from hosts that run it.
func (b *fleet) imageQEMU() map[model.Digest]string {
	out := map[model.Digest]string{}
	for _, n := range b.nodes {
		if h := b.seen[n.Path]; h != nil && h.Image != "" && h.QEMU != "" && compareVersions(h.QEMU, out[h.Image]) > 0 {
			out[h.Image] = h.QEMU
		}
	}
	return out
}

// qemuPackage is the package whose version is QEMU's.
const qemuPackage = "qemu-system-x86"

// BringsQEMU is the version of QEMU among a snapshot's packages; empty when it brings none.
func BringsQEMU(s model.Snapshot) string {
	for _, p := range s.Packages {
		if p.Name == qemuPackage {
			return Upstream(p.Version)
		}
	}
	return ""
}

// Upstream is the part of a Debian version that the program itself goes by: "1:10.0.2+ds-2" is 10.0.2.
func Upstream(version string) string {
	_, after, epoch := strings.Cut(version, ":")
	if epoch {
		version = after
	}
	end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end >= 0 {
		version = version[:end]
	}
	return version
}

// ranks orders the versions of QEMU that occur; one that could not be read is older than all.
func (b *fleet) ranks() map[string]int {
	seen := map[string]bool{}
	for _, h := range b.seen {
		seen[h.QEMU] = true
	}
	for _, v := range b.to.QEMU {
		seen[v] = true
	}
	seen[b.to.Brings] = true
	delete(seen, "")
	out := map[string]int{"": 0}
	for i, v := range slices.SortedFunc(maps.Keys(seen), compareVersions) {
		out[v] = i + 1
	}
	out[next] = len(seen) + 1
	return out
}

// compareVersions compares versions number by number: 7.2.15 < 10.0.2.
func compareVersions(a, b string) int {
	x, y := numbers(a), numbers(b)
	return cmp.Or(slices.Compare(x, y), strings.Compare(a, b))
}

func numbers(version string) []int {
	var out []int
	for _, f := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

func (b *fleet) class(k kind, ranks map[string]int) plan.Class {
	p := b.profiles[k.profile]
	cpus, machines, networks := map[string]bool{}, map[string]bool{}, map[string]bool{}
	if p.CPUModel != "" {
		cpus[p.CPUModel] = true
	}
	for _, br := range p.Bridges {
		networks[br.Name] = true
		if br.Network != "" {
			networks[br.Network] = true
		}
		for _, v := range br.VLANs {
			networks[v.Network] = true
		}
	}
	for other, runs := range b.runs {
		if other.profile != k.profile {
			continue
		}
		for i, here := range runs {
			if !here {
				continue
			}
			s := b.shapes[i]
			cpus[s.cpu] = true
			for _, n := range s.nets() {
				networks[n] = true
			}
			if other.qemu == k.qemu {
				machines[s.machine] = true
			}
		}
	}
	for _, s := range b.shapes {
		if knows(k.qemu, s.machine) {
			machines[s.machine] = true
		}
	}
	return plan.Class{CPUs: slices.Sorted(maps.Keys(cpus)), Machines: slices.Sorted(maps.Keys(machines)), Networks: slices.Sorted(maps.Keys(networks)), Version: ranks[k.qemu]}
}

// upstreamMachine are the versioned machine types of QEMU itself, which every later version keeps for years.
var upstreamMachine = regexp.MustCompile(`^(?:pc-q35|pc-i440fx|virt)-([0-9]+\.[0-9]+)$`)

func knows(qemu, machine string) bool {
	m := upstreamMachine.FindStringSubmatch(machine)
	switch {
	case m == nil || qemu == "":
		return false
	case qemu == next:
		return true
	}
	v := numbers(qemu)
	return slices.Compare(numbers(m[1]), v[:min(len(v), 2)]) <= 0
}
