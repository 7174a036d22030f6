package redfish

import "net/http"

// defaultSensors are shown when the machine names none.
var defaultSensors = []Sensor{
	{Name: "InletTemp", Kind: "Temperature", Unit: "Cel", Reading: 22},
	{Name: "CPU1Temp", Kind: "Temperature", Unit: "Cel", Reading: 45},
	{Name: "Fan1", Kind: "Rotational", Unit: "RPM", Reading: 5400},
	{Name: "SystemPower", Kind: "Power", Unit: "W", Reading: 180},
}

func (s *Server) chassisPath() string { return root + "/Chassis/" + s.id() }

func (s *Server) sensors() []Sensor {
	if list := s.machine.Info().Sensors; list != nil {
		return list
	}
	return defaultSensors
}

func (s *Server) chassisRoutes() {
	path := s.chassisPath()
	s.get(root+"/Chassis", collection("ChassisCollection", root+"/Chassis", path))
	s.get(path, s.chassis)
	s.get(path+"/Thermal", s.thermal)
	s.get(path+"/Power", s.power)
	s.get(path+"/Sensors", func(r *http.Request) (object, error) {
		var paths []string
		for _, sensor := range s.sensors() {
			paths = append(paths, path+"/Sensors/"+sensor.Name)
		}
		return collection("SensorCollection", path+"/Sensors", paths...)(r)
	})
	s.get(path+"/Sensors/{name}", s.sensor)
}

func (s *Server) chassis(r *http.Request) (object, error) {
	on, err := s.machine.Power(r.Context())
	if err != nil {
		return nil, err
	}
	info, path := s.machine.Info(), s.chassisPath()
	return object{
		"@odata.id": path, "@odata.type": "#Chassis.v1_16_0.Chassis",
		"Id": s.id(), "Name": "Chassis", "ChassisType": "Blade", "PowerState": powerWord(on), "Status": healthy(),
		"Manufacturer": info.Manufacturer, "Model": info.Model, "SerialNumber": info.Serial,
		"Thermal": link(path + "/Thermal"), "Power": link(path + "/Power"), "Sensors": link(path + "/Sensors"),
		"Links": object{"ComputerSystems": members(s.systemPath()), "ManagedBy": members(managerPath)},
	}, nil
}

func (s *Server) sensor(r *http.Request) (object, error) {
	for _, sensor := range s.sensors() {
		if sensor.Name == r.PathValue("name") {
			return object{
				"@odata.id": s.chassisPath() + "/Sensors/" + sensor.Name, "@odata.type": "#Sensor.v1_3_0.Sensor",
				"Id": sensor.Name, "Name": sensor.Name, "Status": healthy(),
				"ReadingType": sensor.Kind, "ReadingUnits": sensor.Unit, "Reading": sensor.Reading,
			}, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "ResourceMissingAtURI", "there is no sensor %s", r.PathValue("name"))
}

// thermal is the older form of the readings (Thermal schema), which many clients still read.
func (s *Server) thermal(*http.Request) (object, error) {
	path := s.chassisPath() + "/Thermal"
	temperatures, fans := []object{}, []object{}
	for _, sensor := range s.sensors() {
		switch sensor.Kind {
		case "Temperature":
			temperatures = append(temperatures, object{
				"MemberId": sensor.Name, "Name": sensor.Name, "ReadingCelsius": sensor.Reading, "Status": healthy(),
			})
		case "Rotational":
			fans = append(fans, object{
				"MemberId": sensor.Name, "Name": sensor.Name, "Reading": int(sensor.Reading), "ReadingUnits": "RPM", "Status": healthy(),
			})
		}
	}
	return object{
		"@odata.id": path, "@odata.type": "#Thermal.v1_7_0.Thermal", "Id": "Thermal", "Name": "Thermal",
		"Temperatures": temperatures, "Fans": fans,
	}, nil
}

// power is the older form of the power readings (Power schema).
func (s *Server) power(*http.Request) (object, error) {
	path := s.chassisPath() + "/Power"
	controls, voltages := []object{}, []object{}
	for _, sensor := range s.sensors() {
		switch sensor.Kind {
		case "Power":
			controls = append(controls, object{"MemberId": sensor.Name, "Name": sensor.Name, "PowerConsumedWatts": sensor.Reading, "Status": healthy()})
		case "Voltage":
			voltages = append(voltages, object{"MemberId": sensor.Name, "Name": sensor.Name, "ReadingVolts": sensor.Reading, "Status": healthy()})
		}
	}
	return object{
		"@odata.id": path, "@odata.type": "#Power.v1_7_0.Power", "Id": "Power", "Name": "Power",
		"PowerControl": controls, "Voltages": voltages, "PowerSupplies": []object{},
	}, nil
}
