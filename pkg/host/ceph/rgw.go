package ceph

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/rgw.sh
var rgwScript string

// gatewayKind is what units and directories of object gateways are called after, and gatewayID what stands before their host's name there.
const (
	gatewayKind = "radosgw"
	gatewayID   = "rgw."
)

// GatewayKey is the identity of a host's object gateway. It reads the monitors' maps, tells the managers how it is, and uses the pools that are enabled for
// gateways; it makes no pools and no keys.
func GatewayKey(host string) Key {
	return Key{Entity: "client." + gatewayID + host, Caps: map[string]string{"mon": "allow r", "mgr": "allow rw", "osd": "allow rwx tag rgw *=*"}}
}

// GatewayRuns reports whether the object gateway of a host is among those of its daemons that run.
func GatewayRuns(host string, running []string) bool {
	return slices.Contains(running, gatewayKind+"."+gatewayID+host)
}

// EnsureGateway makes and starts the object gateway of a host, with its key and the pools that it needs; admin is a host with the administrator's key. What is in
// buckets is kept in the pool s.Buckets.
func EnsureGateway(ctx context.Context, h, admin remote.Host, s Spec, p Place) error {
	fail := func(err error) error { return fmt.Errorf("object gateway on %s: %w", p.Name, err) }
	if !p.Gateway.IsValid() {
		return fail(fmt.Errorf("it has no address on the network on which it is to serve"))
	}
	key := GatewayKey(p.Name)
	needs := s
	needs.Keys, needs.Filesystem = []Key{key}, nil
	needs.Pools = slices.DeleteFunc(slices.Clone(s.Pools), func(p Pool) bool { return p.Application != "rgw" })
	keyring, err := keyring(ctx, admin, needs, key)
	if err != nil {
		return fail(err)
	}
	if err := Configure(ctx, h, Conf(s, &p)); err != nil {
		return fail(err)
	}
	if err := run(ctx, h, rgwScript, keyring, p.Name, p.Gateway.String(), s.Buckets); err != nil {
		return fail(err)
	}
	return nil
}

// serviceMap is what the managers know of daemons that are not Ceph's core (ServiceMap.cc). Beside the daemons, by their instances, stands a summary.
type serviceMap struct {
	Services struct {
		RGW struct {
			Daemons map[string]json.RawMessage `json:"daemons"`
		} `json:"rgw"`
	} `json:"services"`
}

// gateways are the object gateways that serve. A gateway that died is among them for a minute more.
func (m serviceMap) gateways() []model.ObservedDaemon {
	var out []model.ObservedDaemon
	for instance, raw := range m.Services.RGW.Daemons {
		var d struct {
			Metadata struct {
				ID      string `json:"id"`
				Host    string `json:"hostname"`
				Version string `json:"ceph_version_short"`
			} `json:"metadata"`
		}
		if instance == "summary" || json.Unmarshal(raw, &d) != nil {
			continue
		}
		out = append(out, model.ObservedDaemon{Name: d.Metadata.ID, Node: model.Path(d.Metadata.Host), Up: true, Version: d.Metadata.Version})
	}
	return slices.CompactFunc(sorted(out), func(a, b model.ObservedDaemon) bool { return a.Name == b.Name })
}
