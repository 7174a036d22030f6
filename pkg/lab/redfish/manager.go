package redfish

import (
	"net/http"
	"net/url"
	"path"
)

const (
	managerPath = root + "/Managers/BMC"
	mediaPath   = managerPath + "/VirtualMedia"
	cdPath      = mediaPath + "/Cd"
)

func (s *Server) managerRoutes() {
	s.get(root+"/Managers", collection("ManagerCollection", root+"/Managers", managerPath))
	s.get(managerPath, s.manager)
	s.get(mediaPath, collection("VirtualMediaCollection", mediaPath, cdPath))
	s.get(cdPath, s.cd)
	s.write("POST "+cdPath+"/Actions/VirtualMedia.InsertMedia", nil, s.insert)
	s.write("POST "+cdPath+"/Actions/VirtualMedia.EjectMedia", nil, func(r *http.Request, _ object) error {
		return s.setMedia(r, "")
	})
}

func (s *Server) manager(*http.Request) (object, error) {
	return object{
		"@odata.id": managerPath, "@odata.type": "#Manager.v1_10_0.Manager",
		"Id": "BMC", "Name": "Manager", "ManagerType": "BMC", "Model": "nubo lab BMC", "FirmwareVersion": "1",
		"PowerState": "On", "Status": healthy(), "DateTime": s.opt.Now().UTC().Format("2006-01-02T15:04:05Z"),
		"VirtualMedia": link(mediaPath),
		"Links":        object{"ManagerForServers": members(s.systemPath()), "ManagerForChassis": members(s.chassisPath())},
	}, nil
}

func (s *Server) cd(*http.Request) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := object{
		"@odata.id": cdPath, "@odata.type": "#VirtualMedia.v1_3_0.VirtualMedia",
		"Id": "Cd", "Name": "Virtual CD", "MediaTypes": []string{"CD", "DVD"},
		"Inserted": s.media != "", "WriteProtected": true, "ConnectedVia": "NotConnected", "Image": nil, "ImageName": nil,
		"Actions": object{
			"#VirtualMedia.InsertMedia": object{"target": cdPath + "/Actions/VirtualMedia.InsertMedia"},
			"#VirtualMedia.EjectMedia":  object{"target": cdPath + "/Actions/VirtualMedia.EjectMedia"},
		},
	}
	if s.media != "" {
		body["ConnectedVia"], body["Image"], body["ImageName"] = "URI", s.media, path.Base(s.media)
	}
	return body, nil
}

func (s *Server) insert(r *http.Request, in object) error {
	image, _ := in["Image"].(string)
	u, err := url.Parse(image)
	if err != nil || u.Host == "" {
		return refuse(http.StatusBadRequest, "ActionParameterValueFormatError", "Image is not a URL with a host: %q", image)
	}
	return s.setMedia(r, image)
}

func (s *Server) setMedia(r *http.Request, image string) error {
	if reverts(r.Context()) {
		return nil
	}
	if holder, ok := s.machine.(MediaHolder); ok {
		if err := holder.SetMedia(r.Context(), image); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.media = image
	return nil
}
