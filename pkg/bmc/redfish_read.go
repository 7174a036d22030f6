package bmc

import (
	"context"
	"math"

	hardware "github.com/bmc-toolbox/common"
	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
	"github.com/stmcginnis/gofish/redfish"
)

// Inventory implements bmclib's InventoryGetter, for the identity only.
func (d *redfishDriver) Inventory(ctx context.Context) (device *hardware.Device, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var v struct{ SerialNumber, SKU, Manufacturer, Model, UUID string }
		if _, err := get(api, d.system, &v); err != nil {
			return err
		}
		if quirkOf(v.Manufacturer).serialIsSKU && known(v.SKU) != "" {
			v.SerialNumber = v.SKU
		}
		device = &hardware.Device{Common: hardware.Common{
			Vendor: v.Manufacturer, Model: v.Model, Serial: v.SerialNumber,
			Metadata: map[string]string{"uuid": v.UUID},
		}}
		return nil
	})
	return device, err
}

// sensors reads Thermal and Power of the system's chassis, which is two requests; the newer
// Sensors, one request for each, where those are missing.
func (d *redfishDriver) sensors(ctx context.Context) (list []Sensor, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		list = nil
		var system struct {
			Links struct{ Chassis common.Links }
		}
		if _, err := get(api, d.system, &system); err != nil {
			return err
		}
		for _, path := range system.Links.Chassis {
			found, err := chassisSensors(api, path.String())
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	return list, err
}

// thermalView and powerView are what is read of the schemas of that name. Readings are pointers:
// a sensor of a machine that is off has none.
type thermalView struct {
	Temperatures []struct {
		Name           string
		ReadingCelsius *float64
		Status         common.Status
	}
	Fans []struct {
		Name, FanName, ReadingUnits string
		Reading                     *float64
		Status                      common.Status
	}
}

type powerView struct {
	PowerControl []struct {
		Name               string
		PowerConsumedWatts *float64
		Status             common.Status
	}
	Voltages []struct {
		Name         string
		ReadingVolts *float64
		Status       common.Status
	}
}

func chassisSensors(api *gofish.APIClient, path string) ([]Sensor, error) {
	var chassis struct{ Thermal, Power, Sensors common.Link }
	if _, err := get(api, path, &chassis); err != nil {
		return nil, err
	}
	var list []Sensor
	add := func(name, kind, unit string, value *float64, status common.Status) {
		if value != nil && !math.IsNaN(*value) {
			list = append(list, Sensor{Name: name, Kind: kind, Unit: unit, Value: *value, Health: string(status.Health)})
		}
	}
	if chassis.Thermal != "" {
		var v thermalView
		if _, err := get(api, chassis.Thermal.String(), &v); err != nil {
			return nil, err
		}
		for _, t := range v.Temperatures {
			add(t.Name, "temperature", "Cel", t.ReadingCelsius, t.Status)
		}
		for _, f := range v.Fans {
			name, unit := f.Name, f.ReadingUnits
			if name == "" {
				name = f.FanName
			}
			add(name, "fan", unit, f.Reading, f.Status)
		}
	}
	if chassis.Power != "" {
		var v powerView
		if _, err := get(api, chassis.Power.String(), &v); err != nil {
			return nil, err
		}
		for _, p := range v.PowerControl {
			add(p.Name, "power", "W", p.PowerConsumedWatts, p.Status)
		}
		for _, u := range v.Voltages {
			add(u.Name, "voltage", "V", u.ReadingVolts, u.Status)
		}
	}
	if len(list) > 0 || chassis.Sensors == "" {
		return list, nil
	}
	return newerSensors(api, chassis.Sensors.String())
}

// sensorKinds are our words for ReadingType of the Sensor schema.
var sensorKinds = map[redfish.ReadingType]string{
	redfish.TemperatureReadingType: "temperature", redfish.RotationalReadingType: "fan",
	redfish.PowerReadingType: "power", redfish.VoltageReadingType: "voltage",
}

func newerSensors(api *gofish.APIClient, path string) ([]Sensor, error) {
	var members struct{ Members common.Links }
	if _, err := get(api, path, &members); err != nil {
		return nil, err
	}
	var list []Sensor
	for _, member := range members.Members {
		var v struct {
			Name, ReadingUnits string
			ReadingType        redfish.ReadingType
			Reading            *float64
			Status             common.Status
		}
		if _, err := get(api, member.String(), &v); err != nil {
			return nil, err
		}
		kind, ours := sensorKinds[v.ReadingType]
		if !ours {
			kind = string(v.ReadingType)
		}
		if v.Reading != nil {
			list = append(list, Sensor{Name: v.Name, Kind: kind, Unit: v.ReadingUnits, Value: *v.Reading, Health: string(v.Status.Health)})
		}
	}
	return list, nil
}
