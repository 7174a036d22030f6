package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Storage implements ops.Storage: the Ceph clusters of regions as their hosts see them, over SSH.
type Storage struct {
	Desired model.Desired
	Links   *Links
	Epoch   int64 // goes with every change
	Log     *slog.Logger
	// Owner is written beside what is set, for people: who runs this.
	Owner string
	Now   func() time.Time // time.Now unless set

	mu    sync.Mutex
	asked map[model.Path]model.Path // region → the monitor's node that answered last
}

func (s *Storage) on(n model.Node) remote.Host {
	return remote.Fenced{Host: s.Links.To(n), Epoch: s.Epoch}
}

func (s *Storage) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// askTime bounds a question to one monitor's host.
const askTime = 3 * time.Minute

// Observe tells of the node's daemons, and of every placement group that has a copy there.
func (s *Storage) Observe(ctx context.Context, n model.Node) (ops.Ceph, error) {
	if !inCluster(n) {
		return ops.Ceph{Daemons: plan.Stopped}, nil
	}
	st, _, err := s.stand(ctx, n)
	if err != nil {
		return ops.Ceph{}, err
	}
	d, err := s.find(ctx, n, st.FSID)
	if err != nil {
		return ops.Ceph{}, err
	}
	out := ops.Ceph{Daemons: standing(st.Standing, d), Unsure: st.Unsure}
	if end := st.Mark.End(); st.Noout && end.After(st.Now) {
		out.Noout = st.asked.Add(end.Sub(st.Now)) // by our clock
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(st.Here, d.OSDs)))) {
		out.OSDs = append(out.OSDs, int32(id))
	}
	data := map[int]string{}
	for _, o := range st.OSDs {
		if slices.Contains(st.Here, o.ID) {
			data[o.ID] = o.FSID
		}
	}
	out.Data = facts.OSDData(data)
	for _, p := range st.Pools {
		out.Pools = append(out.Pools, ops.CephPool(p))
	}
	return out, nil
}

func inCluster(n model.Node) bool {
	return slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(facts.CephRoles(), r) })
}

// standing puts together what the host and the cluster say of the host's daemons. Stopped is the host's word: the cluster takes a while to miss a manager.
// An OSD that is neither on the host's disks nor in is one that was given up: nobody waits for it.
func standing(st ceph.Standing, d ceph.Daemons) string {
	if len(d.Running) == 0 {
		return plan.Stopped
	}
	up := d.Mon == "" || slices.Contains(st.Quorum, d.Mon)
	up = up && (d.Mgr == "" || st.Manager == d.Mgr || slices.Contains(st.Standbys, d.Mgr))
	up = up && (d.Gateway == "" || (slices.Contains(st.Gateways, d.Gateway) && ceph.GatewayRuns(d.Gateway, d.Running)))
	up = up && (d.MDS == "" || (slices.Contains(st.Servers, d.MDS) && ceph.MDSRuns(d.MDS, d.Running)))
	for _, o := range st.OSDs {
		here := slices.Contains(st.Here, o.ID)
		if slices.Contains(d.OSDs, o.ID) || (here && o.In) {
			up = up && o.Up && o.In
		}
	}
	if up {
		return plan.Up
	}
	return ""
}

// stood is how a host of a cluster stood, and when that was asked by our clock. The answer's own Now is a while later, never earlier, however slow the hosts
// are: an end that is told by both comes out too soon by that, and one that is set too late.
type stood struct {
	ceph.Standing
	asked time.Time
}

// stand asks the node's cluster through a monitor's host, and tells which one it was. The node's own comes last: it may be on its way down.
func (s *Storage) stand(ctx context.Context, n model.Node) (stood, model.Node, error) {
	var errs []error
	for _, m := range s.monitors(n) {
		st, err := s.standAt(ctx, m, n)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.asked == nil {
				s.asked = map[model.Path]model.Path{}
			}
			s.asked[n.Path.Region()] = m.Path
			return st, m, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.Path, err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no node of the inventory has the role ceph-mon there"))
	}
	return stood{}, model.Node{}, fmt.Errorf("ask the Ceph cluster of %s: %w", n.Path.Region(), errors.Join(errs...))
}

func (s *Storage) standAt(ctx context.Context, m, n model.Node) (stood, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	link, asked := s.Links.To(m), s.now()
	st, err := ceph.Stand(ctx, link, n.Name)
	if err != nil && errors.Is(err, remote.ErrUnreachable) {
		link.Drop()
	}
	return stood{st, asked}, err
}

