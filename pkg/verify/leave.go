package verify

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// givingBack are the kinds of an undrain. It takes nothing out of service, and needs no certificate.
var givingBack = []plan.Kind{plan.CephStart, plan.CephRestore, plan.HostUncordon}

// installing are the kinds of the contract that a plan has also for a machine that carries nothing.
var installing = []plan.Kind{plan.SlotWrite, plan.HostVerify, plan.OrderArm, plan.BootNetwork, plan.PowerOn, plan.InstallWait}

// ending are those of them, and of an install, by which what runs on a machine ends.
var ending = []plan.Kind{plan.OrderArm, plan.PowerOff, plan.BootNetwork, plan.PowerOn}

// leaving is what ops that take a node out of service for good must expect, so that none can come before the one that makes it safe, whatever made the plan and
// whenever it goes on: data is elsewhere before an OSD goes, OSDs are gone before monitor and manager, all of them before a disk is wiped or the machine is off.
var leaving = map[plan.Kind]facts{
	plan.CephOut:     {},
	plan.CephEmpty:   {plan.AttrData: plan.Out},
	plan.CephPurge:   {plan.AttrData: plan.Out, plan.AttrEmpty: plan.Yes},
	plan.CephLeave:   {plan.AttrData: plan.None},
	plan.DiskWipe:    {plan.AttrData: plan.None, plan.AttrMember: plan.None},
	plan.PowerOff:    {plan.AttrData: plan.None, plan.AttrMember: plan.None, plan.AttrCordon: plan.Set, plan.AttrGuests: plan.None},
	plan.BMCIdentify: {},
}

// uncertified checks one op of a plan without a certificate: it belongs to a decommission and expects what it has to; or it removes OSDs that it names and
// whose disks are gone; or it takes nothing out of service. A machine is installed, or switched off, without a certificate only when no host answers on it.
func uncertified(p plan.Plan, o plan.Op) error {
	needs, leaves := leaving[o.Kind]
	_, rolls := contract[o.Kind]
	runs := p.Initial[o.Target]
	lost := plan.Fact{Attr: plan.AttrLost, Subject: o.Target, Value: o.Args["osds"]}
	switch {
	case p.Goal == plan.GoalDecommission && leaves:
		return expects(p, o, needs)
	case o.Kind == plan.CephRequire:
		return endsAlone(p, o)
	case p.Goal == plan.GoalDecommission:
		return fmt.Errorf("%s has no place in a decommission", o.ID)
	case o.Kind == plan.CephPurge && lost.Value != "":
		if !slices.Contains(o.Pre, lost) {
			return fmt.Errorf("%s does not expect that the OSDs which it names are lost", o.ID)
		}
	case leaves && o.Kind != plan.PowerOff && o.Kind != plan.BMCIdentify:
		return fmt.Errorf("%s takes a node out of service for good, and the plan's goal is %s", o.ID, p.Goal)
	case slices.Contains(ending, o.Kind) && (runs[plan.AttrKVM] != "" || runs[plan.AttrHost] != "" && runs[plan.AttrHost] != plan.Anew):
		return fmt.Errorf("%w: %s ends what runs on a host that answers", ErrNoCertificate, o.ID)
	case rolls && !slices.Contains(installing, o.Kind) && !(p.Goal == plan.GoalUndrain && slices.Contains(givingBack, o.Kind)):
		return fmt.Errorf("%w: %s takes a host out of service", ErrNoCertificate, o.ID)
	}
	return nil
}

// expects demands the preconditions of an op, as far as they concern its node: facts of a cluster its members, cordon and guests hosts that run virtual machines.
func expects(p plan.Plan, o plan.Op, needs facts) error {
	is := p.Initial[o.Target]
	for attr, value := range needs {
		concerned := is[plan.AttrData] != "" || is[plan.AttrMember] != ""
		if attr == plan.AttrGuests || attr == plan.AttrCordon {
			concerned = is[plan.AttrKVM] != ""
		}
		if attr == plan.AttrCordon && is[attr] == plan.Drained {
			value = plan.Drained
		}
		if concerned && !slices.Contains(o.Pre, plan.Fact{Attr: attr, Subject: o.Target, Value: value}) {
			return fmt.Errorf("%s does not expect %s to be %q", o.ID, attr, value)
		}
	}
	return nil
}
