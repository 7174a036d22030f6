package bmc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/redfish"
)

// powerView is what is read of a ComputerSystem to switch it. Only these properties are understood: firmware writes odd things into the others.
type powerView struct {
	PowerState word
	Actions    struct {
		Reset resetView `json:"#ComputerSystem.Reset"`
	}
}

// resetView is the action that switches a system. What it takes is told there or in an ActionInfo.
type resetView struct {
	Target  word  `json:"target"`
	Allowed words `json:"ResetType@Redfish.AllowableValues"`
	Info    word  `json:"@Redfish.ActionInfo"`
}

// PowerStateGet implements bmclib's PowerStateGetter, in our words.
func (d *redfishDriver) PowerStateGet(ctx context.Context) (state string, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		word, err := d.power(api)
		state = string(word)
		return err
	})
	return state, err
}

func (d *redfishDriver) power(api *gofish.APIClient) (PowerState, error) {
	var v powerView
	if _, err := get(api, d.system, &v); err != nil {
		return "", err
	}
	return powerState(redfish.PowerState(v.PowerState))
}

// powerState reads PowerState of the Resource schema. BMCs tell none, or Unknown, for a while after a reset of the machine or of themselves.
func powerState(word redfish.PowerState) (PowerState, error) {
	switch strings.ToLower(string(word)) {
	case "on", "poweringoff", "poweringon", "paused":
		return On, nil
	case "off":
		return Off, nil
	case "", "unknown", "reset", "resetting":
		return "", fault(ErrBusy, "the BMC tells no power state at the moment: %q", string(word)).advise("wait until the machine and its BMC have started; if it stays so, reset the BMC")
	}
	return "", fault(ErrUnsupported, "the BMC tells the power state %q, which is none", string(word))
}

// PowerSet implements bmclib's PowerSetter for on and off.
func (d *redfishDriver) PowerSet(ctx context.Context, state string) (ok bool, err error) {
	want := PowerState(state)
	verbs := map[PowerState][]redfish.ResetType{
		On:  {redfish.OnResetType, redfish.ForceOnResetType},
		Off: {redfish.ForceOffResetType},
	}[want]
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var v powerView
		if _, err := get(api, d.system, &v); err != nil {
			return err
		}
		reset := v.Actions.Reset
		allowed := reset.kinds(api)
		offered := slices.DeleteFunc(slices.Clone(verbs), func(verb redfish.ResetType) bool {
			return len(allowed) > 0 && !slices.Contains(allowed, string(verb))
		})
		if len(offered) == 0 {
			return fault(ErrUnsupported, "the BMC offers %v, none of %v", allowed, verbs)
		}
		target := localPath(string(reset.Target))
		if target == "" { // where DSP0266 puts it
			target = strings.TrimRight(d.system, "/") + "/Actions/ComputerSystem.Reset"
		}
		return d.reset(ctx, api, target, offered, want)
	})
	return err == nil, err
}

// reset tries the verbs until one is taken. A refusal may mean no more than that the machine is in that state already: that is looked at.
func (d *redfishDriver) reset(ctx context.Context, api *gofish.APIClient, target string, verbs []redfish.ResetType, want PowerState) error {
	var refusals []error
	for _, verb := range verbs {
		watch, err := post(api, target, map[string]any{"ResetType": verb})
		if err == nil {
			err = d.await(ctx, api, watch)
		}
		if err == nil {
			return nil
		}
		if now, lookErr := d.power(api); lookErr == nil && now == want {
			return nil
		}
		f := d.fault(err)
		f.Cause = fmt.Errorf("%s by %w", verb, f.Cause)
		if !errors.Is(f.Kind, ErrUnsupported) {
			return f
		}
		if statusOf(err) == http.StatusConflict { // it would, in another state of the machine than it is in now
			f.Kind = ErrBusy
			return f
		}
		refusals = append(refusals, f.Cause)
	}
	return fault(ErrUnsupported, "%w", errors.Join(refusals...))
}

// kinds is what the action takes; empty when the BMC does not tell.
func (v resetView) kinds(api *gofish.APIClient) []string {
	path := localPath(string(v.Info))
	if len(v.Allowed) > 0 || path == "" {
		return v.Allowed
	}
	var info struct {
		Parameters []struct {
			Name    word
			Allowed words `json:"AllowableValues"`
		}
	}
	if _, err := get(api, path, &info); err != nil {
		return nil // then the action itself will tell
	}
	for _, p := range info.Parameters {
		if p.Name == "ResetType" {
			return p.Allowed
		}
	}
	return nil
}
