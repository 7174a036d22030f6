package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/certify"
	"github.com/nuboctl/nuboctl/pkg/gate"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// liveBatches is ops.Batches on real hosts: the certifier, which begins no batch of a rollout in a region that is ill.
type liveBatches struct {
	*certify.Certifier
	cert  plan.Certificate
	gates *gate.Set
	clock ops.Clock
}

// A region must be well before a batch begins. It may need a moment for that: gates want several good answers, and alarms come and go.
const (
	wellEvery  = 15 * time.Second
	wellWithin = 6 * time.Minute
)

// Certify implements ops.Batches.
func (b *liveBatches) Certify(ctx context.Context, batch int) error {
	b.gates.Begin()
	if !b.cert.Policy.Drains() { // a drain leaves what is ill
		if err := b.well(ctx, batch); err != nil {
			return err
		}
	}
	return b.Certifier.Certify(ctx, batch)
}

// well waits until the batch's region is healthy.
func (b *liveBatches) well(ctx context.Context, batch int) error {
	until := b.clock.Now().Add(wellWithin)
	for {
		wrong, err := b.Health(ctx, batch)
		if err != nil || len(wrong) == 0 {
			return err
		}
		if !b.clock.Now().Before(until) {
			return &ops.HaltedError{What: fmt.Sprintf("begin batch %d: its region is not healthy", batch+1), Why: wrong}
		}
		if err := b.clock.Sleep(ctx, wellEvery); err != nil {
			return err
		}
	}
}

// batches makes the port for a plan's certificate; nil for a plan without one.
func (s *session) batches(r *reach, p plan.Plan) ops.Batches {
	if p.Certificate == nil {
		return nil
	}
	gates := &gate.Set{Gates: s.desired.Gates, Now: s.env.Now, Run: s.runGate}
	now := &certify.Observed{Desired: s.desired, Plan: p, QEMU: func(o model.Observed) map[model.Digest]string { return planner.Input{Packages: s.packages(o)}.QEMU() },
		Ceph: func(o model.Observed) map[model.Digest]int { return planner.Input{Packages: s.packages(o)}.Ceph() }, Gates: gates.Check, Look: func(ctx context.Context, place model.Path) (model.Observed, error) {
			return observe.Nodes(ctx, targeted(s.desired.Nodes, within(place)), hostsOnly{source{r, true}}, observe.Options{})
		}}
	return &liveBatches{Certifier: certify.New(*p.Certificate, now), cert: *p.Certificate, gates: gates, clock: ops.SystemClock{}}
}

func within(place model.Path) []model.Path {
	if place == "" {
		return nil
	}
	return []model.Path{place}
}

// hostsOnly leaves out what a running rollout does not ask of machines.
type hostsOnly struct{ source }

func (hostsOnly) BMC(context.Context, model.Node) model.ObservedBMC { return model.ObservedBMC{} }

func (hostsOnly) Order(context.Context, model.Node) (model.ObservedOrder, error) {
	return model.ObservedOrder{}, nil
}

// runGate runs a gate's command here or on a node.
func (s *session) runGate(ctx context.Context, at model.Path, argv []string) error {
	if at == "" {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = s.env.Dir, &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w: %s", argv[0], err, lastLine(out.Bytes()))
		}
		return nil
	}
	i := slices.IndexFunc(s.desired.Nodes, func(n model.Node) bool { return n.Path == at })
	if i < 0 {
		return fmt.Errorf("%s: %w", at, ops.ErrNotInInventory)
	}
	_, err := s.links.To(s.desired.Nodes[i]).Run(ctx, remote.Command{Argv: argv})
	return err
}

// lastLine is what a command said last; tools put there what is wrong.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// reachable refuses a plan with ops that this program cannot carry out in the world that it reaches.
func reachable(p plan.Plan, d *ops.Driver) error {
	unknown := map[plan.Kind]bool{}
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if !d.Knows(o.Kind) {
				unknown[o.Kind] = true
			}
		}
	}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(unknown)) {
		errs = append(errs, fmt.Errorf("this program has no driver for ops of kind %s; nothing was done", k))
	}
	return errors.Join(errs...)
}
