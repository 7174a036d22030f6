package bmc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stmcginnis/gofish"
)

// biosView is what is read of a Bios resource and of its settings resource (Bios schema).
type biosView struct {
	Attributes map[string]any
	Settings   struct {
		SettingsObject link
	} `json:"@Redfish.Settings"`
}

// bios reads the settings in force, and the path that takes changes.
func (d *redfishDriver) bios(api *gofish.APIClient) (view biosView, path string, err error) {
	var system struct{ Bios link }
	if _, err := get(api, d.system, &system); err != nil {
		return view, "", err
	}
	if system.Bios == "" {
		return view, "", fault(ErrUnsupported, "the BMC shows no BIOS settings")
	}
	if _, err := get(api, string(system.Bios), &view); err != nil {
		return view, "", err
	}
	path = string(view.Settings.SettingsObject)
	if path == "" {
		path = string(system.Bios)
	}
	return view, path, nil
}

// GetBiosConfiguration implements bmclib's BiosConfigurationGetter.
func (d *redfishDriver) GetBiosConfiguration(ctx context.Context) (settings map[string]string, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		view, _, err := d.bios(api)
		if err != nil {
			return err
		}
		settings = make(map[string]string, len(view.Attributes))
		for name, value := range view.Attributes {
			settings[name] = attributeText(value)
		}
		return nil
	})
	return settings, err
}

// attributeText writes an attribute as text: JSON's numbers and booleans, strings as they are.
func attributeText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// SetBiosConfiguration implements bmclib's BiosConfigurationSetter.
func (d *redfishDriver) SetBiosConfiguration(ctx context.Context, change map[string]string) error {
	return d.do(ctx, func(api *gofish.APIClient) error {
		now, path, err := d.bios(api)
		if err != nil {
			return err
		}
		typed, err := typedAttributes(now.Attributes, change)
		if err != nil || len(typed) == 0 {
			return err
		}
		watch, err := patch(api, path, map[string]any{"Attributes": typed})
		if err != nil {
			return err
		}
		if err := d.await(ctx, api, watch); err != nil {
			return err
		}
		var missing []string
		held, err := settled(ctx, d.target.settle(), func() (bool, error) {
			missing, err = d.biosMissing(api, path, typed)
			return len(missing) == 0, err
		})
		if err == nil && !held {
			return d.reverted("%s", strings.Join(missing, ", "))
		}
		return err
	})
}

// typedAttributes gives each change the JSON type that the attribute has, and leaves out what
// is so already.
func typedAttributes(now map[string]any, change map[string]string) (map[string]any, error) {
	typed := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		current, ok := now[name]
		if !ok {
			return nil, fault(ErrUnsupported, "the firmware has no setting %q", name).advise("list the settings that it has, and correct the name")
		}
		if attributeText(current) == change[name] {
			continue
		}
		var err error
		switch current.(type) {
		case float64:
			typed[name], err = strconv.ParseFloat(change[name], 64)
		case bool:
			typed[name], err = strconv.ParseBool(change[name])
		default:
			typed[name] = change[name]
		}
		if err != nil {
			return nil, fault(ErrInvalid, "the setting %s takes a value like %v, not %q", name, current, change[name])
		}
	}
	return typed, nil
}

// biosMissing lists the changes that are neither in force nor pending.
func (d *redfishDriver) biosMissing(api *gofish.APIClient, path string, typed map[string]any) ([]string, error) {
	now, _, err := d.bios(api)
	if err != nil {
		return nil, err
	}
	var pending biosView
	if _, err := get(api, path, &pending); err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(typed)) {
		want := attributeText(typed[name])
		waiting, isPending := pending.Attributes[name]
		if isPending && attributeText(waiting) == want {
			continue
		}
		if attributeText(now.Attributes[name]) != want {
			missing = append(missing, fmt.Sprintf("%s still reads %s", name, attributeText(now.Attributes[name])))
		}
	}
	return missing, nil
}

// SetBiosConfigurationFromFile is there because bmclib's interface has it.
func (d *redfishDriver) SetBiosConfigurationFromFile(context.Context, string) error {
	return fault(ErrUnsupported, "BIOS settings are given by name, not by file")
}
