package installer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// behind gives the blade's card neighbours; without any it stays silent.
func behind(who ...order.Neighbour) func(context.Context, string, func(order.Neighbour, bool)) error {
	return func(ctx context.Context, card string, heard func(order.Neighbour, bool)) error {
		if card != "eth0" {
			return errors.New("there is no card " + card)
		}
		for _, n := range who {
			heard(n, false)
		}
		<-ctx.Done()
		return nil
	}
}

var toSwitch = order.Neighbour{Switch: "sw-a1", Port: "Ethernet12", Chassis: "02:00:00:00:00:01"}

// A machine that is connected otherwise than its order says is installed, with a note; its facts have what was heard.
func TestNeighboursAreReported(t *testing.T) {
	b := newBlade(t)
	b.hear = behind(toSwitch)
	o := testOrder()
	o.Machine.Cables = []order.Cable{{MAC: testMAC, Switch: "sw-a1", Port: "Ethernet13"}}
	b.relay.arm(t, o, b.relay.key)
	if err := b.install(t, "boot-1"); err != nil {
		t.Fatal(err)
	}
	got := b.relay.state()
	if len(got.Facts.NICs) != 1 || len(got.Facts.NICs[0].Neighbours) != 1 || got.Facts.NICs[0].Neighbours[0] != toSwitch {
		t.Errorf("facts: %+v", got.Facts.NICs)
	}
	if len(got.Result.Notes) != 1 || !strings.Contains(got.Result.Notes[0], "is connected to sw-a1/Ethernet12, the inventory says sw-a1/Ethernet13") {
		t.Errorf("notes: %q", got.Result.Notes)
	}
}

// Where the order refuses other cables, nothing is written to a machine that has them, or whose switch says nothing; with the right ones it goes on
// as soon as they are heard.
func TestCablingIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		hear     func(context.Context, string, func(order.Neighbour, bool)) error
		port     string
		patience time.Duration
		want     string
	}{
		"another port": {behind(toSwitch), "Ethernet13", time.Millisecond, "is connected to sw-a1/Ethernet12"},
		"silence":      {behind(), "Ethernet12", time.Millisecond, "no neighbour was heard"},
		"as it should": {behind(toSwitch), "Ethernet12", time.Minute, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlade(t)
			b.hear, b.patience = c.hear, c.patience
			o := testOrder()
			o.Machine.Cables = []order.Cable{{MAC: testMAC, Switch: "sw-a1", Port: c.port, Refuse: true}}
			b.relay.arm(t, o, b.relay.key)
			err := b.install(t, "boot-1")
			got := b.relay.state()
			if c.want == "" {
				if err != nil || got.Phase != order.PhaseInstalled || len(got.Result.Notes) != 0 {
					t.Errorf("%s, notes %q, %v", got.Phase, got.Result.Notes, err)
				}
				return
			}
			if !errors.Is(err, order.ErrCabling) || got.Phase != order.PhaseRefused || !strings.Contains(got.Problem.Got, c.want) || got.Problem.Remedy == "" {
				t.Errorf("%s: %+v, %v", got.Phase, got.Problem, err)
			}
			b.untouched(t)
		})
	}
}
