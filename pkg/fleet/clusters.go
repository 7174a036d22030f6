package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Clusters implements ops.Clusters: the regions' Ceph clusters, over SSH.
type Clusters struct {
	Desired model.Desired
	Links   *Links
	Epoch   int64 // goes with every change
	Log     *slog.Logger

	mu      sync.Mutex
	surveys map[model.Path]*rounds[survey] // by region
}

// survey is what was seen of a region's cluster at one time. It is shared, and nobody changes it.
type survey struct {
	members []member
	ceph    model.ObservedCeph // with the names of the inventory
	err     error              // the cluster does not answer; the members are known
}

// survey looks at all hosts of a region's cluster and asks the cluster. Ops of many hosts, which all want to know at once, share what is seen: else a
// region of n hosts would be looked at n times n times.
func (c *Clusters) survey(ctx context.Context, r model.Region) (survey, error) {
	c.mu.Lock()
	if c.surveys == nil {
		c.surveys = map[model.Path]*rounds[survey]{}
	}
	shared := c.surveys[r.Path]
	if shared == nil {
		shared = &rounds[survey]{}
		c.surveys[r.Path] = shared
	}
	c.mu.Unlock()
	return shared.ask(ctx, func(ctx context.Context) (survey, error) {
		var s survey
		var asked answer
		var wg sync.WaitGroup
		monitors := make(chan member, len(facts.CephNodes(c.Desired, r.Path)))
		wg.Go(func() { asked = c.ask(ctx, monitors) }) // while hosts that are slow, or do not answer, are still looked at
		s.members = c.lookFor(ctx, r.Path, monitors)
		wg.Wait()
		s.ceph, s.err = c.observe(r, s.members, asked)
		return s, nil
	})
}

// on is a node's host, which refuses changes under an older epoch than the newest that it has seen.
func (c *Clusters) on(n model.Node) remote.Host {
	return remote.Fenced{Host: c.Links.To(n), Epoch: c.Epoch}
}

// lookTime bounds the look at one host.
const lookTime = 3 * time.Minute

// member is a node with a role in a cluster, and what was seen there.
type member struct {
	node  model.Node
	state ceph.HostState
	err   error
}

func (m member) has(role model.Role) bool { return slices.Contains(m.node.Roles, role) }

// monitor reports whether a monitor's store is on the host, or a monitor runs there.
func (m member) monitor() bool {
	return m.err == nil && slices.ContainsFunc(slices.Concat(m.state.Stores, m.state.Running), func(s string) bool { return strings.HasPrefix(s, "mon.") })
}

// look looks at all hosts of a region's cluster at once.
func (c *Clusters) look(ctx context.Context, region model.Path) []member {
	return c.lookFor(ctx, region, make(chan member, len(facts.CephNodes(c.Desired, region))))
}

// lookFor is look, which tells of hosts with a monitor when it has found them: first of those that stay. The channel has room for all, and is closed.
func (c *Clusters) lookFor(ctx context.Context, region model.Path, monitors chan<- member) []member {
	defer close(monitors)
	nodes := facts.CephNodes(c.Desired, region)
	// Who stays comes first: it is he who is asked, and through whom is changed.
	slices.SortStableFunc(nodes, func(a, b model.Node) int { return cmp.Compare(a.State, b.State) })
	out := make([]member, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		out[i].node = n
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			link := c.Links.To(n)
			if out[i].state, out[i].err = ceph.Look(ctx, link); out[i].err != nil {
				link.Drop()
			}
			if out[i].monitor() && !n.Leaves() {
				monitors <- out[i]
			}
		})
	}
	wg.Wait()
	for _, m := range out {
		if m.monitor() && m.node.Leaves() {
			monitors <- m
		}
	}
	return out
}

// Observe tells what there is of a region's cluster. That it cannot be told is an error.
func (c *Clusters) Observe(ctx context.Context, region model.Path) (model.ObservedCeph, error) {
	r, err := c.region(region)
	if err != nil {
		return model.ObservedCeph{}, err
	}
	s, err := c.survey(ctx, r)
	return s.ceph, errors.Join(err, s.err)
}

