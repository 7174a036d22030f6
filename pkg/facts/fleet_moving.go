package facts

import "github.com/nuboctl/nuboctl/pkg/model"

// resident is a virtual machine on a host of the inventory on which it takes room.
type resident struct {
	vm      *model.ObservedVM
	name    string
	host    int32
	arrives bool // beside the place where it is
}

// residents lists what takes room, given the indexes of the observed machines in the order of their names.
func (b *fleet) residents(order []int32) []resident {
	out := make([]resident, 0, len(order))
	for _, i := range order {
		vm := &b.o.VMs[i]
		host, ok := b.index[vm.Node]
		if !ok || !Occupies(*vm) {
			continue
		}
		if p := (resident{vm: vm, name: vm.Name, host: host}); len(out) > 0 && out[len(out)-1].vm.Name == vm.Name {
			out = append(out[:len(out)-1], b.both(out[len(out)-1], p)...)
		} else {
			out = append(out, p)
		}
	}
	return out
}

// both are the places of one name that was seen on two hosts.
func (b *fleet) both(from, to resident) []resident {
	if leaving := b.to.Leaving; from.arrives || !from.vm.Arriving && !to.vm.Arriving || leaving == nil {
		b.wrong("virtual machine %s is on %s and on %s at once: wait until its migration has ended, or rename one of the two", to.vm.Name, from.vm.Node, to.vm.Node)
		return []resident{from}
	} else if from.vm.Arriving && (!to.vm.Arriving || leaving[to.vm.Node]) {
		from, to = to, from
	}
	switch to.vm = from.vm; { // its source knows it best
	case b.to.Leaving[b.nodes[from.host].Path]:
		return []resident{to}
	case b.to.Leaving[b.nodes[to.host].Path]:
		return []resident{from} // should it arrive, it is moved on
	}
	to.name, to.arrives = to.name+" (arriving)", true
	return []resident{from, to}
}
