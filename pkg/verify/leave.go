package verify

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// leaveOps are what ops that take a node out of service for good must expect, so that none can come before the one that makes it safe, whatever made the plan and
// whenever it goes on: data is elsewhere before an OSD goes, OSDs are gone before monitor and manager, all of them before a disk is wiped or the machine is off.
var leaveOps = map[plan.Kind][]plan.Attr{
	plan.CephOut: {}, plan.CephEmpty: {plan.AttrData}, plan.CephPurge: {plan.AttrData, plan.AttrEmpty}, plan.CephLeave: {plan.AttrData},
	plan.DiskWipe: {plan.AttrData, plan.AttrMember}, plan.PowerOff: {plan.AttrData, plan.AttrMember, plan.AttrCordon, plan.AttrGuests}, plan.BMCIdentify: {},
}

// leaveFact is the value that such an attribute must have. A cluster's data is out of a node before its OSDs go, and gone afterwards.
func leaveFact(k plan.Kind, a plan.Attr) string {
	switch {
	case a == plan.AttrEmpty:
		return plan.Yes
	case a == plan.AttrCordon:
		return plan.Set
	case a == plan.AttrData && (k == plan.CephEmpty || k == plan.CephPurge):
		return plan.Out
	}
	return plan.None
}

// concerned reports whether an attribute is about a node: those of a cluster about its members, and guests about hosts that run virtual machines.
func concerned(p plan.Plan, node plan.Subject, a plan.Attr) bool {
	if a == plan.AttrGuests || a == plan.AttrCordon {
		return p.Initial.Get(node, plan.AttrKVM) != ""
	}
	return p.Initial.Get(node, plan.AttrData) != "" || p.Initial.Get(node, plan.AttrMember) != ""
}

// leaves checks one op of a plan without a certificate: it belongs to a decommission and expects what it has to; or it removes OSDs that it names and whose disks
// are gone; or it is neither.
func leaves(p plan.Plan, o plan.Op) error {
	needs, ok := leaveOps[o.Kind]
	switch {
	case p.Goal != plan.GoalDecommission && o.Kind == plan.CephPurge && o.Args["osds"] != "":
		if !slices.Contains(o.Pre, plan.Fact{Attr: plan.AttrLost, Subject: o.Target, Value: o.Args["osds"]}) {
			return fmt.Errorf("%s does not expect that the OSDs which it names are lost", o.ID)
		}
		return nil
	case p.Goal != plan.GoalDecommission && (o.Kind == plan.PowerOff || o.Kind == plan.BMCIdentify):
		return nil
	case p.Goal != plan.GoalDecommission && ok:
		return fmt.Errorf("%s takes a node out of service for good, and the plan's goal is %s", o.ID, p.Goal)
	case p.Goal == plan.GoalDecommission && !ok:
		return fmt.Errorf("%s has no place in a decommission", o.ID)
	case p.Goal != plan.GoalDecommission:
		return nil
	}
	for _, a := range needs {
		want := plan.Fact{Attr: a, Subject: o.Target, Value: leaveFact(o.Kind, a)}
		if a == plan.AttrCordon && p.Initial.Get(o.Target, a) == plan.Drained {
			want.Value = plan.Drained
		}
		if concerned(p, o.Target, a) && !slices.Contains(o.Pre, want) {
			return fmt.Errorf("%s does not expect %s to be %q", o.ID, want.Attr, want.Value)
		}
	}
	return nil
}
