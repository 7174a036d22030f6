package bmc

import (
	"context"
	"slices"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/redfish"
)

// PowerStateGet implements bmclib's PowerStateGetter, in our words.
func (d *redfishDriver) PowerStateGet(ctx context.Context) (state string, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		system, err := redfish.GetComputerSystem(api, d.system)
		if err != nil {
			return err
		}
		word, err := powerState(system.PowerState)
		state = string(word)
		return err
	})
	return state, err
}

// powerState reads PowerState of the Resource schema.
func powerState(word redfish.PowerState) (PowerState, error) {
	switch word {
	case redfish.OnPowerState, redfish.PoweringOffPowerState, redfish.PausedPowerState:
		return On, nil
	case redfish.OffPowerState, redfish.PoweringOnPowerState:
		return Off, nil
	}
	return "", fault(ErrUnsupported, "the BMC tells the power state %q, which is none", word)
}

// PowerSet implements bmclib's PowerSetter for on and off.
func (d *redfishDriver) PowerSet(ctx context.Context, state string) (ok bool, err error) {
	verbs := map[PowerState][]redfish.ResetType{
		On:  {redfish.OnResetType, redfish.ForceOnResetType},
		Off: {redfish.ForceOffResetType},
	}[PowerState(state)]
	err = d.do(ctx, func(api *gofish.APIClient) error {
		system, err := redfish.GetComputerSystem(api, d.system)
		if err != nil {
			return err
		}
		for _, verb := range verbs {
			if len(system.SupportedResetTypes) == 0 || slices.Contains(system.SupportedResetTypes, verb) {
				return system.Reset(verb)
			}
		}
		return fault(ErrUnsupported, "the BMC offers %v, none of %v", system.SupportedResetTypes, verbs)
	})
	return err == nil, err
}
