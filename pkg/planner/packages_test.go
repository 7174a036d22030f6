package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// patched is a region whose hosts have every package of a snapshot in an older version. Packages are "NAME VERSION".
func patched(hosts int, list ...string) planner.Input {
	in := rolled(hosts)
	snap := model.Snapshot{Name: "fix"}
	for _, p := range list {
		name, version, _ := strings.Cut(p, " ")
		snap.Packages = append(snap.Packages, model.SnapshotPackage{Name: name, Version: version})
	}
	snap.Digest = model.DigestJSON(snap)
	in.Desired.Rollout.Method, in.Desired.Rollout.Snapshot = facts.MethodPackages, snap
	for i := range in.Observed.Nodes {
		o := &model.ObservedPackages{Against: snap.Digest, Services: []string{"chrony.service", "libvirt-guests.service"}}
		for _, p := range snap.Packages {
			o.Installed = append(o.Installed, model.ObservedPackage{Name: p.Name, Version: p.Version[:len(p.Version)-1] + "1", Is: facts.PackageOlder})
		}
		in.Observed.Nodes[i].Host.Packages = o
		in.Observed.Ceph[0].Hosts = append(in.Observed.Ceph[0].Hosts, model.ObservedCephHost{Node: in.Desired.Nodes[i].Path, Running: []string{"osd"}})
	}
	return in
}

func batchKinds(p plan.Plan, stage int) (out []string) {
	for _, o := range p.Stages[stage].Order() {
		out = append(out, string(o.Kind))
	}
	return out
}

// What a snapshot holds decides what happens to a host: nothing stops, Ceph's daemons do, or everything leaves.
func TestUpgradeByPackages(t *testing.T) {
	for name, c := range map[string]struct {
		packages []string
		kinds    []string
		moves    bool
	}{
		"nothing stops": {[]string{"libssl3 3.0.11-2"}, []string{"batch.certify", "host.cordon", "packages.install", "host.uncordon", "batch.gate", "batch.bake"}, false},
		"Ceph's daemons": {[]string{"ceph-osd 18.2.7-2", "libssl3 3.0.11-2"}, []string{"batch.certify", "host.cordon", "ceph.noout", "ceph.stop", "packages.install", "ceph.start", "ceph.restore",
			"host.uncordon", "batch.gate", "batch.bake"}, false},
		"Open vSwitch": {[]string{"libssl3 3.0.11-2", "openvswitch-switch 3.1.0-2"}, []string{"batch.certify", "host.cordon", "host.drain", "ceph.noout", "ceph.stop", "packages.install", "ceph.start",
			"ceph.restore", "host.uncordon", "batch.gate", "batch.bake"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := patched(6, c.packages...)
			p := mustMake(t, in)
			if err := verify.Plan(p); err != nil {
				t.Fatal(err)
			}
			if n := len(p.Stages[0].Ops); n != 12 || p.Stages[0].Ops[0].Kind != plan.PackagesFetch || p.Stages[0].Title != "bring the packages to the hosts" {
				t.Errorf("the first stage is %s with %d ops", p.Stages[0].Title, n)
			}
			if diff := cmp.Diff(c.kinds, batchKinds(p, 1)); diff != "" {
				t.Error(diff)
			}
			if moves := slices.ContainsFunc(p.Certificate.Batches, func(b plan.Batch) bool { return len(b.Moves.VM) > 0 }); moves != c.moves {
				t.Errorf("machines move: %v", moves)
			}
			final, snap := p.Final(), in.Desired.Rollout.Snapshot
			for _, n := range in.Desired.Nodes {
				sub := plan.NodeSubject(n.Path)
				for a, v := range map[plan.Attr]string{plan.AttrPackages: string(snap.Digest), plan.AttrHost: string(facts.HostSpec(older, n.Config)), plan.AttrCordon: "", plan.AttrNoout: "", plan.AttrGuests: ""} {
					if final.Get(sub, a) != v {
						t.Errorf("%s: %s is %q", n.Path, a, final.Get(sub, a))
					}
				}
			}
			if p.Provenance.Snapshot == nil || p.Provenance.Snapshot.Digest != snap.Digest {
				t.Errorf("the plan names the snapshot %+v", p.Provenance.Snapshot)
			}
			for _, o := range p.Stages[1].Ops {
				if o.Kind == plan.PackagesInstall && (!strings.Contains(o.Args[plan.ArgPackages], "libssl3=3.0.11-2") || !strings.Contains(o.Args["before"], "libssl3=3.0.11-1")) {
					t.Errorf("%s tells %v", o.ID, o.Args)
				}
			}
		})
	}
}

// A plan of packages replanned from any of its stages is the rest of itself.
func TestPackagesReplanned(t *testing.T) {
	in := patched(6, "ceph-osd 18.2.7-2", "libssl3 3.0.11-2")
	p := mustMake(t, in)
	for i := range p.Stages {
		st := p.Initial.Clone()
		for _, s := range p.Stages[:i] {
			for _, o := range s.Ops {
				for _, f := range o.Post {
					st.Set(f)
				}
			}
		}
		again, err := planner.FromState(in, st)
		if err != nil || len(again.Stages) != len(p.Stages)-i {
			t.Errorf("from stage %d on there are %d stages, %v", i+1, len(again.Stages), err)
		}
	}
}

