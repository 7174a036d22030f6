package bmc

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish"
)

// mediaView is what is read of a VirtualMedia resource.
type mediaView struct {
	Path       link `json:"@odata.id"`
	MediaTypes words
	Image      word
	ImageName  word
	Inserted   bool
	Actions    struct {
		Insert struct{ Target link } `json:"#VirtualMedia.InsertMedia"`
		Eject  struct{ Target link } `json:"#VirtualMedia.EjectMedia"`
	}
}

// holds tells whether the image is the one. Some BMCs keep only its name, or nothing: then it is enough that a drive which was empty before has something.
func (v mediaView) holds(url string) bool {
	if !v.Inserted || v.Image == "" {
		return v.Inserted
	}
	name := path.Base(url)
	return string(v.Image) == url || !strings.Contains(string(v.Image), "://") && path.Base(string(v.Image)) == name || v.Image == v.ImageName && string(v.ImageName) == name
}

// drive finds the virtual CD: at the system since VirtualMedia 1.4, at its manager before.
func (d *redfishDriver) drive(api *gofish.APIClient) (mediaView, error) {
	var system struct {
		VirtualMedia link
		Links        struct{ ManagedBy links }
	}
	if _, err := get(api, d.system, &system); err != nil {
		return mediaView{}, err
	}
	collections := links{system.VirtualMedia}
	for _, path := range system.Links.ManagedBy {
		var manager struct{ VirtualMedia link }
		if _, err := get(api, string(path), &manager); err != nil {
			return mediaView{}, err
		}
		collections = append(collections, manager.VirtualMedia)
	}
	for _, path := range collections {
		if path == "" {
			continue
		}
		list, err := members(api, string(path))
		if statusOf(err) == http.StatusNotFound {
			continue // it names what it does not have
		}
		if err != nil {
			return mediaView{}, err
		}
		for _, member := range list {
			v := mediaView{}
			if _, err := get(api, string(member), &v); err != nil {
				return mediaView{}, err
			}
			if v.Path == "" {
				v.Path = member
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
		m = Media{Image: string(v.Image), Inserted: v.Inserted}
		return err
	})
	return m, err
}

// SetVirtualMedia implements bmclib's VirtualMediaSetter; an empty URL ejects.
func (d *redfishDriver) SetVirtualMedia(ctx context.Context, _ string, url string) (ok bool, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		v, err := d.drive(api)
		if err != nil || (string(v.Image) == url && v.Inserted == (url != "")) {
			return err
		}
		place := string(v.Path)
		if v.Inserted {
			if err := d.act(ctx, api, v.Actions.Eject.Target, place, map[string]any{}, map[string]any{"Image": nil, "Inserted": false}); err != nil {
				return err
			}
		}
		if url != "" {
			if err := d.insert(ctx, api, v, url); err != nil {
				return err
			}
		}
		held, err := settled(ctx, d.target.settle(), func() (bool, error) {
			v = mediaView{}
			if _, err := get(api, place, &v); err != nil {
				return false, err
			}
			return v.Inserted == (url != "") && (url == "" || v.holds(url)), nil
		})
		if err == nil && !held {
			return d.reverted("the drive reads image %q, inserted %t", v.Image, v.Inserted)
		}
		return err
	})
	return err == nil, err
}

// insert names the image alone first: Inserted and WriteProtected have the right defaults, and some BMCs refuse their names. Others want all of them, and how
// the image is fetched (Lenovo XCC, Supermicro).
func (d *redfishDriver) insert(ctx context.Context, api *gofish.APIClient, v mediaView, url string) error {
	target, place := v.Actions.Insert.Target, string(v.Path)
	err := d.act(ctx, api, target, place, map[string]any{"Image": url}, map[string]any{"Image": url, "Inserted": true})
	if status := statusOf(err); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return err
	}
	scheme, _, _ := strings.Cut(url, "://")
	all := map[string]any{"Image": url, "Inserted": true, "WriteProtected": true, "TransferProtocolType": strings.ToUpper(scheme), "TransferMethod": "Stream"}
	if d.act(ctx, api, target, place, all, all) == nil {
		return nil
	}
	return err
}

// act calls an action, or changes the resource where the BMC has no such action.
func (d *redfishDriver) act(ctx context.Context, api *gofish.APIClient, action link, path string, args, change map[string]any) error {
	var watch *task
	var err error
	if action != "" {
		watch, err = post(api, string(action), args)
	}
	if action == "" || statusOf(err) == http.StatusMethodNotAllowed {
		watch, err = patch(api, path, change)
	}
	if err != nil {
		return err
	}
	return d.await(ctx, api, watch)
}
