package bmc

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish"
)

// seat is one ComputerSystem of a BMC that may have several: a chassis of blades, or a machine with accelerators that have one of their own.
type seat struct {
	path              string
	kind, reset       bool // a machine, and one that can be switched
	serial, name, why string
}

func (s seat) String() string {
	if s.why != "" {
		return fmt.Sprintf("%s (%s)", s.path, s.why)
	}
	told := s.serial
	if told == "" {
		told = "not told"
	}
	return fmt.Sprintf("%s (%s, serial number %s)", s.path, s.name, told)
}

// find learns the path of the system when the address does not name it, and makes sure of one that is named.
func (d *redfishDriver) find(api *gofish.APIClient) error {
	if d.system != "" {
		return d.named(api)
	}
	list, err := systems(api)
	if err != nil {
		return err
	}
	switch len(list) {
	case 0:
		return fault(ErrBusy, "the BMC shows no system").advise("if it has just started, wait a few minutes; a chassis' own controller has none: give the address of the blade's")
	case 1:
		d.system = string(list[0])
		return nil
	}
	return d.choose(api, list)
}

// named makes sure of the system that the address names.
func (d *redfishDriver) named(api *gofish.APIClient) error {
	var v struct {
		Type word `json:"@odata.type"`
	}
	_, err := get(api, d.system, &v)
	if err == nil && v.Type != "" && !strings.HasPrefix(string(v.Type), "#ComputerSystem.") {
		return fault(ErrInvalid, "%s is no system but a %s", d.system, v.Type).advise("put the path of the machine's system into the address, or none at all")
	}
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	list, listErr := systems(api)
	if listErr != nil {
		return fault(ErrInvalid, "the BMC has no system %s", d.system).advise("correct the path in the address")
	}
	for _, path := range list { // an address has no slash at its end, and there are BMCs for which that is another path
		if strings.TrimRight(string(path), "/") == d.system && string(path) != d.system {
			d.system = string(path)
			return nil
		}
	}
	return fault(ErrInvalid, "the BMC has no system %s, but %s", d.system, list).advise("correct the path in the address")
}

// systems lists the collection.
func systems(api *gofish.APIClient) (links, error) {
	var root rootView
	if _, err := get(api, rootPath, &root); err != nil {
		return nil, err
	}
	path := string(root.Systems)
	if path == "" {
		path = rootPath + "Systems"
	}
	return members(api, path)
}

// choose takes the one of several systems that has the expected serial number; where none is expected, the only one that is a machine and can be switched.
func (d *redfishDriver) choose(api *gofish.APIClient, list links) error {
	seats := make([]seat, len(list))
	for i, path := range list {
		seats[i] = readSeat(api, string(path))
	}
	want := strings.TrimSpace(d.target.Expect.Serial)
	fits := func(s seat) bool { return s.kind && s.reset }
	if want != "" {
		fits = func(s seat) bool { return strings.EqualFold(s.serial, want) }
	}
	found := slices.DeleteFunc(slices.Clone(seats), func(s seat) bool { return !fits(s) })
	if len(found) == 1 {
		d.system = found[0].path
		return nil
	}
	kind, what := ErrInvalid, "and the address names none"
	if want != "" {
		kind, what = ErrIdentity, fmt.Sprintf("%d of them with the serial number %s", len(found), want)
	}
	return fault(kind, "the BMC has %d systems, %s: %v", len(list), what, seats).advise("add the path of the machine's system to the address")
}

// readSeat reads one; what cannot be read is not chosen.
func readSeat(api *gofish.APIClient, path string) seat {
	var v struct {
		identityView
		Name, SystemType word
		Actions          struct {
			Reset resetView `json:"#ComputerSystem.Reset"`
		}
	}
	if _, err := get(api, path, &v); err != nil {
		return seat{path: path, why: describe(err)}
	}
	return seat{path: path, name: string(v.Name), serial: v.serial(), reset: v.Actions.Reset.Target != "",
		kind: v.SystemType == "" || v.SystemType == "Physical" || v.SystemType == "PhysicallyPartitioned"}
}
