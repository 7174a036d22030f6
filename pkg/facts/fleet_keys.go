package facts

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// keys are the services that hosts, or the rollout itself, need while it goes on, and that live on nothing but nodes of this inventory: name servers, time
// servers, and the relay of a network, which is the way to its hosts too. A server elsewhere is taken to be up, so that a service with one is no group.
func (b *fleet) keys() {
	at := b.addresses()
	all := func(name string, servers []string) {
		var hosts plan.Ints
		for _, s := range servers {
			h, ok := at[s]
			if !ok {
				return
			}
			hosts = append(hosts, h)
		}
		b.key(name, hosts)
	}
	all("name servers", b.d.Cloud.DNS)
	all("time servers", b.d.Cloud.NTP)
	for _, n := range b.d.Networks {
		var dns []string
		for _, a := range n.DNS {
			dns = append(dns, a.String())
		}
		all("name servers of network "+n.Name, dns)
		all("time servers of network "+n.Name, n.NTP)
		if n.Relay != nil {
			for _, where := range []string{viaHost(n.Relay.Via), n.Relay.Address.String()} {
				if h, ok := at[where]; ok {
					b.key("relay of network "+n.Name, plan.Ints{h})
					break
				}
			}
		}
	}
}

func (b *fleet) key(name string, hosts plan.Ints) {
	if len(hosts) > 0 {
		slices.Sort(hosts)
		b.out.Groups = append(b.out.Groups, plan.Group{Kind: plan.Key, Name: name, Hosts: slices.Compact(hosts)})
	}
}

// addresses finds a node by each of its addresses and by its name, short and in the cloud's domain.
func (b *fleet) addresses() map[string]int32 {
	out := map[string]int32{}
	for i, n := range b.nodes {
		add := func(a netip.Prefix) {
			if a.IsValid() {
				out[a.Addr().String()] = int32(i)
			}
		}
		for _, nic := range n.NICs {
			add(nic.Address)
		}
		for _, p := range n.Ports {
			add(p.Address)
		}
		if n.Name != "" {
			out[n.Name], out[n.Name+"."+b.d.Cloud.Domain] = int32(i), int32(i)
		}
	}
	return out
}

// viaHost is the host of an SSH target "user@host[:port]".
func viaHost(via string) string {
	_, host, ok := strings.Cut(via, "@")
	if !ok {
		host = via
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}