func (c *Clusters) observe(r model.Region, members []member, asked answer) (model.ObservedCeph, error) {
	out, err := asked.of(r, members)
	if err != nil {
		return model.ObservedCeph{}, err
	}
	out.Region = r.Path
	c.name(&out, members)
	spec := c.spec(r, out.FSID)
	for _, m := range members {
		h := m.state.ObservedCephHost
		h.Node = m.node.Path
		if m.err != nil {
			h.Error = m.err.Error()
		} else {
			place := c.place(r, m)
			h.Declared = m.state.Declared(ceph.Conf(spec, &place))
		}
		out.Hosts = append(out.Hosts, h)
		for i, s := range out.MDSs { // as below
			if s.Node == h.Node && h.Error == "" && !ceph.MDSRuns(s.Name, h.Running) {
				out.MDSs[i].Up = false
			}
		}
		for i, g := range out.RGWs { // its host knows at once when it has died
			if g.Node == h.Node && h.Error == "" && !ceph.GatewayRuns(g.Name, h.Running) {
				out.RGWs[i].Up = false
			}
		}
	}
	c.Compare(r, &out)
	return out, nil
}

// Compare adds to what was seen of a region's cluster how it differs from its declaration. Keys of a cluster that somebody else made are his.
func (c *Clusters) Compare(r model.Region, o *model.ObservedCeph) {
	o.Drift, o.Settings, o.Foreign = nil, "", nil
	if o.FSID == "" {
		return
	}
	spec := c.spec(r, o.FSID)
	if r.Ceph.Adopted {
		spec.Keys = nil
	}
	for _, change := range ceph.Diff(*o, spec) {
		o.Drift = append(o.Drift, change.String())
	}
	if len(o.Drift) == 0 {
		o.Settings = facts.CephSettings(r.Ceph)
	}
	o.Foreign = ceph.Foreign(*o, spec)
}

// answer is what a cluster said, or why nobody leads to it.
type answer struct {
	ceph model.ObservedCeph
	ok   bool
	errs []error
}

// ask asks the cluster through the first monitor's host that leads to it.
func (c *Clusters) ask(ctx context.Context, monitors <-chan member) (a answer) {
	for m := range monitors {
		out, err := ceph.Observe(ctx, c.Links.To(m.node))
		if err == nil {
			return answer{ceph: out, ok: true}
		}
		a.errs = append(a.errs, fmt.Errorf("%s: %w", m.node.Path, err))
	}
	return a
}

// of says what an answer, or none, means once all hosts were looked at.
func (a answer) of(r model.Region, members []member) (model.ObservedCeph, error) {
	if a.ok {
		return a.ceph, nil
	}
	var errs []error
	any := false
	for _, m := range members {
		if m.err != nil && m.has(model.RoleCephMon) && m.node.State != model.Lost {
			errs = append(errs, fmt.Errorf("%s: %w", m.node.Path, m.err))
		}
		any = any || m.monitor()
	}
	switch {
	case any:
		return model.ObservedCeph{}, fmt.Errorf("the Ceph cluster of %s does not answer: %w", r.Path, errors.Join(append(errs, a.errs...)...))
	case len(errs) == 0:
		return model.ObservedCeph{Absent: true}, nil
	}
	return model.ObservedCeph{}, fmt.Errorf("whether there is a Ceph cluster in %s is not known: %w", r.Path, errors.Join(errs...))
}

// name puts the inventory's paths in the place of host names, and disks' serial numbers where OSDs are.
func (c *Clusters) name(o *model.ObservedCeph, members []member) {
	paths, serials := map[model.Path]model.Path{}, map[string]string{}
	for _, m := range members {
		paths[model.Path(m.node.Name)] = m.node.Path
		for _, v := range m.state.Volumes {
			for _, d := range m.state.Disks {
				if d.Name == v.Device {
					serials[v.FSID] = d.Serial
				}
			}
		}
	}
	for i := range o.Mons {
		o.Mons[i].Node = cmp.Or(paths[o.Mons[i].Node], o.Mons[i].Node)
	}
	for i := range o.Mgrs {
		o.Mgrs[i].Node = cmp.Or(paths[o.Mgrs[i].Node], o.Mgrs[i].Node)
	}
	for i := range o.MDSs {
		o.MDSs[i].Node = cmp.Or(paths[o.MDSs[i].Node], o.MDSs[i].Node)
	}
	for i := range o.RGWs {
		o.RGWs[i].Node = cmp.Or(paths[o.RGWs[i].Node], o.RGWs[i].Node)
	}
	for i := range o.OSDs {
		o.OSDs[i].Node, o.OSDs[i].Device = cmp.Or(paths[o.OSDs[i].Node], o.OSDs[i].Node), serials[o.OSDs[i].FSID]
	}
}

