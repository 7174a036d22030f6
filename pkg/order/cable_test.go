package order_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/order"
)

func TestCabling(t *testing.T) {
	const mac = "52:54:00:77:00:01"
	heard := func(n ...order.Neighbour) []order.FactNIC {
		return []order.FactNIC{{Name: "lo0", MAC: "52:54:00:00:00:00"}, {Name: "eth0", MAC: mac, Neighbours: n}}
	}
	sw := order.Neighbour{Switch: "sw-a1.dc.example", Port: "Ethernet12", Chassis: "02:00:00:00:00:01", PortText: "blade-01"}
	for name, c := range map[string]struct {
		cable   order.Cable
		nics    []order.FactNIC
		note    string
		refused bool
	}{
		"by name":             {order.Cable{Switch: "SW-A1", Port: "ethernet12"}, heard(sw), "", false},
		"by its full name":    {order.Cable{Switch: "sw-a1.dc.example"}, heard(sw), "", false},
		"by chassis":          {order.Cable{Switch: "02:00:00:00:00:01", Port: "blade-01", Refuse: true}, heard(sw), "", false},
		"one of two":          {order.Cable{Switch: "sw-a1", Refuse: true}, heard(order.Neighbour{Switch: "hub", Port: "1"}, sw), "", false},
		"another port":        {order.Cable{Switch: "sw-a1", Port: "Ethernet13"}, heard(sw), "eth0 (" + mac + ") is connected to sw-a1.dc.example/Ethernet12, the inventory says sw-a1/Ethernet13", false},
		"another switch":      {order.Cable{Switch: "sw-b1", Refuse: true}, heard(sw), "eth0 (" + mac + ") is connected to sw-a1.dc.example/Ethernet12, the inventory says sw-b1", true},
		"silent":              {order.Cable{Switch: "sw-a1"}, heard(), "", false},
		"silent, and refused": {order.Cable{Switch: "sw-a1", Refuse: true}, heard(), "eth0 (" + mac + ") should be connected to sw-a1, and no neighbour was heard there by LLDP", true},
	} {
		c.cable.MAC = "52:54:00:77:00:01"
		var want []string
		if c.note != "" {
			want = []string{c.note}
		}
		notes, err := order.Cabling([]order.Cable{c.cable}, c.nics)
		if !slices.Equal(notes, want) || errors.Is(err, order.ErrCabling) != c.refused || (err != nil) != c.refused {
			t.Errorf("%s: %q, %v; want %q, refused %v", name, notes, err, want, c.refused)
		}
	}
}
