package order

import (
	"errors"
	"fmt"
	"strings"
)

// Neighbour is what the device on the other end of a cable says of itself by LLDP (IEEE 802.1AB). Whoever is on that cable can say it: it tells of
// mistakes, and proves nothing.
type Neighbour struct {
	Switch  string `json:"switch"`            // its system name, or its chassis ID when it tells none
	Port    string `json:"port"`              // its port ID
	Chassis string `json:"chassis,omitempty"` // its chassis ID
	// PortText and System are its descriptions of the port and of itself.
	PortText string `json:"port_description,omitempty"`
	System   string `json:"system_description,omitempty"`
}

// String is "switch/port".
func (n Neighbour) String() string { return n.Switch + "/" + n.Port }

// Cable is where a card is to be connected. An empty port means any of the switch.
type Cable struct {
	MAC    string `json:"mac"`
	Switch string `json:"switch"`
	Port   string `json:"port,omitempty"`
	// Refuse tells that a machine which is connected otherwise is not to be written to.
	Refuse bool `json:"refuse,omitempty"`
}

// ErrCabling says that a machine is not connected as its order says.
var ErrCabling = errors.New("not connected as the inventory says")

// Fits reports whether a neighbour is the one that is wanted. Names are compared without regard to case, and a switch's also without its domain.
func (c Cable) Fits(n Neighbour) bool {
	host, _, _ := strings.Cut(n.Switch, ".")
	named := strings.EqualFold(c.Switch, n.Switch) || strings.EqualFold(c.Switch, host) || strings.EqualFold(c.Switch, n.Chassis)
	return named && (c.Port == "" || strings.EqualFold(c.Port, n.Port) || strings.EqualFold(c.Port, n.PortText))
}

func (c Cable) String() string {
	if c.Port == "" {
		return c.Switch
	}
	return c.Switch + "/" + c.Port
}

// Cabling compares cards with where they are to be connected. Each difference is a sentence; refused wraps ErrCabling when one of them is of a cable
// with Refuse. A card of which no neighbour was heard differs only where Refuse is set: switches need not speak LLDP.
func Cabling(cables []Cable, nics []FactNIC) (notes []string, refused error) {
	var errs []error
	for _, c := range cables {
		for _, n := range nics {
			if !strings.EqualFold(n.MAC, c.MAC) {
				continue
			}
			note := c.compare(n)
			if note != "" && (c.Refuse || len(n.Neighbours) > 0) {
				notes = append(notes, note)
			}
			if note != "" && c.Refuse {
				errs = append(errs, fmt.Errorf("%w: %s", ErrCabling, note))
			}
		}
	}
	return notes, errors.Join(errs...)
}

// compare tells how a card is connected otherwise; empty: it is as it should be.
func (c Cable) compare(n FactNIC) string {
	var seen []string
	for _, who := range n.Neighbours {
		if c.Fits(who) {
			return ""
		}
		seen = append(seen, who.String())
	}
	if len(seen) == 0 {
		return fmt.Sprintf("%s (%s) should be connected to %s, and no neighbour was heard there by LLDP", n.Name, n.MAC, c)
	}
	return fmt.Sprintf("%s (%s) is connected to %s, the inventory says %s", n.Name, n.MAC, strings.Join(seen, " and "), c)
}
