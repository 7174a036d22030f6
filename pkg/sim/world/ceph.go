package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// How Ceph behaves. Copies that were out of service catch up with what was written meanwhile; those on a host that stays away for long are made anew
// elsewhere (mon_osd_down_out_interval), unless noout is set for it.
const (
	catchUp      = 20 * time.Second // and a tenth of the time that it was away
	outAfter     = 10 * time.Minute
	backfillTime = 40 * time.Minute
)

func (w *World) daemonsDown(i int32, ours bool) {
	h := &w.Truth.Hosts[i]
	if !h.Daemons {
		return
	}
	h.Daemons, h.OursCeph = false, ours && w.Truth.Stores(i) // a host without any has none that are out of service
	for _, g := range w.Truth.PGsOf[i] {
		pg := &w.Truth.PGs[g]
		pg.Behind |= 1 << slices.Index(pg.Hosts, i)
	}
	w.lag(i)
	w.tell(Act{Kind: DaemonsDown, Host: i, Ours: ours})
	w.peer()
}

// outLater marks a host's OSDs out when they have been away for long.
func (w *World) outLater(i int32, since, after time.Duration) {
	w.Time.After(after, func() {
		h := &w.Truth.Hosts[i]
		if h.Serves() || h.downAt != since {
			return
		}
		if h.Noout.After(w.Time.Now()) {
			w.outLater(i, since, h.Noout.Sub(w.Time.Now())+time.Second)
			return
		}
		w.Time.After(backfillTime, func() {
			if !h.Serves() && h.downAt == since {
				w.remap(i)
			}
		})
	})
}

// remap gives the copies of a host that is out to other hosts, each in a failure domain that has none of the placement group's.
func (w *World) remap(i int32) {
	t := &w.Truth
	var kept []int32
	for _, g := range t.PGsOf[i] {
		pg := &t.PGs[g]
		to := w.spare(pg)
		if to < 0 {
			kept = append(kept, g)
			continue
		}
		at := slices.Index(pg.Hosts, i)
		pg.Hosts[at] = to
		pg.Behind &^= 1 << at
		pg.Dead &^= 1 << at
		t.PGsOf[to] = append(t.PGsOf[to], g)
	}
	t.PGsOf[i] = kept
}

// spare is a host for another copy of a placement group; -1 when there is none.
func (w *World) spare(pg *PG) int32 {
	t := &w.Truth
	c := &t.Fleet.Clusters[pg.Cluster]
	if serving, _ := t.Serving(pg); serving == 0 {
		return -1
	}
	used := map[model.Path]bool{}
	for _, h := range pg.Hosts {
		if h >= 0 && t.Hosts[h].Serves() && !t.Hosts[h].Out {
			used[Place(&t.Fleet.Hosts[h], c.FailureDomain)] = true
		}
	}
	start := w.rng.IntN(max(1, len(c.OSDHosts)))
	for k := range c.OSDHosts {
		h := c.OSDHosts[(start+k)%len(c.OSDHosts)]
		if t.Hosts[h].Serves() && !t.Hosts[h].Out && !used[Place(&t.Fleet.Hosts[h], c.FailureDomain)] && !slices.Contains(pg.Hosts, h) {
			return h
		}
	}
	return -1
}

// Place is the place of a level that a host lies in.
func Place(h *plan.Host, level string) model.Path {
	switch {
	case level == plan.LevelRack:
		return h.Path.Rack()
	case level == plan.LevelZone:
		return h.Path.Zone()
	case level == plan.LevelChassis && h.Chassis != "":
		return h.Chassis
	}
	return h.Path
}

func (w *World) daemonsUp(i int32) {
	h := &w.Truth.Hosts[i]
	if h.Daemons || !h.Up {
		return
	}
	if has := w.Truth.Release(i); has > 0 && has < w.Truth.Required(i) {
		w.tell(Act{Kind: TooOld, Host: i})
		return
	}
	if mon, older := w.Truth.older(i); older {
		w.tell(Act{Kind: TooNew, Host: i, From: mon})
		return
	}
	h.Daemons, h.OursCeph = true, false
	w.tell(Act{Kind: DaemonsUp, Host: i})
	w.catchUp(i)
	w.peer()
}

