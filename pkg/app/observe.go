package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// reach is everything through which a session reaches the world.
type reach struct {
	relays   *relays
	installs *provision.Provisioner
	hosts    *fleet.Hosts
	vms      *fleet.VMs
	machines *fleet.Machines
	clusters *fleet.Clusters
	guests   *fleet.Guests
	cordons  *fleet.Cordons
	slots    *fleet.Slots
	packages *fleet.Packages
	storage  *fleet.Storage
}

// reach opens the ways to the world; with serve the relays of this process answer their networks. Nothing is contacted yet.
func (s *session) reach(ctx context.Context, fence state.Fence, serve bool) *reach {
	r := &reach{relays: newRelays(ctx, s, serve), machines: s.machines}
	r.installs = &provision.Provisioner{
		Desired: s.desired, Store: s.known, Fence: fence, Key: s.keys.Sign, Images: &payload{s: s}, Relay: r.relays.Client,
		Config: func(n model.Node) ([]byte, error) { return s.configs[n.Path], nil },
		Now:    s.env.Now, Log: s.env.Log, Silence: ops.SilenceLimit,
	}
	r.hosts = &fleet.Hosts{Desired: s.desired, Links: s.links, Epoch: fence.Epoch, Log: s.env.Log, Files: s.hostFiles, Authorities: &s.keys.Move, Now: s.env.Now}
	r.vms = &fleet.VMs{Desired: s.desired, Links: s.links, Epoch: fence.Epoch, Images: s.guestFiles, Sources: s.source, Log: s.env.Log}
	r.clusters = &fleet.Clusters{Desired: s.desired, Links: s.links, Epoch: fence.Epoch, Log: s.env.Log}
	owner := whoAmI()
	r.guests = &fleet.Guests{VMs: r.vms, Log: s.env.Log}
	r.cordons = &fleet.Cordons{Links: s.links, Epoch: fence.Epoch, Owner: owner, Now: s.env.Now}
	r.slots = &fleet.Slots{Links: s.links, Epoch: fence.Epoch, Order: r.installs.SlotOrder}
	r.packages = &fleet.Packages{Links: s.links, Epoch: fence.Epoch, Snapshot: s.desired.Rollout.Snapshot, Debs: s.debs}
	r.storage = &fleet.Storage{Desired: s.desired, Links: s.links, Epoch: fence.Epoch, Log: s.env.Log, Owner: owner, Now: s.env.Now}
	return r
}

func (r *reach) Close() error { return r.relays.Close() }

// world is the reach in the words of ops; b knows the certificate of the plan that is run, and is nil when it has none.
func (r *reach) world(d model.Desired, b ops.Batches) ops.World {
	return ops.World{Desired: d, Machines: r.machines, Installs: r.installs, FirstBoots: r.installs, Hosts: r.hosts, Hypervisors: r.hosts, VMs: r.vms, Clusters: r.clusters, Departures: fleet.Departures{Clusters: r.clusters},
		Guests: r.guests, Cordons: r.cordons, Slots: r.slots, Packages: r.packages, Storage: r.storage, Batches: b}
}

// source is the reach in the words of observe.
type source struct {
	r     *reach
	rates bool // how fast virtual machines write to their memory is asked for: whoever moves them wants to know
}

func (s source) BMC(ctx context.Context, n model.Node) model.ObservedBMC {
	return s.r.machines.Observe(ctx, n)
}

func (s source) Order(ctx context.Context, n model.Node) (model.ObservedOrder, error) {
	return s.r.installs.Order(ctx, n)
}

func (s source) Host(ctx context.Context, n model.Node) model.ObservedHost {
	h, err := s.r.hosts.Observe(ctx, n)
	if err != nil {
		h.Error = err.Error()
	}
	return h
}

func (s source) VMs(ctx context.Context, n model.Node) ([]model.ObservedVM, error) {
	return s.r.vms.List(ctx, n, s.rates)
}

// Ceph puts what went wrong into its answer.
func (s source) Ceph(ctx context.Context, region model.Path) model.ObservedCeph {
	c, err := s.r.clusters.Observe(ctx, region)
	if err != nil {
		return model.ObservedCeph{Region: region, Error: err.Error()}
	}
	return c
}

// ObserveOptions are those of Observe.
type ObserveOptions struct {
	Out     string
	Targets []string
	// Packages names a snapshot: how hosts stand to it is recorded as well.
	Packages string
}

// Observe looks at what is really there and records or shows it.
func Observe(ctx context.Context, e Env, o ObserveOptions) (err error) {
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	targets, err := s.targets(o.Targets)
	if err != nil {
		return err
	}
	if o.Packages != "" {
		s.usePackages(o.Packages)
		if err := s.pinSnapshot(plan.GoalUpgrade); err != nil {
			return err
		}
	}
	seen, err := s.observe(ctx, targets, true)
	if err != nil {
		return err
	}
	seen.Taken = e.Now().UTC()
	if o.Out != "" {
		text, err := json.MarshalIndent(seen, "", "  ")
		if err != nil {
			return err
		}
		if err := replaceFile(o.Out, append(text, '\n')); err != nil {
			return err
		}
		e.note("Wrote what was seen of %d nodes to %s.", len(seen.Nodes), o.Out)
		return nil
	}
	if e.JSON {
		return view.JSON(e.Out, seen)
	}
	return view.ObservedText(e.Out, e.OutStyle, seen)
}

// observe looks at the targeted nodes; progress goes to stderr.
func (s *session) observe(ctx context.Context, targets []model.Path, rates bool) (model.Observed, error) {
	r := s.reach(ctx, state.Fence{}, false)
	nodes := targeted(s.desired.Nodes, targets)
	p := view.NewCounter(s.env.Err, s.env.ErrStyle, "Observing", s.env.Interactive)
	seen, err := observe.Nodes(ctx, nodes, source{r, rates}, observe.Options{Seen: func(done, total int, n model.ObservedNode) {
		p.Step(done, total, n.Path.Name())
	}})
	p.Done()
	return seen, errors.Join(err, r.Close())
}

func targeted(nodes []model.Node, targets []model.Path) []model.Node {
	if len(targets) == 0 {
		return nodes
	}
	var out []model.Node
	for _, n := range nodes {
		for _, t := range targets {
			if t.Contains(n.Path) {
				out = append(out, n)
				break
			}
		}
	}
	return out
}

// targets turns what was written on the command line, paths or bare node names, into paths.
func (s *session) targets(list []string) ([]model.Path, error) {
	var out []model.Path
	var errs []error
	for _, t := range list {
		p, err := s.target1(strings.Trim(t, "/"))
		out, errs = append(out, p), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func (s *session) target1(t string) (model.Path, error) {
	for _, n := range s.desired.Nodes {
		if n.Name == t || model.Path(t).Contains(n.Path) && t != "" {
			if n.Name == t {
				return n.Path, nil
			}
			return model.Path(t), nil
		}
	}
	return "", fmt.Errorf("target %q is neither a place with nodes nor a node; nuboctl inventory shows them", t)
}

// readObserved reads a recorded observation; "none" is one in which nothing is known.
func readObserved(name string) (model.Observed, error) {
	if name == "none" {
		return model.Observed{FormatVersion: observe.FormatVersion}, nil
	}
	var o model.Observed
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err == nil && o.FormatVersion != observe.FormatVersion {
		err = fmt.Errorf("format_version %d, this program knows %d", o.FormatVersion, observe.FormatVersion)
	}
	if err != nil {
		return o, fmt.Errorf("recorded observation %s: %w; make one with: nuboctl observe -o FILE", name, err)
	}
	return o, nil
}
