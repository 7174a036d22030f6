package redfish

import (
	"fmt"
	"maps"
	"net/http"
)

func (s *Server) biosPath() string { return s.systemPath() + "/Bios" }

func (s *Server) biosRoutes() {
	s.get(s.biosPath(), s.biosNow)
	s.get(s.biosPath()+"/Settings", s.biosPending)
	s.write("PATCH "+s.biosPath()+"/Settings", s.biosPending, s.patchBIOS)
	s.write("POST "+s.biosPath()+"/Actions/Bios.ResetBios", nil, func(r *http.Request, _ object) error {
		if reverts(r.Context()) {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pending = maps.Clone(s.opt.BIOS)
		return nil
	})
}

func (s *Server) biosObject(path string, attributes map[string]any) object {
	return object{
		"@odata.id": path, "@odata.type": "#Bios.v1_1_0.Bios", "Id": "BIOS", "Name": "BIOS Settings",
		"AttributeRegistry": "BiosAttributeRegistry.v1_0_0", "Attributes": attributes,
	}
}

func (s *Server) biosNow(*http.Request) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := s.biosObject(s.biosPath(), maps.Clone(s.bios))
	body["@Redfish.Settings"] = object{
		"@odata.type":         "#Settings.v1_3_0.Settings",
		"SettingsObject":      link(s.biosPath() + "/Settings"),
		"SupportedApplyTimes": []string{"OnReset"},
	}
	body["Actions"] = object{"#Bios.ResetBios": object{"target": s.biosPath() + "/Actions/Bios.ResetBios"}}
	return body, nil
}

func (s *Server) biosPending(*http.Request) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.biosObject(s.biosPath()+"/Settings", maps.Clone(s.pending)), nil
}

func (s *Server) patchBIOS(r *http.Request, in object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes, ok := in["Attributes"].(object)
	if !ok {
		return refuse(http.StatusBadRequest, "PropertyMissing", "the request changes nothing: Attributes is missing")
	}
	for name, value := range changes {
		now, known := s.bios[name]
		if !known {
			return refuse(http.StatusBadRequest, "PropertyUnknown", "the firmware has no attribute %s", name)
		}
		if fmt.Sprintf("%T", now) != fmt.Sprintf("%T", value) {
			return refuse(http.StatusBadRequest, "PropertyValueTypeError", "attribute %s takes a value like %v, not %v", name, now, value)
		}
	}
	if !reverts(r.Context()) {
		maps.Copy(s.pending, changes)
	}
	return nil
}

// applyBIOS makes pending attributes current, as firmware does when it starts.
func (s *Server) applyBIOS() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.bios, s.pending)
	clear(s.pending)
}