// monitors are the nodes of the node's region with a monitor: the one that answered last, then the others, then the node itself.
func (s *Storage) monitors(n model.Node) []model.Node {
	s.mu.Lock()
	last := s.asked[n.Path.Region()]
	s.mu.Unlock()
	var out []model.Node
	for _, m := range facts.CephNodes(s.Desired, n.Path.Region()) {
		if slices.Contains(m.Roles, model.RoleCephMon) {
			out = append(out, m)
		}
	}
	rank := func(m model.Node) int {
		switch {
		case m.Leaves():
			return 3
		case m.Path == n.Path:
			return 2
		case m.Path == last:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b model.Node) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// find looks for the daemons on the node's own host.
func (s *Storage) find(ctx context.Context, n model.Node, fsid string) (ceph.Daemons, error) {
	link := s.Links.To(n)
	d, err := ceph.Find(ctx, link, fsid)
	if err != nil {
		if errors.Is(err, remote.ErrUnreachable) {
			link.Drop()
		}
		return d, fmt.Errorf("%s: %w", n.Path, err)
	}
	return d, nil
}

// SetNoout sets noout for the node's bucket, or unsets it when until is zero. The cluster keeps the end, with owner and epoch, and every monitor's host
// that answers waits for it; at least one must. A flag that was there before us is left to whoever set it, then and afterwards.
func (s *Storage) SetNoout(ctx context.Context, n model.Node, until time.Time) error {
	st, mon, err := s.stand(ctx, n)
	if err != nil {
		return err
	}
	if st.Mark.Epoch > s.Epoch {
		return fmt.Errorf("noout of %s: %w: its mark has epoch %d, this is %d", n.Name, remote.ErrFenced, st.Mark.Epoch, s.Epoch)
	}
	ours := st.Mark.Until != 0
	kept := (ours && st.Mark.Undo == "" || !ours) && st.Noout
	if until.IsZero() {
		return s.unset(ctx, n, mon, ours, kept)
	}
	m := ceph.Mark{Until: st.Now.Add(until.Sub(st.asked)).Unix(), Owner: s.Owner, Epoch: s.Epoch}
	if err := ceph.MarkNoout(ctx, s.on(mon), n.Name, m, kept); err != nil {
		return fmt.Errorf("%s: %w", mon.Path, err)
	}
	if err := s.arm(ctx, n, ceph.NooutKey(n.Name)); err != nil {
		if ours { // those that were told of it before go on waiting
			return err
		}
		return errors.Join(err, s.unset(ctx, n, mon, true, true))
	}
	s.hold(ctx, n, mon, m)
	if kept {
		s.Log.Info("noout was set by somebody else before, and stays when we are done", "host", n.Name)
		return nil
	}
	if err := ceph.SetNoout(ctx, s.on(mon), n.Name); err != nil {
		return fmt.Errorf("%s: set noout of %s: %w", mon.Path, n.Name, err)
	}
	return s.readBack(ctx, n, mon, m)
}

// readBack makes sure that what was set is there, and that the mark did not end before the flag was set: nobody would take that away.
func (s *Storage) readBack(ctx context.Context, n, mon model.Node, want ceph.Mark) error {
	st, err := s.standAt(ctx, mon, n)
	switch {
	case err != nil:
		return fmt.Errorf("%s: read noout of %s back: %w", mon.Path, n.Name, err)
	case st.Mark.Until == 0:
		return errors.Join(fmt.Errorf("noout of %s ended before it was set: its time is too short", n.Name), s.unset(ctx, n, mon, true, false))
	case !st.Noout || st.Mark.Until != want.Until:
		return fmt.Errorf("noout of %s was set until %s, and is not there", n.Name, want.End().UTC().Format(time.RFC3339))
	}
	return nil
}

// holdLonger is how long the balancer is held beyond noout, so that it does not begin between two batches.
const holdLonger = time.Hour

// hold keeps the balancer from moving data. That it could not be held stops nothing: its moves only cost time.
func (s *Storage) hold(ctx context.Context, n, mon model.Node, noout ceph.Mark) {
	noout.Until += int64(holdLonger.Seconds())
	marked, err := ceph.HoldBalancer(ctx, s.on(mon), noout)
	if marked {
		err = errors.Join(err, s.arm(ctx, n, ceph.BalancerKey))
	}
	if err != nil {
		s.Log.Warn("the balancer goes on, or may be held for longer than it should", "region", string(n.Path.Region()), "error", err)
	}
}

// arm has the monitors' hosts wait for the end of a mark.
func (s *Storage) arm(ctx context.Context, n model.Node, key string) error {
	var wait sync.WaitGroup
	list := s.monitors(n)
	errs := make([]error, len(list))
	for i, m := range list {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			if err := ceph.Arm(ctx, s.on(m), key); err != nil {
				errs[i] = fmt.Errorf("%s: %w", m.Path, err)
			}
		})
	}
	wait.Wait()
	armed := 0
	for _, err := range errs {
		switch {
		case err == nil:
			armed++
		case errors.Is(err, remote.ErrFenced):
			return err
		default:
			s.Log.Warn("a monitor's host does not wait for the end of what was set", "error", err)
		}
	}
	if armed == 0 {
		return fmt.Errorf("no monitor's host waits for the end of %s, so it was not set: %w", key, errors.Join(errs...))
	}
	return nil
}

