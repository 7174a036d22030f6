package ovs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// deviceName is what the kernel takes as the name of a network device (15 bytes) and ovs-vsctl as a plain word.
var deviceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)

// macAddress is a unicast address in lower case with colons.
var macAddress = regexp.MustCompile(`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`)

// Check gives every mistake in a wanted state, joined; nil when there is none.
func (s Spec) Check() error {
	var errs []error
	users := map[string]string{} // device → who has it
	claim := func(device, by string) {
		if !deviceName.MatchString(device) {
			errs = append(errs, fmt.Errorf("%s: %q cannot be the name of a network device (1 to 15 letters, digits, '_', '.', '-')", by, device))
		}
		if other, taken := users[device]; taken {
			errs = append(errs, fmt.Errorf("%s: %s is used by %s already", by, device, other))
		}
		users[device] = by
	}
	for _, b := range s.Bridges {
		where := "bridge " + b.Name
		claim(b.Name, where)
		errs = append(errs, b.check(where)...)
		for _, p := range b.Ports {
			at := where + ", port " + p.Name
			if len(p.Members) > 0 {
				claim(p.Name, at)
			}
			for _, m := range p.members() {
				claim(m, at)
			}
			errs = append(errs, p.check(at)...)
		}
	}
	return errors.Join(errs...)
}

func (b BridgeSpec) check(where string) (errs []error) {
	if b.HWAddr != "" && !macAddress.MatchString(b.HWAddr) {
		errs = append(errs, fmt.Errorf("%s: %q is not a unicast MAC address in lower case", where, b.HWAddr))
	}
	if !slices.Contains([]string{"", "system", "netdev"}, b.Datapath) {
		errs = append(errs, fmt.Errorf("%s: datapath %q is neither system nor netdev", where, b.Datapath))
	}
	return append(errs, checkMTU(where, b.MTU)...)
}

func (p PortSpec) check(where string) (errs []error) {
	for _, tag := range append([]int{p.Tag}, p.Trunks...) {
		if tag < 0 || tag > 4094 {
			errs = append(errs, fmt.Errorf("%s: VLAN %d is not between 1 and 4094", where, tag))
		}
	}
	if p.Tag != 0 && len(p.Trunks) > 0 {
		errs = append(errs, fmt.Errorf("%s: has both a tag and trunks", where))
	}
	modes := []string{"active-backup", "balance-slb", "balance-tcp"}
	switch bond := len(p.Members) > 0; {
	case bond && p.Internal:
		errs = append(errs, fmt.Errorf("%s: a bond cannot be internal", where))
	case bond && len(p.Members) < 2:
		errs = append(errs, fmt.Errorf("%s: a bond needs two members; a port of one has none listed", where))
	case bond && !slices.Contains(modes, p.BondMode):
		errs = append(errs, fmt.Errorf("%s: bond mode %q is none of %v", where, p.BondMode, modes))
	case !bond && p.BondMode != "":
		errs = append(errs, fmt.Errorf("%s: has a bond mode and no members", where))
	}
	return append(errs, checkMTU(where, p.MTU)...)
}

// checkMTU allows what IPv4 needs (RFC 791: 68; 576 is what every host takes) up to the largest frame of any card.
func checkMTU(where string, mtu int) []error {
	if mtu != 0 && (mtu < 576 || mtu > 65535) {
		return []error{fmt.Errorf("%s: an MTU of %d bytes is not between 576 and 65535", where, mtu)}
	}
	return nil
}

// Faults gives what ovs-vswitchd reports as wrong with the wanted bridges and ports, though they are configured; sorted.
func Faults(observed State, wanted Spec) []string {
	var out []string
	for _, spec := range wanted.Bridges {
		b := observed.find(spec.Name)
		if b == nil {
			out = append(out, "bridge "+spec.Name+" is missing")
			continue
		}
		if b.Error != "" {
			out = append(out, spec.Name+": "+b.Error)
		}
		for _, p := range b.Ports {
			for _, i := range p.Interfaces {
				if i.Error != "" && findPort(spec, p.Name) != nil {
					out = append(out, i.Name+": "+i.Error)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}