// Whoever reads the plan is told what changes where, what is restarted, and that there is no way back but a slot.
func TestPackagesAreTold(t *testing.T) {
	in := patched(3, "libssl3 3.0.11-2", "qemu-system-x86 1:7.2.0-2")
	in.Observed.Nodes[0].Host.Idle = &model.ObservedSlot{Image: older, Proven: true}
	in.Observed.Nodes[1].Host.Packages.Services = nil
	p := mustMake(t, in)
	for _, want := range []string{
		"n00, n01, n02, n03 and 2 more: ~ libssl3 3.0.11-1 → 3.0.11-2, ~ qemu-system-x86 1:7.2.0-1 → 1:7.2.0-2",
		"n00, n02, n03, n04 and 1 more: services: restarted: chrony.service; left as they run until the host restarts: libvirt-guests.service",
		"n01: no service of snapshot fix runs there, so none is restarted",
		"virtual machines keep the QEMU that they were started with until they are moved or restarted",
		"packages in place are one-way: none is taken back. What a host had before is in the plan and is recorded there; the way back is a slot: nuboctl rollback, where the other slot holds what was proven good " +
			"(1 of 6 hosts), or an upgrade to an image with the packages that are wanted",
	} {
		if !slices.Contains(p.Notes, want) {
			t.Errorf("nobody is told %q\nbut %q", want, p.Notes)
		}
	}
}

func TestPackagesThatAreRefused(t *testing.T) {
	each := func(in planner.Input, do func(o *model.ObservedPackages)) {
		for i := range in.Observed.Nodes {
			do(in.Observed.Nodes[i].Host.Packages)
		}
	}
	for name, c := range map[string]struct {
		in   func() planner.Input
		says []string
	}{
		"no snapshot": {func() planner.Input {
			in := patched(3, "libssl3 3.0.11-2")
			in.Desired.Rollout.Snapshot = model.Snapshot{}
			return in
		}, []string{"needs a snapshot", "--packages NAME"}},
		"not in the store": {func() planner.Input {
			in := patched(3, "libssl3 3.0.11-2")
			in.Desired.Rollout.Snapshot = model.Snapshot{Name: "fix"}
			return in
		}, []string{"snapshot fix is not in the image store", "--from DIR"}},
		"a kernel and a boot loader": {func() planner.Input {
			return patched(3, "grub-efi-amd64-bin 2.12-2", "libssl3 3.0.11-2", "linux-image-amd64 6.12-2")
		},
			[]string{"only when the machine restarts: grub-efi-amd64-bin, linux-image-amd64", `method = "slot"`}},
		"back": {func() planner.Input {
			in := patched(3, "libssl3 3.0.11-2")
			in.Observed.Nodes[4].Host.Packages.Installed[0] = model.ObservedPackage{Name: "libssl3", Version: "3.0.12-1", Is: facts.PackageNewer}
			return in
		}, []string{"s/r/az2/rack-0/n04", "libssl3 3.0.12-1 is installed there, and the snapshot would take it back to 3.0.11-2"}},
		"not installed": {func() planner.Input {
			in := patched(3, "chrony 4.3-2", "libssl3 3.0.11-2")
			each(in, func(o *model.ObservedPackages) { o.Installed = o.Installed[1:] })
			return in
		}, []string{"chrony is not installed there", "(so on 6 hosts)", "leave it out of snapshot fix"}},
		"another Ceph": {func() planner.Input {
			in := patched(3, "ceph-osd 18.2.7-2")
			each(in, func(o *model.ObservedPackages) { o.Installed[0].Version = "16.2.15-1" })
			return in
		}, []string{"ceph-osd would go from 16.2.15-1 to 18.2.7-2, another release of Ceph"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := refusal(t, c.in())
			for _, want := range c.says {
				if !strings.Contains(fmt.Sprint(r.Error(), r.Reasons), want) {
					t.Errorf("%v does not say %q", r, want)
				}
			}
		})
	}
}

// A package that comes new is installed when one that is upgraded needs it, also over another new one.
func TestNewPackagesThatAreNeeded(t *testing.T) {
	in := patched(3, "chrony 4.3-2", "libnew 1-2", "libnewer 1-2")
	in.Desired.Rollout.Snapshot.Packages[0].Needs = []string{"libc6", "libnew"}
	in.Desired.Rollout.Snapshot.Packages[1].Needs = []string{"libnewer"}
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.Packages.Installed = in.Observed.Nodes[i].Host.Packages.Installed[:1]
	}
	p := mustMake(t, in)
	if !slices.ContainsFunc(p.Notes, func(n string) bool {
		return strings.HasSuffix(n, ": ~ chrony 4.3-1 → 4.3-2, + libnew 1-2, + libnewer 1-2")
	}) {
		t.Errorf("notes: %q", p.Notes)
	}
}

// Hosts that have the packages are left out, and those of which it is not known are told.
func TestHostsThatHaveThePackages(t *testing.T) {
	in := patched(3, "libssl3 3.0.11-2")
	snap := in.Desired.Rollout.Snapshot
	for i := range in.Observed.Nodes[:4] {
		o := in.Observed.Nodes[i].Host.Packages
		o.Done, o.Installed[0].Is = snap.Digest, facts.PackageSame
	}
	in.Observed.Nodes[3].Host.Packages.Done = "" // it was cut off before its services were restarted
	in.Observed.Nodes[4].Host.Packages = nil
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Error(err)
	}
	if len(p.Stages[0].Ops) != 2 || len(p.Left) != 1 || p.Left[0].Node != in.Desired.Nodes[4].Path {
		t.Errorf("packages go to %d hosts, left are %v", len(p.Stages[0].Ops), p.Left)
	}
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.Packages = in.Observed.Nodes[0].Host.Packages
	}
	if p := mustMake(t, in); !p.Empty() || p.Provenance.Snapshot == nil {
		t.Errorf("all have them, and there are %d stages", len(p.Stages))
	}
}
