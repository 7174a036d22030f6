// Package observe looks at what is really there: it asks every node's BMC, order, host and virtual machines, and collects the answers. It
// changes nothing. What cannot be seen is said to be unknown, never taken as absent.
package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// FormatVersion is the version of a recorded observation.
const FormatVersion = 1

// Source answers for one node. BMC and Host put what went wrong into their answer, since a silent machine is an observation too.
type Source interface {
	BMC(ctx context.Context, n model.Node) model.ObservedBMC
	Order(ctx context.Context, n model.Node) (model.ObservedOrder, error)
	Host(ctx context.Context, n model.Node) model.ObservedHost
	// VMs lists the virtual machines of a host that answers.
	VMs(ctx context.Context, n model.Node) ([]model.ObservedVM, error)
	// Ceph looks at a region's cluster, through any of its hosts.
	Ceph(ctx context.Context, region model.Path) model.ObservedCeph
}

// Options bound an observation.
type Options struct {
	Parallel int           // nodes at once; 0: 64
	BMC      time.Duration // for one BMC; 0: 30 s
	Host     time.Duration // for one host; 0: 2 minutes
	Cluster  time.Duration // for one Ceph cluster; 0: 5 minutes
	// Seen is told after every node.
	Seen func(done, total int, n model.ObservedNode)
}

// Nodes looks at the nodes, many at once. The error joins what makes the observation unfit to plan from; silent machines do not.
func Nodes(ctx context.Context, nodes []model.Node, src Source, o Options) (model.Observed, error) {
	o.Parallel, o.BMC, o.Host, o.Cluster = cmp.Or(o.Parallel, 64), cmp.Or(o.BMC, 30*time.Second), cmp.Or(o.Host, 2*time.Minute), cmp.Or(o.Cluster, 5*time.Minute)
	out := model.Observed{FormatVersion: FormatVersion, Nodes: make([]model.ObservedNode, len(nodes))}
	vms, errs := make([][]model.ObservedVM, len(nodes)), make([]error, len(nodes))
	var mu sync.Mutex
	done := 0
	regions := clusters(nodes)
	out.Ceph = make([]model.ObservedCeph, len(regions))
	var wg sync.WaitGroup
	for i, r := range regions {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, o.Cluster)
			defer cancel()
			out.Ceph[i] = src.Ceph(ctx, r)
		})
	}
	var g errgroup.Group
	g.SetLimit(o.Parallel)
	for i, n := range nodes {
		g.Go(func() error {
			out.Nodes[i], vms[i], errs[i] = one(ctx, n, src, o)
			mu.Lock()
			defer mu.Unlock()
			done++
			if o.Seen != nil {
				o.Seen(done, len(nodes), out.Nodes[i])
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error: they are collected by node
	wg.Wait()
	for _, list := range vms {
		out.VMs = append(out.VMs, list...)
	}
	slices.SortFunc(out.VMs, func(a, b model.ObservedVM) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node))
	})
	return out, errors.Join(append(errs, ctx.Err())...)
}

// clusters are the regions whose Ceph clusters the nodes are part of.
func clusters(nodes []model.Node) []model.Path {
	var out []model.Path
	for _, n := range nodes {
		if slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(facts.CephRoles(), r) }) {
			out = append(out, n.Path.Region())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func one(ctx context.Context, n model.Node, src Source, o Options) (model.ObservedNode, []model.ObservedVM, error) {
	on := model.ObservedNode{Path: n.Path}
	var vms []model.ObservedVM
	var orderErr, vmErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, o.BMC)
		defer cancel()
		on.BMC = src.BMC(ctx, n)
	})
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, o.BMC)
		defer cancel()
		if on.Order, orderErr = src.Order(ctx, n); orderErr != nil {
			orderErr = fmt.Errorf("%s: what became of its last install order is not known: %w", n.Path, orderErr)
		}
	})
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, o.Host)
		defer cancel()
		if on.Host = src.Host(ctx, n); !on.Host.Reachable {
			return
		}
		if vms, vmErr = src.VMs(ctx, n); vmErr != nil {
			vmErr = fmt.Errorf("%s: its virtual machines could not be listed: %w", n.Path, vmErr)
		}
	})
	wg.Wait()
	return on, vms, errors.Join(orderErr, vmErr)
}
