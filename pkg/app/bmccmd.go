package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// How long a command by hand waits for one BMC.
const (
	bmcReadTime  = time.Minute
	bmcWriteTime = 5 * time.Minute
	bmcCloseTime = 10 * time.Second
)

// byHand is a session with the BMC of one node.
type byHand struct {
	env    Env
	node   model.Node
	client bmc.Client
}

// withBMC opens the BMC of a node, given by name or path. It needs the inventory and its secrets, and nothing else of the state.
func (e Env) withBMC(ctx context.Context, name string, limit time.Duration, do func(context.Context, byHand) error) (err error) {
	n, secrets, err := e.loadNode(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	machines := &fleet.Machines{Secrets: secrets, Log: e.Log}
	c, err := machines.Client(ctx, n)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), bmcCloseTime)
		defer cancel()
		err = errors.Join(err, c.Close(ending))
	}()
	return do(ctx, byHand{env: e, node: n, client: c})
}

// loadNode finds one node of the inventory by its name or path.
func (e Env) loadNode(name string) (model.Node, fleet.Secrets, error) {
	inv, err := e.load()
	if err != nil {
		return model.Node{}, nil, err
	}
	for _, n := range inv.Desired.Nodes {
		if n.Name == name || string(n.Path) == strings.Trim(name, "/") {
			return n, &lazySecrets{dir: e.Dir, spec: inv.Secrets}, nil
		}
	}
	return model.Node{}, nil, fmt.Errorf("there is no node %q; nuboctl inventory shows them", name)
}

// changeBMC is withBMC for a change by hand. It takes the lease first, so that no apply runs beside it, and writes into the journal what is
// done, and why it failed.
func (e Env) changeBMC(ctx context.Context, node, verb, want string, do func(context.Context, byHand) error) error {
	return e.withJournal(ctx, strings.Join([]string{"bmc", verb, want, node}, " "), func(j runJournal) error {
		return e.withBMC(ctx, node, bmcWriteTime, func(ctx context.Context, b byHand) error {
			note := state.Record{Kind: state.KindNote, OpID: plan.ID(plan.Kind("bmc."+verb), plan.NodeSubject(b.node.Path)), By: whoAmI(),
				Text: "by hand: " + verb + " " + want, Time: e.Now().UTC()}
			if _, err := j.Append(ctx, note); err != nil {
				return err
			}
			did := do(ctx, b)
			if did == nil {
				return nil
			}
			note.Error, note.Time = did.Error(), e.Now().UTC()
			_, err := j.Append(context.WithoutCancel(ctx), note)
			return errors.Join(did, err)
		})
	})
}

// bootWord is a boot override in the words of the command line.
func bootWord(o bmc.BootOverride) string {
	word, ok := map[bmc.BootDevice]string{
		bmc.BootNone: "as its firmware is set", bmc.BootPXE: "network", bmc.BootHTTP: "network", bmc.BootDisk: "disk",
	}[o.Device]
	if !ok {
		word = string(o.Device)
	}
	if o.Device != bmc.BootNone {
		word += map[bool]string{true: ", always", false: ", once"}[o.Persistent]
	}
	return word
}

// bmcInfo is what bmc info prints.
type bmcInfo struct {
	FormatVersion int            `json:"format_version"`
	Node          model.Path     `json:"node"`
	BMC           string         `json:"bmc"`
	Serial        string         `json:"serial"`
	Pinned        string         `json:"expected_serial,omitempty"` // by the inventory
	Manufacturer  string         `json:"manufacturer"`
	Model         string         `json:"model"`
	UUID          string         `json:"uuid,omitempty"`
	Power         bmc.PowerState `json:"power"`
	NextBoot      string         `json:"next_boot"`
}

// BMCInfo shows which machine stands behind a node, whether it runs and what it would start from.
func BMCInfo(ctx context.Context, e Env, node string) error {
	return e.withBMC(ctx, node, bmcReadTime, func(ctx context.Context, b byHand) error {
		id, err1 := b.client.Identity(ctx)
		power, err2 := b.client.Power(ctx)
		boot, err3 := b.client.BootOverride(ctx)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		i := bmcInfo{FormatVersion: 1, Node: b.node.Path, BMC: b.node.BMC.Address, Serial: id.Serial, Pinned: b.node.Serial,
			Manufacturer: id.Manufacturer, Model: id.Model, UUID: id.UUID, Power: power, NextBoot: bootWord(boot)}
		if e.JSON {
			return view.JSON(e.Out, i)
		}
		serial := cmp.Or(i.Serial, "not told")
		if i.Pinned == "" {
			serial += " (the inventory does not say which it should be)"
		}
		_, err := fmt.Fprintf(e.Out, "%-13s %s\n%-13s %s\n%-13s %s\n%-13s %s\n%-13s %s\n%-13s %s\n%-13s %s\n",
			"node", i.Node, "BMC", i.BMC, "machine", strings.TrimSpace(i.Manufacturer+" "+i.Model), "serial", serial, "UUID", cmp.Or(i.UUID, "not told"),
			"power", i.Power, "next boot", i.NextBoot)
		return err
	})
}

