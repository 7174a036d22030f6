// Package synthetic makes up what would be observed of a healthy, loaded cloud that an inventory describes: every host up with an older image,
// storage clusters with their placement groups, and the virtual machines of the workload blocks. The same inventory and seed give the same
// observation, so that plans of fleets which nobody owns can be made, compared and measured.
package synthetic

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// What the hosts run: Debian 13 as it was before its last point release.
const (
	qemuVersion = "10.0.2"
	libvirt     = "11.3.0"
	kernel      = "6.12.38+deb13-amd64"
	ovsVersion  = "3.5.0"
	cephVersion = "18.2.7"
)

// Observe gives the observation. The seed changes everything that chance decides, beside the seeds of the workload blocks. What cannot be made up is
// an error: virtual machines that do not fit, pools that find no place for a copy.
func Observe(d model.Desired, seed uint64) (model.Observed, error) {
	var o model.Observed
	profiles := make(map[string]model.Profile, len(d.Profiles))
	for _, p := range d.Profiles {
		profiles[p.Name] = p
	}
	for _, n := range d.Nodes {
		o.Nodes = append(o.Nodes, node(d, n))
	}
	g := newGuests(d, profiles)
	errs := []error{g.declared(d.VMs)}
	for _, w := range slices.SortedFunc(slices.Values(d.Workloads), func(a, b model.Workload) int { return strings.Compare(slug(a.Region), slug(b.Region)) }) {
		errs = append(errs, g.workload(w, rand.New(rand.NewPCG(seed, uint64(w.Seed)))))
	}
	o.VMs = g.vms
	for _, r := range d.Regions {
		if r.Ceph == nil {
			continue
		}
		c, err := cluster(d, r, profiles, seed)
		o.Ceph, errs = append(o.Ceph, c), append(errs, err)
	}
	return o, errors.Join(errs...)
}

// OldImage is the digest that the hosts of an image are observed with.
func OldImage(name string) model.Digest {
	return model.DigestBytes([]byte("an older build of " + name))
}

func node(d model.Desired, n model.Node) model.ObservedNode {
	serial := n.Serial
	if serial == "" {
		serial = "SYN-" + n.Name
	}
	old := OldImage(n.Image.Name)
	sum := model.DigestBytes([]byte("boot of " + string(n.Path))).Hex()
	h := model.ObservedHost{Reachable: true, BootID: sum[:8] + "-" + sum[8:12] + "-4" + sum[13:16] + "-a" + sum[17:20] + "-" + sum[20:32],
		Release: d.Cloud.Release, Kernel: kernel, Slot: "a", Image: old, Config: n.Config, OVS: facts.Bridges(d, n), OVSVersion: ovsVersion}
	if facts.Carries(n) {
		h.Libvirt, h.QEMU = libvirt, qemuVersion
	}
	return model.ObservedNode{
		Path:  n.Path,
		BMC:   model.ObservedBMC{Reachable: true, Serial: serial, Model: "synthetic", Power: model.PowerOn},
		Order: model.ObservedOrder{ID: sum[:16], Spec: facts.HostSpec(old, n.Config), Phase: facts.PhaseInstalled},
		Host:  h,
	}
}
