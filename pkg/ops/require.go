package ops

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// requirePatience is how long the last daemons may take until they are in service.
const requirePatience = 15 * time.Minute

// cephRequire has a cluster start no OSD of an older release any more. Ceph itself looks only at OSDs that are up; here every one that the cluster has counts, since one
// that is down and older could not come back. It is asked right before, and nothing is changed while the answer is no.
func cephRequire(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	r, err := w.region(op.Target)
	if err != nil {
		return err
	}
	release, err := strconv.Atoi(string(wanted(op, plan.AttrRequire)))
	if err != nil {
		return fmt.Errorf("%s: the release that OSDs are to have is %q, which is no number", op.ID, wanted(op, plan.AttrRequire))
	}
	done, until := false, w.Clock.Now().Add(requirePatience)
	err = w.poll(ctx, func() (bool, error) {
		c, err := w.Clusters.Observe(ctx, r.Path)
		if done = c.Require >= release; err != nil || done {
			return true, err
		}
		why := behind(c, release)
		if len(why) == 0 {
			return true, nil
		}
		report(plan.Progress{Waiting: why[0]})
		if !w.Clock.Now().Before(until) {
			return true, &HaltedError{What: fmt.Sprintf("have the cluster of %s start no OSD older than release %d", r.Path, release), Why: why}
		}
		return false, fmt.Errorf("the cluster of %s is not all of release %d: %s", r.Path, release, strings.Join(why, "; "))
	})
	if err != nil || done {
		return err
	}
	report(plan.Progress{Text: fmt.Sprintf("from now on no OSD of a release below %d starts", release)})
	if err := w.Clusters.Require(ctx, r.Path, release); err != nil {
		return err
	}
	return w.appears(ctx, op, "the cluster to say so", report)
}

// behind tells why a cluster cannot do without OSDs older than a release yet; nothing when it can. OSDs that are up and out have started, and count like the others.
func behind(c model.ObservedCeph, release int) (why []string) {
	if c.Health == "HEALTH_ERR" {
		why = append(why, "it says HEALTH_ERR: "+strings.Join(c.Checks, "; "))
	}
	if len(c.OSDs) == 0 {
		why = append(why, "it has no OSDs")
	}
	daemon := func(name, version string, up bool) {
		switch has := model.CephMajor(version); {
		case !up:
			why = append(why, name+" is not in service")
		case has == 0:
			why = append(why, "the release of "+name+" is not known")
		case has < release:
			why = append(why, fmt.Sprintf("%s is of release %d", name, has))
		}
	}
	for _, m := range c.Mons {
		daemon("mon."+m.Name, m.Version, m.Up)
	}
	for _, o := range c.OSDs {
		daemon(fmt.Sprintf("osd.%d", o.ID), o.Version, o.Up)
	}
	return why
}
