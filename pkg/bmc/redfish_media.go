package bmc

import (
	"context"
	"net/http"
	"slices"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
)

// mediaView is what is read of a VirtualMedia resource.
type mediaView struct {
	Path       string `json:"@odata.id"`
	MediaTypes []string
	Image      string
	Inserted   bool
	Actions    struct {
		Insert struct{ Target string } `json:"#VirtualMedia.InsertMedia"`
		Eject  struct{ Target string } `json:"#VirtualMedia.EjectMedia"`
	}
}

// drive finds the virtual CD: at the system since VirtualMedia 1.4, at its manager before.
func (d *redfishDriver) drive(api *gofish.APIClient) (mediaView, error) {
	var system struct {
		VirtualMedia common.Link
		Links        struct{ ManagedBy common.Links }
	}
	if _, err := get(api, d.system, &system); err != nil {
		return mediaView{}, err
	}
	collections := []common.Link{system.VirtualMedia}
	for _, path := range system.Links.ManagedBy {
		var manager struct{ VirtualMedia common.Link }
		if _, err := get(api, path.String(), &manager); err != nil {
			return mediaView{}, err
		}
		collections = append(collections, manager.VirtualMedia)
	}
	for _, path := range collections {
		if path == "" {
			continue
		}
		var list struct{ Members common.Links }
		if _, err := get(api, path.String(), &list); err != nil {
			return mediaView{}, err
		}
		for _, member := range list.Members {
			var v mediaView
			if _, err := get(api, member.String(), &v); err != nil {
				return mediaView{}, err
			}
			if slices.Contains(v.MediaTypes, "CD") || slices.Contains(v.MediaTypes, "DVD") {
				return v, nil
			}
		}
	}
	return mediaView{}, fault(ErrUnsupported, "the BMC has no virtual CD drive").advise("check the BMC's licence for virtual media")
}

func (d *redfishDriver) media(ctx context.Context) (m Media, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		v, err := d.drive(api)
		m = Media{Image: v.Image, Inserted: v.Inserted}
		return err
	})
	return m, err
}

// SetVirtualMedia implements bmclib's VirtualMediaSetter; an empty URL ejects.
func (d *redfishDriver) SetVirtualMedia(ctx context.Context, _ string, url string) (ok bool, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		v, err := d.drive(api)
		if err != nil || (v.Image == url && v.Inserted == (url != "")) {
			return err
		}
		if v.Inserted {
			if err := act(api, v.Actions.Eject.Target, v.Path, map[string]any{}, map[string]any{"Image": nil, "Inserted": false}); err != nil {
				return err
			}
		}
		if url != "" {
			// Inserted and WriteProtected have the right defaults, and some BMCs refuse their names.
			insert := map[string]any{"Image": url}
			if err := act(api, v.Actions.Insert.Target, v.Path, insert, map[string]any{"Image": url, "Inserted": true}); err != nil {
				return err
			}
		}
		held, err := settled(ctx, d.target.settle(), func() (bool, error) {
			if _, err := get(api, v.Path, &v); err != nil {
				return false, err
			}
			return v.Inserted == (url != "") && (v.Image == url || url == ""), nil
		})
		if err == nil && !held {
			return fault(ErrReverted, "the drive reads image %q, inserted %t", v.Image, v.Inserted)
		}
		return err
	})
	return err == nil, err
}

// act calls an action, or changes the resource where the BMC has no such action.
func act(api *gofish.APIClient, action, path string, args, change map[string]any) error {
	if action == "" {
		return patch(api, path, change)
	}
	response, err := api.Post(action, args)
	if statusOf(err) == http.StatusMethodNotAllowed {
		return patch(api, path, change)
	}
	if err != nil {
		return err
	}
	return response.Body.Close()
}
