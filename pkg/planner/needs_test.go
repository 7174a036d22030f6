package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// brings are the packages of an image with all that any role needs; an empty version of QEMU is some version.
func brings(qemu, ceph string) planner.Packages {
	if qemu == "" {
		qemu = "1:10.0.2+ds-2"
	}
	p := planner.Packages{"qemu-system-x86": qemu, "libvirt-daemon-system": "11.3.0-3", "openvswitch-switch": "3.5.0-1"}
	for _, name := range []string{"ceph-common", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "radosgw"} {
		p[name] = ceph
	}
	return p
}

// TestAnImageWithoutWhatARoleNeeds: a host that would not serve is not begun, and all that is missing is told at once.
func TestAnImageWithoutWhatARoleNeeds(t *testing.T) {
	for name, in := range map[string]planner.Input{"install": input(site(2)), "upgrade": rolled(4)} {
		t.Run(name, func(t *testing.T) {
			for i := range in.Desired.Nodes {
				in.Desired.Nodes[i].Roles = []model.Role{model.RoleCompute, model.RoleCephMon, model.RoleCephOSD}
			}
			has := brings("", "18.2.7+ds-1")
			in.Packages = map[model.Digest]planner.Packages{imageDigest: has}
			mustMake(t, in)
			delete(has, "radosgw") // which nobody needs here
			mustMake(t, in)
			delete(has, "ceph-osd")
			delete(has, "libvirt-daemon-system")
			_, err := planner.Make(in)
			var refused *planner.Refusal
			if !errors.As(err, &refused) || len(refused.Reasons) != 2 {
				t.Fatalf("got %v, want two reasons", err)
			}
			for _, text := range []string{"has no package ceph-osd, which the role ceph-osd of", "has no package libvirt-daemon-system, which the role compute of", "more needs", "nuboctl image build debian-13"} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is missing in: %v", text, err)
				}
			}
			in.Packages = nil // nobody knows what the image brings
			mustMake(t, in)
		})
	}
	t.Run("what is there stays", func(t *testing.T) {
		in := rolled(4)
		in.Packages = map[model.Digest]planner.Packages{imageDigest: {}}
		for i := range in.Observed.Nodes {
			h := &in.Observed.Nodes[i].Host
			h.Image, h.Config = imageDigest, in.Desired.Nodes[i].Config
		}
		if p := mustMake(t, in); len(p.Stages) != 0 {
			t.Errorf("there are stages: %+v", p.Stages)
		}
	})
	t.Run("back", func(t *testing.T) {
		in := upgraded(4)
		delete(in.Packages[older], "ceph-osd") // the map that both images share
		mustMake(t, in)
	})
}
