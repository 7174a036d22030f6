package ovs

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Driver says where Open vSwitch is on a host. The zero value is Debian's.
type Driver struct {
	// DB is the database server as ovs-vsctl --db takes it; empty: the default socket.
	DB string
	// Dir keeps snapshots and undo scripts on the host; empty: /var/lib/nubo/ovs.
	Dir string
}

// ErrNotRunning: Open vSwitch does not answer on the host.
var ErrNotRunning = errors.New("Open vSwitch does not answer")

// answerTime is how long ovs-vsctl waits for the database and the switch, in seconds.
const answerTime = "--timeout=30"

// vsctl gives the start of an ovs-vsctl command.
func (d Driver) vsctl(words ...string) []string {
	argv := []string{"ovs-vsctl", answerTime}
	if d.DB != "" {
		argv = append(argv, "--db="+d.DB)
	}
	return append(argv, words...)
}

// Observe reads bridges, ports and interfaces in one transaction. It changes nothing.
func (d Driver) Observe(ctx context.Context, h remote.Host) (State, error) {
	res, err := h.Run(ctx, remote.Command{Argv: d.vsctl("--format=json",
		"--", "--columns=_uuid,name,datapath_type,fail_mode,other_config,ports", "list", "Bridge",
		"--", "--columns=_uuid,name,tag,trunks,bond_mode,lacp,bond_active_slave,interfaces", "list", "Port",
		"--", "--columns=_uuid,name,type,mtu,mtu_request,mac_in_use,link_state,error,external_ids", "list", "Interface",
		"--", "--columns=ovs_version,external_ids", "list", "Open_vSwitch")})
	if err != nil {
		if _, ran := remote.ExitCode(err); ran {
			err = errors.Join(ErrNotRunning, err)
		}
		return State{}, fmt.Errorf("observe Open vSwitch: %w", err)
	}
	return Parse(res.Stdout)
}

// Parse reads what Observe's command printed: the tables Bridge, Port, Interface and Open_vSwitch as JSON, in this order.
func Parse(raw []byte) (State, error) {
	tables, err := decodeTables(raw)
	if err != nil {
		return State{}, err
	}
	if len(tables) != 4 || len(tables[3]) != 1 {
		return State{}, fmt.Errorf("output of ovs-vsctl: %d tables, want Bridge, Port, Interface and one row of Open_vSwitch", len(tables))
	}
	root := tables[3][0]
	state := State{Version: root["ovs_version"].one(), SystemID: root["external_ids"].kv["system-id"]}
	ports, interfaces := byUUID(tables[1]), byUUID(tables[2])
	for _, r := range tables[0] {
		b, err := makeBridge(r, ports, interfaces)
		if err != nil {
			return State{}, err
		}
		state.Bridges = append(state.Bridges, b)
	}
	sort.Slice(state.Bridges, func(i, j int) bool { return state.Bridges[i].Name < state.Bridges[j].Name })
	return state, nil
}

func byUUID(rows []row) map[string]row {
	out := make(map[string]row, len(rows))
	for _, r := range rows {
		out[r["_uuid"].one()] = r
	}
	return out
}

func makeBridge(r row, ports, interfaces map[string]row) (Bridge, error) {
	b := Bridge{
		Name: r["name"].one(), Datapath: r["datapath_type"].one(), FailMode: r["fail_mode"].one(),
		HWAddr: strings.ToLower(r["other_config"].kv["hwaddr"]),
	}
	for _, id := range r["ports"].set {
		port, ok := ports[id]
		if !ok {
			return Bridge{}, fmt.Errorf("output of ovs-vsctl: bridge %q has port %s, which is not in table Port", b.Name, id)
		}
		p, err := makePort(port, interfaces)
		if err != nil {
			return Bridge{}, err
		}
		if p.Name == b.Name && len(p.Interfaces) == 1 { // the local port
			b.MTU, b.MTURequest, b.Error = p.Interfaces[0].MTU, p.Interfaces[0].MTURequest, p.Interfaces[0].Error
			continue
		}
		b.Ports = append(b.Ports, p)
	}
	sort.Slice(b.Ports, func(i, j int) bool { return b.Ports[i].Name < b.Ports[j].Name })
	return b, nil
}

func makePort(r row, interfaces map[string]row) (Port, error) {
	p := Port{
		Name: r["name"].one(), Tag: r["tag"].number(), Trunks: r["trunks"].numbers(),
		BondMode: r["bond_mode"].one(), LACP: r["lacp"].one(), Active: r["bond_active_slave"].one(),
	}
	sort.Ints(p.Trunks)
	for _, id := range r["interfaces"].set {
		i, ok := interfaces[id]
		if !ok {
			return Port{}, fmt.Errorf("output of ovs-vsctl: port %q has interface %s, which is not in table Interface", p.Name, id)
		}
		p.Interfaces = append(p.Interfaces, makeInterface(i))
	}
	sort.Slice(p.Interfaces, func(i, j int) bool { return p.Interfaces[i].Name < p.Interfaces[j].Name })
	return p, nil
}

func makeInterface(r row) Interface {
	i := Interface{
		Name: r["name"].one(), Type: r["type"].one(), MAC: r["mac_in_use"].one(),
		MTU: r["mtu"].number(), MTURequest: r["mtu_request"].number(),
		Link: r["link_state"].one(), Error: r["error"].one(),
	}
	if i.Type == "system" {
		i.Type = ""
	}
	for _, key := range []string{"vm-id", "iface-id", "attached-mac"} {
		if id := r["external_ids"].kv[key]; id != "" && i.Owner == "" {
			i.Owner = id
		}
	}
	return i
}
