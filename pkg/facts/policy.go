package facts

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// The ways to change a host: the image onto the idle slot and one restart; the machine laid down anew; packages on a drained host.
const (
	MethodSlot      = plan.MethodSlot
	MethodReinstall = plan.MethodReinstall
	MethodPackages  = plan.MethodPackages
)

// times are what predictions assume of one host until measured figures take their place: a server's firmware alone needs three to four minutes,
// an install two boots and the image, packages their installation and the restart of their services. Placement groups of a host that was out under noout catch up on what was
// written meanwhile; Rook waits 60 s before it trusts them to be clean, and so do we.
var times = map[string]plan.Times{
	MethodSlot:      {Host: 420, Recovery: 120, Settle: 5},
	MethodReinstall: {Host: 1500, Recovery: 240, Settle: 5},
	MethodPackages:  {Host: 180, Recovery: 120, Settle: 5},
}

// Policy resolves the rollout block. What it does not say: grade A, no canary, no bake, nothing reserved, and one host at a time.
func Policy(d model.Desired) (plan.Policy, error) {
	r := d.Rollout
	p := plan.Policy{
		Canary: r.Canary, MaxParallel: r.MaxParallel, Order: r.Order,
		Survive: plan.Grade(cmp.Or(r.Survive, "A")), Method: cmp.Or(r.Method, MethodSlot),
	}
	var errs []error
	wrong := func(attr, value, remedy string) {
		errs = append(errs, fmt.Errorf("rollout.%s %q is not understood: %s", attr, value, remedy))
	}
	var ok bool
	if p.Times, ok = times[p.Method]; !ok {
		wrong("method", r.Method, "write slot, reinstall or packages")
	}
	p.Stays = p.InPlace() && !slices.ContainsFunc(r.Snapshot.Packages, func(p model.SnapshotPackage) bool { return plan.SwitchPackage(p.Name) })
	if p.MaxUnavailable, ok = ParseMaxUnavailable(cmp.Or(r.MaxUnavailable, "1")); !ok {
		wrong("max_unavailable", r.MaxUnavailable, `write a number ("2"), a part ("10%") or places ("1 rack per zone")`)
	}
	if bake, err := time.ParseDuration(cmp.Or(r.Bake, "0s")); err != nil || bake < 0 {
		wrong("bake", r.Bake, `write a duration like "5m"`)
	} else {
		p.BakeSeconds = int64(bake / time.Second)
	}
	if p.ReservePercent, ok = percent(cmp.Or(r.Reserve, "0%")); !ok || p.ReservePercent > 90 {
		wrong("reserve", r.Reserve, `write a part from "0%" to "90%"`)
	}
	if p.Canary < 0 || p.MaxParallel < 0 {
		errs = append(errs, fmt.Errorf("rollout: canary %d and max_parallel %d must not be negative", p.Canary, p.MaxParallel))
	}
	return p, errors.Join(errs...)
}

// DrainPolicy is what a drain obeys of the rollout block: the reserve. Limits on how much may be out of service do not apply, since a drained host
// loses nothing but its virtual machines, and the one that has to be drained is often the one that ails.
func DrainPolicy(d model.Desired) (plan.Policy, error) {
	p, err := Policy(d)
	return plan.Policy{Method: plan.MethodDrain, ReservePercent: p.ReservePercent, Times: plan.Times{Settle: p.Times.Settle}}, err
}

// PolicyFor is what a plan of a goal with a certificate obeys. A rollback is to the other slot, whatever way hosts came here.
func PolicyFor(g plan.Goal, d model.Desired) (plan.Policy, error) {
	if g != plan.GoalUpgrade {
		d.Rollout.Snapshot = model.Snapshot{}
	}
	switch g {
	case plan.GoalDrain:
		return DrainPolicy(d)
	case plan.GoalRollback:
		d.Rollout.Method = MethodSlot
	case plan.GoalReinstall:
		d.Rollout.Method = MethodReinstall
	}
	return Policy(d)
}

// WithMethod is a policy by which hosts are changed in another way.
func WithMethod(p plan.Policy, method string) (plan.Policy, error) {
	t, ok := times[method]
	if !ok {
		return p, fmt.Errorf("there is no method %q: write slot, reinstall or packages", method)
	}
	p.Method, p.Times = method, t
	return p, nil
}

// ParseMaxUnavailable reads "2", "10%", "1 rack per zone", "10% per region", "2 nodes": a number of places (hosts where no level is named) or a
// part of the hosts, of each place of a level or of the whole cloud.
func ParseMaxUnavailable(text string) (plan.MaxUnavailable, bool) {
	var m plan.MaxUnavailable
	words := strings.Fields(text)
	if n := len(words); n > 2 && words[n-2] == "per" {
		if m.Per = words[n-1]; !level(m.Per) && m.Per != "region" && m.Per != "site" {
			return m, false
		}
		words = words[:n-2]
	}
	if len(words) == 1 && strings.HasSuffix(words[0], "%") {
		var ok bool
		m.Percent, ok = percent(words[0])
		return m, ok && m.Percent > 0
	}
	if len(words) == 0 || len(words) > 2 {
		return m, false
	}
	n, err := strconv.Atoi(words[0])
	m.Count, m.Unit = n, plan.LevelHost
	if len(words) == 2 {
		m.Unit = strings.TrimSuffix(words[1], "s")
		if words[1] == plan.LevelChassis { // the one that ends in s by itself
			m.Unit = plan.LevelChassis
		}
		if m.Unit == "node" {
			m.Unit = plan.LevelHost
		}
	}
	return m, err == nil && n > 0 && level(m.Unit)
}

func level(word string) bool {
	switch word {
	case plan.LevelHost, plan.LevelChassis, plan.LevelRack, plan.LevelZone:
		return true
	}
	return false
}

func percent(text string) (int, bool) {
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n <= 100
}
