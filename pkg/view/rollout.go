package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Rollout is what a reader wants to know of a certificate before the batches themselves.
type Rollout struct {
	BindingConstraint string     `json:"binding_constraint"`
	Grade             plan.Grade `json:"grade"`
	Hosts             int        `json:"hosts"` // that are changed
	Moves             int        `json:"moves"` // migrations
	// PredictedSeconds are those of all batches, one after the other; SecondsLowerBound is what no rollout under the policy can be quicker than.
	PredictedSeconds  int64         `json:"predicted_seconds"`
	Rounds            int           `json:"rounds"` // batches
	RoundsLowerBound  int           `json:"rounds_lower_bound"`
	SecondsLowerBound int64         `json:"seconds_lower_bound"`
	Stops             int           `json:"stops"`
	VMs               int           `json:"vms"`
	Zones             []RolloutZone `json:"zones"` // in the order in which they are rolled
}

// RolloutZone is a zone's part of a rollout.
type RolloutZone struct {
	BindingConstraint string     `json:"binding_constraint"`
	Grade             plan.Grade `json:"grade"`
	Hosts             int        `json:"hosts"`
	Moves             int        `json:"moves"`
	PredictedSeconds  int64      `json:"predicted_seconds"`
	Rounds            int        `json:"rounds"`
	RoundsLowerBound  int        `json:"rounds_lower_bound"`
	SecondsLowerBound int64      `json:"seconds_lower_bound"`
	// Short says for each grade that a batch of the zone does not reach what breaks it, each reason once.
	Short []string   `json:"short,omitempty"`
	Zone  model.Path `json:"zone"`
}

// RolloutOf summarizes a certificate.
func RolloutOf(c *plan.Certificate) Rollout {
	r := Rollout{BindingConstraint: c.Bound.Binding, Grade: c.Grade, Rounds: len(c.Batches), RoundsLowerBound: c.Bound.Rounds,
		SecondsLowerBound: c.Bound.Seconds, VMs: len(c.Fleet.VMs.Names)}
	bounds := map[model.Path]plan.ZoneBound{}
	for _, z := range c.Bound.Zones {
		bounds[z.Zone] = z
	}
	at := map[model.Path]int{}
	for _, b := range c.Batches {
		i, ok := at[b.Zone]
		if !ok {
			i = len(r.Zones)
			at[b.Zone] = i
			bound := bounds[b.Zone]
			r.Zones = append(r.Zones, RolloutZone{Zone: b.Zone, Grade: b.Grade, BindingConstraint: strings.TrimSuffix(bound.Binding, " in "+string(b.Zone)), RoundsLowerBound: bound.Bound, SecondsLowerBound: bound.BoundSeconds})
		}
		r.Zones[i].add(b)
		r.Hosts, r.Moves, r.Stops, r.PredictedSeconds = r.Hosts+len(b.Hosts), r.Moves+len(b.Moves.VM), r.Stops+len(b.Stops), r.PredictedSeconds+b.Seconds
	}
	return r
}

func (z *RolloutZone) add(b plan.Batch) {
	z.Rounds++
	z.Hosts, z.Moves, z.PredictedSeconds = z.Hosts+len(b.Hosts), z.Moves+len(b.Moves.VM), z.PredictedSeconds+b.Seconds
	z.Grade = both(z.Grade, b.Grade)
	for _, s := range b.Short {
		if !slices.Contains(z.Short, s) {
			z.Short = append(z.Short, s)
		}
	}
}

// both is what two grades have in common.
func both(a, b plan.Grade) plan.Grade {
	var out []string
	for _, letter := range strings.Split(string(a), "+") {
		if letter != "" && strings.Contains(string(b), letter) {
			out = append(out, letter)
		}
	}
	return plan.Grade(strings.Join(out, "+"))
}

// gradeText names a grade, also that of a promise of nothing.
func gradeText(g plan.Grade) string { return cmp.Or(string(g), "none") }

func seconds(n int64) string {
	if n == 0 {
		return "0s"
	}
	return Duration(time.Duration(n) * time.Second)
}

// headline is the rollout in one sentence.
func (r Rollout) headline() string {
	text := fmt.Sprintf("%s in %s (no rollout needs fewer than %d", Plural(r.Hosts, "host"), batches(r.Rounds), r.RoundsLowerBound)
	if r.BindingConstraint != "" {
		text += ": " + r.BindingConstraint
	}
	text += fmt.Sprintf("), %s of %s", Plural(r.Moves, "migration"), Plural(r.VMs, "virtual machine"))
	if r.Stops > 0 {
		text += fmt.Sprintf(", %d stopped with their owners' consent", r.Stops)
	}
	return text + fmt.Sprintf(", about %s (at least %s)", seconds(r.PredictedSeconds), seconds(r.SecondsLowerBound))
}

func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// rangeOf names hosts of a batch for people: all of a few, or how many of which place.
func rangeOf(f *plan.Fleet, b plan.Batch) string {
	const few = 3
	var names []string
	for _, h := range b.Hosts {
		names = append(names, f.Hosts[h].Path.Name())
	}
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	racks := map[string]bool{}
	var list []string
	for _, h := range b.Hosts {
		if r := f.Hosts[h].Path.Rack().Name(); !racks[r] {
			racks[r] = true
			list = append(list, r)
		}
	}
	if len(list) > few {
		return fmt.Sprintf("%d hosts in %d racks", len(names), len(list))
	}
	return fmt.Sprintf("%d hosts of %s", len(names), strings.Join(list, ", "))
}
