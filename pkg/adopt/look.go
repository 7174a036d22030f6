package adopt

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Seed is a host to look at.
type Seed struct {
	Address  netip.Addr
	HostKeys []string // by which it is known, as lines of authorized_keys
	BMC      string   // where the operator knows better than the host; metal3's grammar
}

// Node is a stand-in for the node that there is not yet: by it Links find the way to the host.
func (s Seed) Node() model.Node {
	return model.Node{Path: model.Path(s.Address.String()), Name: s.Address.String(), Adopted: true}
}

// bounds of a survey: hosts at once, and the time for one host and for one cluster.
const (
	parallel    = 32
	hostTime    = 5 * time.Minute
	clusterTime = 5 * time.Minute
)

// Look surveys hosts. It changes nothing there. A host that does not answer is part of the survey; the error is the context's own.
func Look(ctx context.Context, links *fleet.Links, seeds []Seed, seen func(done, total int, name string)) (Survey, error) {
	s := Survey{FormatVersion: FormatVersion, Hosts: make([]Host, len(seeds))}
	guests := make([][]model.ObservedVM, len(seeds))
	var mu sync.Mutex
	done := 0
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, seed := range seeds {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, hostTime)
			defer cancel()
			s.Hosts[i], guests[i] = one(ctx, links, seed)
			mu.Lock()
			defer mu.Unlock()
			done++
			if seen != nil {
				seen(done, len(seeds), cmp.Or(s.Hosts[i].Name, seed.Address.String()))
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error: what went wrong stands in the survey
	for _, list := range guests {
		s.VMs = append(s.VMs, list...)
	}
	slices.SortFunc(s.VMs, func(a, b model.ObservedVM) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node))
	})
	s.Clusters = clusters(ctx, links, seeds, s.Hosts)
	return s, context.Cause(ctx)
}

// one looks at one host.
func one(ctx context.Context, links *fleet.Links, seed Seed) (Host, []model.ObservedVM) {
	link := links.To(seed.Node())
	h, err := Gather(ctx, link)
	h.Reached, h.HostKeys, h.BMC = seed.Address, seed.HostKeys, cmp.Or(seed.BMC, h.BMC)
	if err != nil {
		h.Error = err.Error()
		return h, nil
	}
	hosts := &fleet.Hosts{Links: links}
	if h.Seen, err = hosts.Observe(ctx, seed.Node()); err != nil || !h.Seen.Reachable {
		h.Error = cmp.Or(h.Seen.Error, "it does not answer any more")
		return h, nil
	}
	h.Seen.OVS, h.Seen.Error = nil, ""
	if state, err := (ovs.Driver{}).Observe(ctx, link); err == nil {
		h.OVS = &state
	} else if !absent(err) {
		h.Trouble = append(h.Trouble, err.Error())
	}
	if state, err := ceph.Look(ctx, link); err == nil {
		h.Ceph = &state
	} else {
		h.Trouble = append(h.Trouble, err.Error())
	}
	guests, err := (&fleet.VMs{Links: links}).List(ctx, seed.Node(), true)
	if err != nil {
		h.Trouble = append(h.Trouble, "its virtual machines could not be listed: "+err.Error())
	}
	for i := range guests {
		guests[i].Node = model.Path(h.Name)
	}
	return h, guests
}

// notFound is the shell's exit code for a program that is not there.
const notFound = 127

// absent reports whether a program was asked for that is not installed: then there is nothing to tell.
func absent(err error) bool {
	code, ran := remote.ExitCode(err)
	return ran && code == notFound
}

// clusters asks each Ceph cluster that hosts belong to, through the first host that leads to it; those with a monitor go first.
func clusters(ctx context.Context, links *fleet.Links, seeds []Seed, hosts []Host) []Cluster {
	ways := map[string][]int{}
	for _, monitors := range []bool{true, false} {
		for i, h := range hosts {
			if h.Error == "" && h.Ceph != nil && h.Ceph.FSID != "" && hasMonitor(h) == monitors {
				ways[h.Ceph.FSID] = append(ways[h.Ceph.FSID], i)
			}
		}
	}
	var out []Cluster
	for _, fsid := range sortedKeys(ways) {
		out = append(out, ask(ctx, links, seeds, ways[fsid], fsid))
	}
	return out
}

func hasMonitor(h Host) bool {
	return slices.ContainsFunc(slices.Concat(h.Ceph.Stores, h.Ceph.Running), func(s string) bool { return strings.HasPrefix(s, "mon.") })
}

// mostWays is how many hosts are tried for a cluster: many only use one, and have no key to ask it with.
const mostWays = 5

func ask(ctx context.Context, links *fleet.Links, seeds []Seed, hosts []int, fsid string) Cluster {
	ctx, cancel := context.WithTimeout(ctx, clusterTime)
	defer cancel()
	var errs []error
	for _, i := range hosts[:min(len(hosts), mostWays)] {
		link := links.To(seeds[i].Node())
		c := Cluster{}
		var err error
		if c.Ceph, err = ceph.Observe(ctx, link); err == nil {
			if err = c.addresses(ctx, link); err == nil {
				return c
			}
		}
		errs = append(errs, fmt.Errorf("through %s: %w", seeds[i].Address, err))
	}
	return Cluster{Ceph: model.ObservedCeph{FSID: fsid, Error: errors.Join(errs...).Error()}}
}

// addresses asks where monitors and OSDs listen.
func (c *Cluster) addresses(ctx context.Context, h remote.Host) error {
	var mons struct {
		Mons []struct {
			Addrs struct {
				Vector []struct{ Addr string } `json:"addrvec"`
			} `json:"public_addrs"`
		} `json:"mons"`
	}
	var osds []struct {
		Front string `json:"front_addr"`
		Back  string `json:"back_addr"`
	}
	for words, into := range map[string]any{"mon dump": &mons, "osd metadata": &osds} {
		argv := append([]string{"ceph", "--connect-timeout", "60", "--format", "json"}, strings.Fields(words)...)
		res, err := h.Run(ctx, remote.Command{Argv: argv, Limit: 2 * time.Minute})
		if err == nil {
			err = json.Unmarshal(res.Stdout, into)
		}
		if err != nil {
			return fmt.Errorf("ceph %s: %w", words, err)
		}
	}
	for _, m := range mons.Mons {
		for _, v := range m.Addrs.Vector {
			c.Mons = append(c.Mons, address(v.Addr)...)
		}
	}
	for _, o := range osds {
		c.Front, c.Back = append(c.Front, address(o.Front)...), append(c.Back, address(o.Back)...)
	}
	return nil
}

// address reads the first of "[v2:192.0.2.1:6800/123,v1:192.0.2.1:6801/123]" or "192.0.2.1:3300"; none when it is not one.
func address(s string) []netip.Addr {
	s = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(s, "["), "v2:"), "v1:")
	s, _, _ = strings.Cut(s, ",")
	s, _, _ = strings.Cut(s, "/")
	if p, err := netip.ParseAddrPort(s); err == nil {
		return []netip.Addr{p.Addr()}
	}
	return nil
}
