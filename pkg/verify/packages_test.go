package verify

import (
	"errors"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// ofPackages is a plan that is accepted: the hand-made rollout with every host getting packages in place. Without stays its hosts are emptied.
func ofPackages(t testing.TB, stays bool, list string) plan.Plan {
	t.Helper()
	f, p := small()
	p.Method, p.Stays = plan.MethodPackages, stays
	ceph := !stays || slices.ContainsFunc(packagesOf(&plan.Op{Args: map[string]string{plan.ArgPackages: list}}), func(v plan.PackageVersion) bool { return plan.CephPackage(v.Name) })
	kinds := slices.DeleteFunc(append([]plan.Kind{plan.PackagesFetch}, ways[plan.MethodPackages].chain...), func(k plan.Kind) bool {
		return stays && k == plan.HostDrain || !ceph && slices.Contains([]plan.Kind{plan.CephNoout, plan.CephStop, plan.CephStart, plan.CephRestore}, k)
	})
	out := rolloutOf(f, p, smallBatches, func(f plan.Fleet, hosts plan.Ints, batch int) plan.Stage {
		s := stageOf(f, hosts, batch, func(h int32) []plan.Kind { // the first one's files are brought before
			if h == 0 {
				return kinds[1:]
			}
			return kinds
		})
		for i := range s.Ops {
			o := &s.Ops[i]
			for j := range o.Pre {
				if o.Pre[j].Attr == plan.AttrHost {
					o.Pre[j].Attr = plan.AttrPackages
				}
			}
			if o.Kind == plan.PackagesInstall {
				o.Args = map[string]string{plan.ArgPackages: list}
			}
		}
		return s
	})
	out.Stages[0].Ops[0] = op(plan.PackagesFetch, first)
	for i, b := range cert(&out).Batches {
		if stays {
			b.Moves, b.Stops, b.Counts.Displaced = plan.Moves{}, nil, 0
			cert(&out).Batches[i] = b
		}
	}
	plan.Seal(&out)
	return out
}

func TestPackagesAreAccepted(t *testing.T) {
	for name, p := range map[string]plan.Plan{
		"emptied":              ofPackages(t, false, "libfoo=2 openvswitch-switch=3.1"),
		"machines stay":        ofPackages(t, true, "libfoo=2"),
		"daemons of Ceph stop": ofPackages(t, true, "ceph-osd=18.2 libfoo=2"),
	} {
		if err := Plan(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every damage to a plan of packages is found under its invariant.
func TestEveryDamageToPackagesIsFound(t *testing.T) {
	const quiet, ceph, emptied = "libfoo=2", "ceph-osd=18.2 libfoo=2", "libfoo=2 openvswitch-switch=3.1"
	install := func(t *testing.T, p *plan.Plan) *plan.Op { return find(t, p, "packages.install "+first) }
	for _, m := range []struct {
		name, list, rule, text string
		damage                 func(t *testing.T, p *plan.Plan)
	}{
		{"the switch goes under machines that stay", quiet, "ops", "takes the network away", func(t *testing.T, p *plan.Plan) { install(t, p).Args[plan.ArgPackages] = emptied }},
		{"nobody knows what is installed", quiet, "ops", "does not tell which packages", func(t *testing.T, p *plan.Plan) { install(t, p).Args = nil }},
		{"daemons run on while their package changes", quiet, "ops", "its stage lacks ceph.stop", func(t *testing.T, p *plan.Plan) { install(t, p).Args[plan.ArgPackages] = ceph }},
		{"daemons stop for nothing", ceph, "ops", "which it does not need", func(t *testing.T, p *plan.Plan) { install(t, p).Args[plan.ArgPackages] = quiet }},
		{"daemons start before the packages are there", ceph, "ops", "does not expect host", func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "ceph.start "+first), plan.AttrPackages) }},
		{"it installs beside running daemons", ceph, "ops", "does not expect ceph", func(t *testing.T, p *plan.Plan) { unpre(install(t, p), plan.AttrCeph) }},
		{"it installs what is not there", quiet, "ops", "does not expect staged", func(t *testing.T, p *plan.Plan) { unpre(install(t, p), plan.AttrStaged) }},
		{"the host is given back before", quiet, "ops", "does not expect host", func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "host.uncordon "+first), plan.AttrPackages) }},
		{"the host restarts as well", quiet, "ops", "which it does not need", func(t *testing.T, p *plan.Plan) {
			o := op(plan.SlotBoot, first)
			o.Pre, o.Needs = nil, []plan.OpID{plan.ID(plan.PackagesInstall, first)}
			p.Stages[1].Ops = append(p.Stages[1].Ops, o)
		}},
		{"emptied hosts are not", emptied, "ops", "its stage lacks host.drain", func(t *testing.T, p *plan.Plan) { drop(t, p, "host.drain "+first) }},
		{"machines leave although they stay", quiet, "I3", "virtual machines stay under this policy", func(_ *testing.T, p *plan.Plan) {
			cert(p).Batches[0].Moves = plan.Moves{VM: plan.Ints{0}, To: plan.Ints{1}, Cells: plan.Ints{0}}
		}},
		{"machines stay in a rollout by slot", quiet, "form", "cannot stay on hosts", func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Method = plan.MethodSlot }},
		{"two failure domains at once", quiet, "I6", "two failure domains", func(_ *testing.T, p *plan.Plan) {
			cert(p).Batches[2].Hosts = plan.Ints{no(0, 1, 0), no(0, 2, 0)}
		}},
		{"a rollback of packages", quiet, "form", "cannot have the method", func(_ *testing.T, p *plan.Plan) { p.Goal = plan.GoalRollback }},
	} {
		t.Run(m.name, func(t *testing.T) {
			p := ofPackages(t, m.list != emptied, m.list)
			m.damage(t, &p)
			match(&p)
			if err := Plan(p); !says(err, m.rule, m.text) {
				t.Errorf("got %v\nwant %s: …%s…", err, m.rule, m.text)
			}
		})
	}
}

func TestPackagesNeedACertificate(t *testing.T) {
	for _, k := range []plan.Kind{plan.PackagesFetch, plan.PackagesInstall} {
		p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Stages: []plan.Stage{{Title: "packages", Ops: []plan.Op{op(k, first)}}}}
		if err := Plan(p); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("%s alone: %v", k, err)
		}
	}
}