// Create makes the region's cluster with its first monitor. Every host of the region must have been seen to have nothing of a cluster: two clusters where
// one was meant would be worse than none. A cluster that is there and did not answer, since all its hosts were off, is left to start.
func (c *Clusters) Create(ctx context.Context, region model.Path) error {
	r, err := c.region(region)
	if err != nil {
		return err
	}
	first, there, err := founder(c.look(ctx, region), r.Ceph.FSID)
	if err != nil {
		return fmt.Errorf("create the Ceph cluster of %s: %w", region, err)
	}
	if there {
		c.Log.Info("the cluster is there, and starts", "region", string(region), "fsid", first.state.FSID)
		return nil
	}
	fsid := cmp.Or(r.Ceph.FSID, first.state.FSID, uuid()) // an interrupted run goes on with its own
	return c.wrap(first.node, ceph.Create(ctx, c.on(first.node), c.spec(r, fsid), c.place(r, first)))
}

// founder is the member whose host makes, or has made, the first monitor. The cluster is there when further hosts have monitors of the same one. Where no monitor
// is left, but OSDs are whose loss nobody consents to, there was a cluster: its monitors can be made again from its OSDs, by hand, and a new cluster beside it would be in
// the way.
func founder(members []member, fsid string) (first member, there bool, err error) {
	var errs []error
	i := slices.IndexFunc(members, func(m member) bool { return m.has(model.RoleCephMon) && !m.node.Leaves() })
	if i < 0 {
		errs = append(errs, errors.New("no node has the role ceph-mon"))
	} else {
		first = members[i]
	}
	for k, m := range members {
		if m.err == nil && !first.monitor() {
			errs = append(errs, orphans(m))
		}
		switch {
		case m.err != nil && m.node.State == model.Lost:
		case m.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", m.node.Path, m.err))
		case !m.monitor():
		case k == i && (fsid == "" || m.state.FSID == fsid):
		case k != i && m.has(model.RoleCephMon) && first.monitor() && m.state.FSID != "" && m.state.FSID == first.state.FSID:
			there = true
		default:
			errs = append(errs, fmt.Errorf("%s has a monitor of the cluster %s already: adopt that cluster, or remove it", m.node.Path, m.state.FSID))
		}
	}
	return first, there, errors.Join(errs...)
}

// orphans refuses a host with OSDs on disks that it does not consent to lose.
func orphans(m member) error {
	var errs []error
	for _, v := range m.state.Volumes {
		i := slices.IndexFunc(m.state.Disks, func(d model.Disk) bool { return d.Name == v.Device })
		if i >= 0 && m.state.Disks[i].Serial != "" && slices.Contains(m.node.Consent, m.state.Disks[i].Serial) {
			continue
		}
		errs = append(errs, fmt.Errorf("%s has osd.%d of the cluster %s on %s, and no monitor of it was found: bring a host with its monitor back; or recover its monitors from its OSDs by hand; or, if its data is not needed, name the disk's serial number in the node's consent",
			m.node.Path, v.OSD, v.Cluster, v.Device))
	}
	return errors.Join(errs...)
}