// BMCPower shows or switches the power of one machine. want is "on", "off", or empty to look only.
func BMCPower(ctx context.Context, e Env, want, node string) error {
	show := func(ctx context.Context, b byHand) error {
		now, err := b.client.Power(ctx)
		if err != nil {
			return err
		}
		if e.JSON {
			return view.JSON(e.Out, map[string]any{"format_version": 1, "node": b.node.Path, "power": now})
		}
		_, err = fmt.Fprintf(e.Out, "%s is %s\n", b.node.Name, now)
		return err
	}
	if want == "" {
		return e.withBMC(ctx, node, bmcReadTime, show)
	}
	return e.changeBMC(ctx, node, "power", want, func(ctx context.Context, b byHand) error {
		e.note("Switching %s %s, and waiting until its BMC says so.", b.node.Name, want)
		if err := b.client.SetPower(ctx, bmc.PowerState(want)); err != nil {
			return err
		}
		return show(ctx, b)
	})
}

// BMCBoot shows or sets what one machine starts from next. want is "network" or "disk", for once, or empty to look only.
func BMCBoot(ctx context.Context, e Env, want, node string) error {
	show := func(ctx context.Context, b byHand) error {
		now, err := b.client.BootOverride(ctx)
		if err != nil {
			return err
		}
		if e.JSON {
			return view.JSON(e.Out, map[string]any{"format_version": 1, "node": b.node.Path, "next_boot": bootWord(now), "device": now.Device, "persistent": now.Persistent})
		}
		_, err = fmt.Fprintf(e.Out, "%s starts next from: %s\n", b.node.Name, bootWord(now))
		return err
	}
	if want == "" {
		return e.withBMC(ctx, node, bmcReadTime, show)
	}
	return e.changeBMC(ctx, node, "boot", want, func(ctx context.Context, b byHand) error {
		if err := b.setBoot(ctx, want); err != nil {
			return err
		}
		if now, err := b.client.BootOverride(ctx); want == "network" && err == nil && now.Persistent {
			e.note("The BMC of %s knows no boot for once: it keeps this until it is told otherwise, by nuboctl bmc boot disk %s", b.node.Name, b.node.Name)
		}
		return show(ctx, b)
	})
}

func (b byHand) setBoot(ctx context.Context, want string) error {
	if want == "network" {
		return bmc.BootNetworkOnce(ctx, b.client)
	}
	return b.client.BootOnce(ctx, bmc.BootDisk)
}

// BMCSensors shows temperatures, fans, supplies and voltages of one machine.
func BMCSensors(ctx context.Context, e Env, node string) error {
	return e.withBMC(ctx, node, bmcReadTime, func(ctx context.Context, b byHand) error {
		list, err := b.client.Sensors(ctx)
		if err != nil {
			return err
		}
		if e.JSON {
			return view.JSON(e.Out, sensorsJSON(b.node.Path, list))
		}
		if len(list) == 0 {
			e.note("%s has no sensors with a value.", b.node.Name)
		}
		for _, s := range list {
			if _, err := fmt.Fprintf(e.Out, "%-12s %-28s %10.4g %-4s %s\n", s.Kind, s.Name, s.Value, s.Unit, s.Health); err != nil {
				return err
			}
		}
		return nil
	})
}

func sensorsJSON(node model.Path, list []bmc.Sensor) any {
	type sensor struct {
		Name   string  `json:"name"`
		Kind   string  `json:"kind"`
		Value  float64 `json:"value"`
		Unit   string  `json:"unit"`
		Health string  `json:"health,omitempty"`
	}
	out := make([]sensor, len(list))
	for i, s := range list {
		out[i] = sensor{Name: s.Name, Kind: s.Kind, Value: s.Value, Unit: s.Unit, Health: s.Health}
	}
	return map[string]any{"format_version": 1, "node": node, "sensors": out}
}
