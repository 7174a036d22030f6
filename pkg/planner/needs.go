package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// switchPackage is what every host needs that has a bridge.
const switchPackage = "openvswitch-switch"

// needs are the packages without which a host cannot play a role, as Debian 12 and 13 call them.
var needs = map[model.Role][]string{
	model.RoleCompute: {qemuPackage, "libvirt-daemon-system", switchPackage},
	model.RoleCephMon: {"ceph-mon", cephPackage},
	model.RoleCephMgr: {"ceph-mgr", cephPackage},
	model.RoleCephOSD: {"ceph-osd", cephPackage},
	model.RoleCephMDS: {"ceph-mds", cephPackage},
	model.RoleCephRGW: {"radosgw", cephPackage},
}

// lack is a package that an image does not have, and a role needs.
type lack struct {
	image model.Digest
	name  string // the image's
	role  model.Role
	needs string
}

// mustBring remembers which packages an image does not bring that a node's roles need, where the image's packages are known. A host without them would be installed, or
// restarted, and then not serve.
func (b *builder) mustBring(n model.Node, image model.Digest) {
	has, known := b.in.Packages[image]
	if !known {
		return
	}
	if b.lacking == nil {
		b.lacking = map[lack][]model.Path{}
	}
	for _, role := range n.Roles {
		for _, name := range needs[role] {
			l := lack{image, n.Image.Name, role, name}
			if has[name] == "" && !slices.Contains(b.lacking[l], n.Path) {
				b.lacking[l] = append(b.lacking[l], n.Path)
			}
		}
	}
}

// bare refuses images that do not bring what hosts need; nil when there are none.
func (b *builder) bare() error {
	if len(b.lacking) == 0 {
		return nil
	}
	var refusal Refusal
	for l, nodes := range b.lacking {
		on := string(nodes[0])
		if len(nodes) > 1 {
			on = fmt.Sprintf("%s and %d more", on, len(nodes)-1)
		}
		refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I7", Place: nodes[0],
			Text:   fmt.Sprintf("image %s (%s) has no package %s, which the role %s of %s needs", l.name, l.image.Short(), l.needs, l.role, on),
			Remedy: "add it to the image's packages and build it again: nuboctl image build " + l.name})
	}
	slices.SortFunc(refusal.Reasons, func(x, y Reason) int { return cmp.Or(cmp.Compare(x.Place, y.Place), strings.Compare(x.Text, y.Text)) })
	return &refusal
}
