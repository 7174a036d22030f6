package wave

import (
	"errors"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Drain makes the certificate of a drain: the hosts that the fleet says are to be changed, all of a zone in one batch, with a place elsewhere for every
// virtual machine on them. What else runs on the hosts goes on, so nothing of storage and services is asked. It gives a *plan.Refusal that names all that
// cannot leave.
func Drain(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
	c := newCloud(f, p)
	out := plan.Certificate{Fleet: f, Policy: p}
	var refusal plan.Refusal
	var zones []plan.ZoneBound
	for _, z := range c.zones {
		if z.change == 0 {
			continue
		}
		b := plan.Batch{Stage: len(out.Batches)}
		for _, h := range z.hosts {
			if c.toChange(h) {
				b.Hosts = append(b.Hosts, h)
			}
		}
		b, err := Place(f, p, b)
		var no *plan.Refusal
		if errors.As(err, &no) {
			refusal.Reasons = append(refusal.Reasons, no.Reasons...)
			continue
		} else if err != nil {
			return plan.Certificate{}, err
		}
		out.Batches = append(out.Batches, b)
		zones = append(zones, plan.ZoneBound{Binding: "one drain", Bound: 1, BoundSeconds: min(c.boundSeconds(z, 1), b.Seconds), Rounds: 1, Seconds: b.Seconds, Zone: z.path})
	}
	if len(refusal.Reasons) > 0 {
		return plan.Certificate{}, &refusal
	}
	out.Bound, out.Grade = total(zones), Grade(out.Batches)
	return out, nil
}