// Ensure makes and starts a node's daemons of a role.
func (c *Clusters) Ensure(ctx context.Context, n model.Node, role model.Role) error {
	r, err := c.region(n.Path.Region())
	if err != nil {
		return err
	}
	s, err := c.survey(ctx, r)
	if err != nil {
		return err
	}
	seen, members := s.ceph, s.members
	i := slices.IndexFunc(members, func(m member) bool { return m.node.Path == n.Path })
	if i < 0 {
		return fmt.Errorf("%s has no role in a Ceph cluster", n.Path)
	}
	m := members[i]
	if m.err != nil {
		return fmt.Errorf("%s: %w", n.Path, m.err)
	}
	if s.err != nil {
		return s.err
	}
	if seen.FSID == "" {
		return fmt.Errorf("%s: there is no cluster in %s yet", n.Path, r.Path)
	}
	spec, place, link := c.spec(r, seen.FSID), c.place(r, m), c.on(n)
	switch role {
	case model.RoleCephMon, model.RoleCephMgr:
		admin, err := c.admin(ctx, members)
		if err != nil {
			return err
		}
		if role == model.RoleCephMon {
			return c.wrap(n, ceph.EnsureMon(ctx, link, spec, place, admin))
		}
		return c.wrap(n, ceph.EnsureMgr(ctx, link, spec, place, admin))
	case model.RoleCephMDS:
		return c.wrap(n, ceph.EnsureMDS(ctx, link, c.on(c.leader(members)), spec, place))
	case model.RoleCephRGW:
		return c.wrap(n, ceph.EnsureGateway(ctx, link, c.on(c.leader(members)), spec, place))
	case model.RoleCephOSD:
		return c.wrap(n, c.osds(ctx, spec, place, seen, members, m))
	}
	return fmt.Errorf("%s: role %s cannot be set up by this version", n.Path, role)
}

// Settle brings rules, pools, keys and the file system to what is declared.
func (c *Clusters) Settle(ctx context.Context, region model.Path) error {
	r, err := c.region(region)
	if err != nil {
		return err
	}
	members := c.look(ctx, region)
	if c.leader(members).Name == "" {
		return fmt.Errorf("no monitor's host of %s answers", region)
	}
	changes, err := ceph.Settle(ctx, c.on(c.leader(members)), c.spec(r, ""))
	for _, change := range changes {
		c.Log.Info("cluster changed", "region", string(region), "was", change.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", region, err)
	}
	return nil
}

// Require has the region's cluster start no OSD of a major release below this one any more.
func (c *Clusters) Require(ctx context.Context, region model.Path, release int) error {
	if _, err := c.region(region); err != nil {
		return err
	}
	leader := c.leader(c.look(ctx, region))
	if leader.Name == "" {
		return fmt.Errorf("no monitor's host of %s answers", region)
	}
	c.Log.Info("from now on no OSD of an older release starts", "region", string(region), "release", release)
	return c.wrap(leader, ceph.Require(ctx, c.on(leader), release))
}

// leader is the first node whose host runs a monitor; the zero value when there is none.
func (c *Clusters) leader(members []member) model.Node {
	for _, m := range members {
		if m.err == nil && slices.ContainsFunc(m.state.Running, func(s string) bool { return strings.HasPrefix(s, "mon.") }) {
			return m.node
		}
	}
	return model.Node{}
}

func (c *Clusters) admin(ctx context.Context, members []member) (ceph.Secret, error) {
	n := c.leader(members)
	if n.Name == "" {
		return nil, errors.New("no host runs a monitor, so nobody has the key of the cluster's administrator")
	}
	key, err := ceph.AdminKeyring(ctx, c.Links.To(n))
	return key, c.wrap(n, err)
}

// Key is the key of an identity, for those that have to hand it on (libvirt's secret). It comes from a monitor's host.
func (c *Clusters) Key(ctx context.Context, region model.Path, entity string) (ceph.Secret, error) {
	n := c.leader(c.look(ctx, region))
	if n.Name == "" {
		return nil, fmt.Errorf("no host of %s runs a monitor", region)
	}
	key, err := ceph.KeyOf(ctx, c.Links.To(n), entity)
	return key, c.wrap(n, err)
}

// ConfigureClient writes the ceph.conf of a host that only uses the cluster of its region. A host with a role in it has its own.
func (c *Clusters) ConfigureClient(ctx context.Context, n model.Node, fsid string) error {
	r, err := c.region(n.Path.Region())
	if err != nil || slices.ContainsFunc(n.Roles, func(role model.Role) bool { return slices.Contains(facts.CephRoles(), role) }) {
		return err
	}
	return c.wrap(n, ceph.Configure(ctx, c.on(n), ceph.Conf(c.spec(r, fsid), nil)))
}

func (c *Clusters) wrap(n model.Node, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

func (c *Clusters) region(path model.Path) (model.Region, error) {
	for _, r := range c.Desired.Regions {
		if r.Path == path && r.Ceph != nil {
			return r, nil
		}
	}
	return model.Region{}, fmt.Errorf("region %q has no ceph block in the inventory", path)
}

// uuid is a random UUID (RFC 9562, version 4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
