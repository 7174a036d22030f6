package redfish

import (
	"net/http"
	"slices"
)

var (
	bootTargets = []string{"None", "Pxe", "Hdd", "Cd", "UefiHttp", "BiosSetup"}
	bootEnabled = []string{"Disabled", "Once", "Continuous"}
	bootModes   = []string{"UEFI", "Legacy"}
	resetTypes  = []string{"On", "ForceOn", "ForceOff", "ForceRestart"}
)

func (s *Server) systemPath() string { return root + "/Systems/" + s.id() }

func (s *Server) systemRoutes() {
	path := s.systemPath()
	s.get(root+"/Systems", collection("ComputerSystemCollection", root+"/Systems", path))
	s.get(path, s.system)
	s.write("PATCH "+path, s.system, s.patchSystem)
	s.write("POST "+path+"/Actions/ComputerSystem.Reset", nil, s.reset)
	nics := path + "/EthernetInterfaces"
	var paths []string
	for _, nic := range s.machine.Info().NICs {
		paths = append(paths, nics+"/"+nic.Name)
		s.get(nics+"/"+nic.Name, ethernetInterface(nics, nic))
	}
	s.get(nics, collection("EthernetInterfaceCollection", nics, paths...))
}

func ethernetInterface(parent string, nic NIC) func(*http.Request) (object, error) {
	return func(*http.Request) (object, error) {
		return object{
			"@odata.id": parent + "/" + nic.Name, "@odata.type": "#EthernetInterface.v1_6_0.EthernetInterface",
			"Id": nic.Name, "Name": nic.Name, "MACAddress": nic.MAC, "PermanentMACAddress": nic.MAC,
			"InterfaceEnabled": true, "LinkStatus": "LinkUp", "Status": healthy(),
		}, nil
	}
}

func healthy() object { return object{"State": "Enabled", "Health": "OK", "HealthRollup": "OK"} }

func powerWord(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

func (s *Server) system(r *http.Request) (object, error) {
	on, err := s.machine.Power(r.Context())
	if err != nil {
		return nil, err
	}
	boot, err := s.machine.Boot(r.Context())
	if err != nil {
		return nil, err
	}
	info, path := s.machine.Info(), s.systemPath()
	system := object{
		"@odata.id": path, "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
		"Id": s.id(), "Name": "System", "SystemType": "Physical", "Status": healthy(),
		"Manufacturer": info.Manufacturer, "Model": info.Model, "SerialNumber": info.Serial, "UUID": info.UUID,
		"BiosVersion": info.BIOSVersion, "PowerState": powerWord(on),
		"ProcessorSummary":   object{"Count": info.Processors, "CoreCount": info.Cores, "Status": healthy()},
		"MemorySummary":      object{"TotalSystemMemoryGiB": info.MemoryGiB, "Status": healthy()},
		"Boot":               bootObject(boot),
		"Bios":               link(path + "/Bios"),
		"EthernetInterfaces": link(path + "/EthernetInterfaces"),
		"Links":              object{"Chassis": members(s.chassisPath()), "ManagedBy": members(managerPath)},
		"Actions": object{"#ComputerSystem.Reset": object{
			"target":                            path + "/Actions/ComputerSystem.Reset",
			"ResetType@Redfish.AllowableValues": resetTypes,
		}},
	}
	if _, ok := s.machine.(ConsoleKeeper); ok {
		system["LogServices"] = link(path + "/LogServices")
	}
	return system, nil
}

func bootObject(b Boot) object {
	return object{
		"BootSourceOverrideTarget": b.Target, "BootSourceOverrideTarget@Redfish.AllowableValues": bootTargets,
		"BootSourceOverrideEnabled": b.Enabled, "BootSourceOverrideEnabled@Redfish.AllowableValues": bootEnabled,
		"BootSourceOverrideMode": b.Mode, "BootSourceOverrideMode@Redfish.AllowableValues": bootModes,
	}
}

func (s *Server) patchSystem(r *http.Request, in object) error {
	for key := range in {
		if key != "Boot" {
			return refuse(http.StatusBadRequest, "PropertyUnknown", "the property %s is unknown or cannot be written", key)
		}
	}
	changes, ok := in["Boot"].(object)
	if !ok {
		return refuse(http.StatusBadRequest, "PropertyMissing", "the request changes nothing: Boot is missing")
	}
	boot, err := s.machine.Boot(r.Context())
	if err != nil {
		return err
	}
	if err := mergeBoot(&boot, changes); err != nil {
		return err
	}
	if reverts(r.Context()) {
		return nil
	}
	return s.machine.SetBoot(r.Context(), boot)
}

func mergeBoot(boot *Boot, changes object) error {
	fields := map[string]struct {
		to      *string
		allowed []string
	}{
		"BootSourceOverrideTarget":  {&boot.Target, bootTargets},
		"BootSourceOverrideEnabled": {&boot.Enabled, bootEnabled},
		"BootSourceOverrideMode":    {&boot.Mode, bootModes},
	}
	for key, value := range changes {
		field, known := fields[key]
		if !known {
			return refuse(http.StatusBadRequest, "PropertyUnknown", "the property Boot/%s is unknown or cannot be written", key)
		}
		word, _ := value.(string)
		if !slices.Contains(field.allowed, word) {
			return refuse(http.StatusBadRequest, "PropertyValueNotInList", "%v is not a value of Boot/%s: one of %v", value, key, field.allowed)
		}
		*field.to = word
	}
	// A disabled override has no target (ComputerSystem schema, BootSourceOverrideEnabled).
	if boot.Enabled == "Disabled" {
		boot.Target = "None"
	}
	return nil
}

func (s *Server) reset(r *http.Request, in object) error {
	kind, _ := in["ResetType"].(string)
	if !slices.Contains(resetTypes, kind) {
		return refuse(http.StatusBadRequest, "ActionParameterValueNotInList", "%q is not a ResetType: one of %v", kind, resetTypes)
	}
	if reverts(r.Context()) {
		return nil
	}
	if kind == "ForceOff" || kind == "ForceRestart" {
		if err := s.machine.SetPower(r.Context(), false); err != nil {
			return err
		}
	}
	if kind == "ForceOff" {
		return nil
	}
	s.applyBIOS()
	return s.machine.SetPower(r.Context(), true)
}