// catchUp has the copies of a host that takes part again become complete.
func (w *World) catchUp(i int32) {
	h := &w.Truth.Hosts[i]
	if !h.Serves() {
		return
	}
	w.goesOn(i)
	away, since := w.Time.Since()-h.downAt, w.Time.Since()
	h.catching, h.downAt = true, since
	w.Time.After(catchUp+away/10, func() {
		if !h.Serves() || h.downAt != since {
			return
		}
		h.catching = false
		for _, g := range w.Truth.PGsOf[i] {
			pg := &w.Truth.PGs[g]
			if at := slices.Index(pg.Hosts, i); pg.Dead&(1<<at) == 0 {
				pg.Behind &^= 1 << at
			}
		}
	})
}

type storage struct{ w *World }

// Data is what identifies the OSDs of a host: installs leave their disks alone.
func (w *World) Data(host int) string {
	return facts.OSDData(map[int]string{host: "data-of-" + w.Truth.Fleet.Hosts[host].Path.Name()})
}

// reach is a host that answers, for what is asked of it over SSH.
func (w *World) reach(ctx context.Context, n model.Node) (int32, *Host, error) {
	if err := ctx.Err(); err != nil {
		return -1, nil, err
	}
	i, err := w.host(n)
	if err != nil {
		return -1, nil, err
	}
	h := &w.Truth.Hosts[i]
	if !h.Up || w.broken[i] == rack.HostSilent || w.opt.Faults.silent(w) {
		return -1, nil, fmt.Errorf("%s does not answer over SSH: connection timed out", n.Path)
	}
	return i, h, nil
}

// errNobody is what comes of a question to a cluster of which no monitor in quorum can be reached.
var errNobody = errors.New("no monitor of its region's cluster that is in quorum can be reached")

// daemons is what the cluster says of a host's daemons; empty: they run, and are not in service.
func (h *Host) daemons() string {
	switch {
	case !h.Daemons:
		return plan.Stopped
	case h.Cut:
		return ""
	}
	return plan.Up
}

// Observe implements ops.Storage.
func (s storage) Observe(ctx context.Context, n model.Node) (ops.Ceph, error) {
	i, h, err := s.w.reach(ctx, n)
	if err != nil {
		return ops.Ceph{}, err
	}
	if !s.w.asked(i) {
		return ops.Ceph{}, fmt.Errorf("%s: %w", n.Path, errNobody)
	}
	t := &s.w.Truth
	c := ops.Ceph{Daemons: h.daemons(), OSDs: []int32{i}}
	if c.Data = s.w.Data(int(i)); s.w.broken[i] == rack.OtherData {
		c.Data = ""
	}
	if h.Noout.After(s.w.Time.Now()) {
		c.Noout = h.Noout
	}
	last := PG{Cluster: -1}
	if s.w.opt.Careless {
		return c, nil
	}
	for k, g := range t.PGsOf[i] {
		pg := &t.PGs[g]
		if pg.Cluster != last.Cluster || pg.Pool != last.Pool {
			last = *pg
			p := t.Pool(pg)
			c.Pools = append(c.Pools, ops.CephPool{Name: p.Name, Size: p.Size, MinSize: p.MinSize, Acting: make([]int32, 0, (len(t.PGsOf[i])-k)*p.Size)})
		}
		p := &c.Pools[len(c.Pools)-1]
		for k, at := range pg.Hosts {
			if !t.Serves(pg, k) || pg.Behind&(1<<k) != 0 {
				at = -1
			}
			p.Acting = append(p.Acting, at)
		}
	}
	return c, nil
}

