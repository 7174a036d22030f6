package bmc

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	hardware "github.com/bmc-toolbox/common"
	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/redfish"
)

// identityView is what is read of a ComputerSystem to know the machine.
type identityView struct{ SerialNumber, SKU, Manufacturer, Model, UUID word }

// serial is the number that the machine's own DMI table carries.
func (v identityView) serial() string {
	if quirkOf(string(v.Manufacturer)).serialIsSKU && known(string(v.SKU)) != "" {
		return known(string(v.SKU))
	}
	return known(string(v.SerialNumber))
}

// Inventory implements bmclib's InventoryGetter, for the identity only.
func (d *redfishDriver) Inventory(ctx context.Context) (device *hardware.Device, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var v identityView
		if _, err := get(api, d.system, &v); err != nil {
			return err
		}
		device = &hardware.Device{Common: hardware.Common{
			Vendor: string(v.Manufacturer), Model: string(v.Model), Serial: v.serial(),
			Metadata: map[string]string{"uuid": string(v.UUID)},
		}}
		return nil
	})
	return device, err
}

// readings collects sensors, and what could not be read of them: BMCs name resources that they do not have, and one of those hides no other.
type readings struct {
	api  *gofish.APIClient
	list []Sensor
	lost []error
}

// get reads a resource. It is false when the BMC does not have it after all; other failures end the reading.
func (r *readings) get(path link, into any) (bool, error) {
	if path == "" {
		return false, nil
	}
	_, err := get(r.api, string(path), into)
	if status := statusOf(err); declined(status) || status == http.StatusInternalServerError || status == http.StatusNotImplemented {
		r.lost = append(r.lost, errors.New(describe(err)))
		return false, nil
	}
	return err == nil, err
}

func (r *readings) add(name, kind, unit word, value reading, state health) {
	if value.told {
		r.list = append(r.list, Sensor{Name: string(name), Kind: string(kind), Unit: string(unit), Value: value.value, Health: string(state)})
	}
}

// sensors reads Thermal and Power of the system's chassis, which is two requests; the newer
// Sensors, one request for each, where those are missing.
func (d *redfishDriver) sensors(ctx context.Context) (list []Sensor, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		r := readings{api: api}
		var system struct {
			Links struct{ Chassis links }
		}
		if _, err := get(api, d.system, &system); err != nil {
			return err
		}
		for _, path := range system.Links.Chassis {
			if err := r.chassis(path); err != nil {
				return err
			}
		}
		list = r.list
		if len(list) == 0 && len(r.lost) > 0 {
			return fault(ErrUnsupported, "%w", errors.Join(r.lost...))
		}
		for _, lost := range r.lost {
			d.log.Warn("BMC: some sensors could not be read", "address", d.addr.String(), "answer", clean(lost, d.target.Credentials, d.secret()))
		}
		return nil
	})
	return list, err
}

// thermalView and powerSupplyView are what is read of the schemas Thermal and Power.
type thermalView struct {
	Temperatures []struct {
		Name           word
		ReadingCelsius reading
		Status         health
	}
	Fans []struct {
		Name, FanName, ReadingUnits word
		Reading                     reading
		Status                      health
	}
}

type powerSupplyView struct {
	PowerControl []struct {
		Name               word
		PowerConsumedWatts reading
		Status             health
	}
	Voltages []struct {
		Name         word
		ReadingVolts reading
		Status       health
	}
}

func (r *readings) chassis(path link) error {
	var chassis struct{ Thermal, Power, Sensors link }
	if there, err := r.get(path, &chassis); !there {
		return err
	}
	before := len(r.list)
	var thermal thermalView
	if _, err := r.get(chassis.Thermal, &thermal); err != nil {
		return err
	}
	for _, t := range thermal.Temperatures {
		r.add(t.Name, "temperature", "Cel", t.ReadingCelsius, t.Status)
	}
	for _, f := range thermal.Fans {
		r.add(cmp.Or(f.Name, f.FanName), "fan", cmp.Or(f.ReadingUnits, "RPM"), f.Reading, f.Status)
	}
	var power powerSupplyView
	if _, err := r.get(chassis.Power, &power); err != nil {
		return err
	}
	for _, p := range power.PowerControl {
		r.add(cmp.Or(p.Name, "System Power"), "power", "W", p.PowerConsumedWatts, p.Status)
	}
	for _, u := range power.Voltages {
		r.add(u.Name, "voltage", "V", u.ReadingVolts, u.Status)
	}
	if len(r.list) > before || chassis.Sensors == "" {
		return nil
	}
	return r.newer(chassis.Sensors)
}

// sensorKinds are our words for ReadingType of the Sensor schema.
var sensorKinds = map[redfish.ReadingType]word{
	redfish.TemperatureReadingType: "temperature", redfish.RotationalReadingType: "fan",
	redfish.PowerReadingType: "power", redfish.VoltageReadingType: "voltage",
}

func (r *readings) newer(path link) error {
	list, err := members(r.api, string(path))
	if declined(statusOf(err)) {
		r.lost = append(r.lost, errors.New(describe(err)))
		return nil
	}
	if err != nil {
		return err
	}
	for _, member := range list {
		var v struct {
			Name, ReadingUnits, ReadingType word
			Reading                         reading
			Status                          health
		}
		there, err := r.get(member, &v)
		if err != nil {
			return err
		}
		if there {
			r.add(v.Name, cmp.Or(sensorKinds[redfish.ReadingType(v.ReadingType)], v.ReadingType), v.ReadingUnits, v.Reading, v.Status)
		}
	}
	return nil
}