// unset takes noout away, and what waits for its end.
func (s *Storage) unset(ctx context.Context, n, mon model.Node, ours, kept bool) error {
	if !ours {
		return nil // none, or somebody else's
	}
	if err := ceph.UnsetNoout(ctx, s.on(mon), n.Name, kept); err != nil {
		return fmt.Errorf("%s: unset noout of %s: %w", mon.Path, n.Name, err)
	}
	for _, m := range s.monitors(n) {
		if err := ceph.DisarmNoout(ctx, s.on(m), n.Name); err != nil { // what waits finds no mark, and ends
			s.Log.Debug("what waits for the end of noout was not stopped", "node", string(m.Path), "error", err)
		}
	}
	return nil
}

// OKToStop is Ceph's own answer to whether the node's daemons may stop now: nil, or why not.
func (s *Storage) OKToStop(ctx context.Context, n model.Node) error {
	if !inCluster(n) {
		return nil
	}
	st, mon, err := s.stand(ctx, n)
	if err != nil {
		return err
	}
	d, err := s.find(ctx, n, st.FSID)
	if err != nil {
		return err
	}
	var osds []int
	for _, o := range st.OSDs {
		if o.Up && (slices.Contains(st.Here, o.ID) || slices.Contains(d.OSDs, o.ID)) {
			osds = append(osds, o.ID)
		}
	}
	if err := ceph.OKToStop(ctx, s.Links.To(mon), osds, d.Mon, d.Mgr, d.MDS); err != nil {
		return fmt.Errorf("Ceph says that the daemons of %s may not stop: %w", n.Path, err)
	}
	return nil
}

// SetDaemons starts or stops the node's daemons. A manager that is the active one, and a metadata server that holds a rank, are failed over first; the latter's standby serves
// before any OSD stops, since it has a journal to read. Daemons of another release than the one that was
// stopped are started only on a slot that has been declared good, and by starting them it is: there is no way back from there.
func (s *Storage) SetDaemons(ctx context.Context, n model.Node, run bool) error {
	if !inCluster(n) {
		return nil
	}
	host := s.on(n)
	if !run {
		return s.stop(ctx, n, host)
	}
	if err := s.configured(ctx, n, host); err != nil {
		return err
	}
	err := ceph.Start(ctx, host, false)
	if errors.Is(err, ceph.ErrHeld) {
		s.Log.Warn("its Ceph is of another release: the slot becomes the default before it starts, and there is no way back to the old one", "node", string(n.Path))
		if _, err = (slot.Agent{Host: host, Epoch: s.Epoch}).Good(ctx); err == nil {
			err = ceph.Start(ctx, host, true)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// configured gives a host that was laid down without its old state the cluster's address, which its OSDs need to be found and started.
func (s *Storage) configured(ctx context.Context, n model.Node, host remote.Host) error {
	_, err := remote.ReadFile(ctx, host, cephConf)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, mon, err := s.stand(ctx, n)
	if err == nil {
		err = copyConf(ctx, s.Links.To(mon), host)
	}
	if err != nil {
		return fmt.Errorf("%s: bring %s there: %w", n.Path, cephConf, err)
	}
	return nil
}

func (s *Storage) stop(ctx context.Context, n model.Node, host remote.Host) error {
	st, mon, err := s.stand(ctx, n)
	if err != nil {
		return err
	}
	d, err := s.find(ctx, n, st.FSID)
	if err != nil {
		return err
	}
	if d.Mgr != "" && st.Manager == d.Mgr && len(st.Standbys) > 0 {
		if err := ceph.FailOver(ctx, s.on(mon), d.Mgr); err != nil {
			return fmt.Errorf("%s: have another manager take over from mgr.%s: %w", mon.Path, d.Mgr, err)
		}
	}
	if d.MDS != "" && slices.ContainsFunc(st.SpareServers, func(name string) bool { return name != d.MDS }) {
		if err := ceph.FailOverMDS(ctx, s.on(mon), d.MDS); err != nil {
			return fmt.Errorf("%s: have another metadata server take over from mds.%s: %w", mon.Path, d.MDS, err)
		}
	}
	if err := ceph.Stop(ctx, host); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	s.tellDown(ctx, n, mon, st, d)
	return nil
}

// tellDown tells the monitors that the node's OSDs have ended. An OSD says so itself and ends when nobody has heard it within seconds (osd_mon_shutdown_timeout);
// until others miss it, clients wait for it, and its copies count. That nobody could be told stops nothing.
func (s *Storage) tellDown(ctx context.Context, n, mon model.Node, st stood, d ceph.Daemons) {
	var osds []int
	for _, o := range st.OSDs {
		if o.Up && slices.Contains(d.OSDs, o.ID) {
			osds = append(osds, o.ID)
		}
	}
	if mon.Path == n.Path { // it was the only one
		return
	}
	if err := ceph.Down(ctx, s.on(mon), osds); err != nil {
		s.Log.Warn("the monitors were not told that OSDs have ended, and find out by themselves", "node", string(n.Path), "error", err)
	}
}