// SetNoout implements ops.Storage.
func (s storage) SetNoout(ctx context.Context, n model.Node, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i, err := s.w.host(n)
	if err != nil {
		return err
	}
	if !s.w.asked(i) {
		return fmt.Errorf("%s: %w", n.Path, errNobody)
	}
	s.w.Truth.Hosts[i].Noout = until // by the cluster: the host need not answer
	s.w.tell(Act{Kind: NooutSet, Host: i, Ours: true})
	return s.w.reply(i)
}

// OKToStop implements ops.Storage: Ceph counts the copies that take part, complete or not, and the monitors.
func (s storage) OKToStop(ctx context.Context, n model.Node) error {
	i, _, err := s.w.reach(ctx, n)
	if err != nil || s.w.opt.Careless {
		return err
	}
	if !s.w.asked(i) {
		return fmt.Errorf("%s: %w", n.Path, errNobody)
	}
	t := &s.w.Truth
	for _, g := range t.PGsOf[i] {
		pg := &t.PGs[g]
		serving, _ := t.Serving(pg)
		if t.Serves(pg, slices.Index(pg.Hosts, i)) && serving-1 < t.Pool(pg).MinSize {
			return fmt.Errorf("EBUSY: placement groups of pool %s would be offline without %s", t.Pool(pg).Name, n.Name)
		}
	}
	return nil
}

// SetDaemons implements ops.Storage.
func (s storage) SetDaemons(ctx context.Context, n model.Node, run bool) error {
	i, _, err := s.w.reach(ctx, n)
	if err != nil {
		return err
	}
	if run {
		s.w.Time.After(daemonTime, func() { s.w.daemonsUp(i) })
	} else {
		s.w.daemonsDown(i, true)
	}
	return s.w.reply(i)
}

// Stoppable tells whether every group with a member on the host can do without it.
func (w *World) Stoppable(ctx context.Context, n model.Node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i, err := w.host(n)
	if err != nil {
		return err
	}
	t := &w.Truth
	var errs []error
	for k := range t.Fleet.Groups {
		g := &t.Fleet.Groups[k]
		if !slices.Contains(g.Hosts, i) {
			continue
		}
		left := t.MembersUp(g)
		if t.Member(g, i) {
			left--
		}
		if least := Least(g); left < least {
			errs = append(errs, fmt.Errorf("%s would have %d members without %s and needs %d", g.Name, left, n.Name, least))
		}
	}
	return errors.Join(errs...)
}

// Least is how many members a group needs.
func Least(g *plan.Group) int {
	if g.Kind == plan.Quorum {
		return len(g.Hosts)/2 + 1
	}
	return 1
}

// Health lists what is wrong in a region: hosts that do not answer, placement groups that are not clean, groups without all their members.
func (w *World) Health(ctx context.Context, region model.Path, _ map[model.Path]bool) (wrong []string, err error) {
	t := &w.Truth
	if i := slices.IndexFunc(t.Fleet.Hosts, func(h plan.Host) bool { return h.Path.Region() == region }); i >= 0 && !w.asked(int32(i)) {
		wrong = append(wrong, errNobody.Error())
	}
	for c := range t.Fleet.Clusters {
		if t.Fleet.Clusters[c].Region == region {
			if n := w.unclean(int32(c)); n > 0 {
				wrong = append(wrong, fmt.Sprintf("HEALTH_WARN: placement groups on %d hosts of %s are not active and clean", n, region))
			}
		}
	}
	for k := range t.Fleet.Groups {
		g := &t.Fleet.Groups[k]
		if region.Contains(t.Fleet.Hosts[g.Hosts[0]].Path) && t.MembersUp(g) < len(g.Hosts) {
			wrong = append(wrong, g.Name+" lacks a member")
		}
	}
	return wrong, ctx.Err()
}

// unclean counts the hosts of a cluster that hold copies which are not in service or not complete.
func (w *World) unclean(c int32) int {
	t, n := &w.Truth, 0
	for _, h := range t.Fleet.Clusters[c].OSDHosts {
		if len(t.PGsOf[h]) > 0 && (!t.Hosts[h].Serves() || t.Hosts[h].catching || t.Hosts[h].deadOSDs > 0) {
			n++
		}
	}
	return n
}
