package wave

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Predictions are in whole numbers, so that every machine makes the same plan.

// copied is what a live migration sends, in MiB: memory is copied in passes, each as large as what was written during the one before, which sums to
// memory / (1 - dirty/speed). Half of the speed is the most that a guest may write; beyond that it is slowed down (auto-converge).
func copied(s *plan.Shape, speed int64) int64 {
	if speed <= 0 {
		return s.MemoryMiB
	}
	dirty := min(int64(float64(s.DirtyMiBs*1000)), speed*500)
	return s.MemoryMiB * speed * 1000 / (speed*1000 - dirty)
}

// draining predicts how long the batch's migrations take: each host sends one after the other, and cards and links are shared.
func (c *cloud) draining(d draft) int64 {
	chain, arrive := map[int32]int64{}, map[int32]int64{}
	var longest int64
	for _, m := range d.moves {
		s := &c.f.Shapes[c.f.VMs.Shape[m.vm]]
		speed := slower(c.f.Hosts[m.from].MiBs, c.f.Hosts[m.to].MiBs)
		sent := copied(s, speed)
		chain[m.from] += c.p.Times.Settle
		if speed > 0 {
			chain[m.from] += (sent + speed - 1) / speed
			arrive[m.to] += sent
			longest = max(longest, arrive[m.to]/speed)
		}
		longest = max(longest, chain[m.from])
	}
	for link, busy := range c.crossing(d) {
		if speed := c.f.Links[link].MiBs; speed > 0 {
			longest = max(longest, busy/speed)
		}
	}
	return longest
}

func slower(a, b int64) int64 {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}

// crossing is how much a batch sends over each link.
func (c *cloud) crossing(d draft) map[int32]int64 {
	out := map[int32]int64{}
	if c.links == nil {
		return out
	}
	for _, m := range d.moves {
		shape := &c.f.Shapes[c.f.VMs.Shape[m.vm]]
		for _, ends := range [2][2]int32{{m.from, m.to}, {m.to, m.from}} {
			for _, link := range c.links[ends[0]] {
				if !slices.Contains(c.links[ends[1]], link) {
					out[link] += copied(shape, c.f.Links[link].MiBs)
				}
			}
		}
	}
	return out
}

// seconds predicts a batch: drain, restart and verify, recover, bake.
func (c *cloud) seconds(d draft, osd map[int32]bool) int64 {
	total := c.draining(d) + c.p.Times.Host + c.p.BakeSeconds
	for _, h := range d.hosts {
		if osd[h] {
			return total + c.p.Times.Recovery
		}
	}
	return total
}

// boundSeconds is what no rollout of the zone can do faster: every batch restarts and bakes, every host sends what is on it at least once over its own
// card, and no more hosts send at once than a batch may have. Whoever may be stopped need not be sent.
func (c *cloud) boundSeconds(z *zone, rounds int) int64 {
	if rounds == 0 {
		return 0
	}
	chain := map[int32]int64{}
	for _, v := range z.vms {
		h := c.f.VMs.Host[v]
		if !c.toChange(h) || c.fixed[v] || c.consent[v] {
			continue
		}
		chain[h] += c.p.Times.Settle
		if speed := c.f.Hosts[h].MiBs; speed > 0 {
			chain[h] += copied(&c.f.Shapes[c.f.VMs.Shape[v]], speed) / speed
		}
	}
	var sum, longest int64
	for _, n := range chain {
		sum += n
		longest = max(longest, n)
	}
	at := int64(z.change)
	if n := z.budget.hosts; n > 0 {
		at = min(at, int64(n))
	}
	return int64(rounds)*(c.p.Times.Host+c.p.BakeSeconds) + max(longest, sum/max(1, at))
}
