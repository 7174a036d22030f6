package model

import (
	"cmp"
	"slices"
	"strings"
)

// The pools of an object gateway whose realm, zonegroup and zone are the default ones (RGWZoneParams::init_pool_names): root holds which there are.
const (
	gatewayRoot = ".rgw.root"
	gatewayZone = "default.rgw."
	gatewayData = gatewayZone + "buckets.data"
)

// gatewayPGs is how many placement groups a pool of the gateway's own begins with, and keeps at least (rgw_rados_pool_pg_num_min): they hold little.
const gatewayPGs = 8

// GatewayPools are the pools that object gateways need beside those that are declared. They spread as the declared replicated pool with most copies does,
// or over three copies where there is none. A pool that is declared under one of their names is left as it is declared.
func (c *Ceph) GatewayPools() []Pool {
	var like Pool
	for _, p := range c.Pools {
		if p.K == 0 && p.Size > like.Size {
			like = Pool{Size: p.Size, MinSize: p.MinSize, DeviceClass: p.DeviceClass}
		}
	}
	if like.Size == 0 {
		like = Pool{Size: 3, MinSize: 2}
	}
	names := []string{gatewayRoot, gatewayZone + "control", gatewayZone + "meta", gatewayZone + "log", gatewayZone + "otp", gatewayZone + "buckets.index",
		gatewayZone + "buckets.non-ec", c.BucketPool()}
	var out []Pool
	for _, name := range names {
		if slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Name == name }) {
			continue
		}
		p := like
		p.Name, p.Application = name, "rgw"
		if name != gatewayData {
			p.LeastPGs = gatewayPGs
		}
		out = append(out, p)
	}
	return out
}

// BucketPools are the declared pools that could hold what is in buckets: those of application "rgw" that do not have a name of the gateway's own. More
// than one leaves open which.
func (c *Ceph) BucketPools() []string {
	var out []string
	for _, p := range c.Pools {
		if p.Application == "rgw" && (p.Name == gatewayData || !strings.HasPrefix(p.Name, gatewayZone)) {
			out = append(out, p.Name)
		}
	}
	return out
}

// BucketPool is the pool that holds what is in buckets: the declared one, or the gateway's own.
func (c *Ceph) BucketPool() string {
	if declared := c.BucketPools(); len(declared) > 0 {
		return declared[0]
	}
	return gatewayData
}

// GatewayPort is where gateways listen.
func (c *Ceph) GatewayPort() int {
	if c.S3 == nil {
		return S3Port
	}
	return cmp.Or(c.S3.Port, S3Port)
}

// GatewayNetwork is the network that gateways listen on; clusterNetwork is the one on which the cluster is reached.
func (c *Ceph) GatewayNetwork(clusterNetwork string) string {
	if c.S3 == nil {
		return clusterNetwork
	}
	return cmp.Or(c.S3.Network, clusterNetwork)
}
