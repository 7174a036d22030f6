package adopt

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// profiles makes one profile of all hosts that look alike; who of them has a monitor or a manager, and what differs in cores and memory, stands at the nodes.
func (x *describer) profiles() {
	groups := map[string][]*host{}
	var order []string
	for _, h := range x.hosts {
		key, err := json.Marshal([]any{called(h.node.Roles), h.bonds, h.bridges, h.osds})
		if err != nil {
			panic(fmt.Sprintf("profile of %s: %v", h.Name, err)) // plain values: a fault of the program
		}
		if groups[string(key)] == nil {
			order = append(order, string(key))
		}
		groups[string(key)] = append(groups[string(key)], h)
	}
	taken := map[string]int{}
	for _, key := range order {
		hosts := groups[key]
		first := hosts[0]
		name := called(first.node.Roles)
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, taken[name])
		}
		cores, memory, roles := tally[int]{}, tally[int]{}, tally[string]{}
		for _, h := range hosts {
			cores.add(h.Cores)
			memory.add(h.Memory)
			roles.add(joined(h.node.Roles))
			h.node.Profile = name
		}
		p := model.Profile{Name: name, Adopted: true, Bonds: first.bonds, Bridges: first.bridges, OSDs: first.osds}
		usual, _ := roles.most()
		for _, r := range strings.Fields(usual) {
			p.Roles = append(p.Roles, model.Role(r))
		}
		p.Cores, _ = cores.most()
		p.MemoryGiB, _ = memory.most()
		x.out.Desired.Profiles = append(x.out.Desired.Profiles, p)
	}
	slices.SortFunc(x.out.Desired.Profiles, func(a, b model.Profile) int { return cmp.Compare(a.Name, b.Name) })
}

func joined(roles []model.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " ")
}

// called names a profile by its roles.
func called(roles []model.Role) string {
	has := func(r model.Role) bool { return slices.Contains(roles, r) }
	switch {
	case has(model.RoleCompute) && has(model.RoleCephOSD):
		return "hyperconverged"
	case has(model.RoleCompute):
		return "compute"
	case has(model.RoleCephOSD):
		return "storage"
	case has(model.RoleCephMon), has(model.RoleCephMgr):
		return "monitor"
	}
	return "other"
}
