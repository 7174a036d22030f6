package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Settle records what a person found out about an op whose outcome no probe can tell.
func Settle(ctx context.Context, e Env, op string, applied bool) error {
	return e.withJournal(ctx, "journal", func(j runJournal) error {
		for _, run := range j.Runs() {
			if run.Ops[plan.OpID(op)].Intent == nil {
				continue
			}
			outcome := plan.NotApplied
			if applied {
				outcome = plan.Applied
			}
			if err := engine.Settle(ctx, j, run, plan.OpID(op), outcome, whoAmI(), e.Now()); err != nil {
				return err
			}
			e.note("Recorded: %s of run %s was %s.", op, run.ID, outcome)
			return nil
		}
		return fmt.Errorf("no interrupted run has %q open; nuboctl status shows those that are", op)
	})
}

// abortInterrupted ends the runs that are not under way, so that they do not go on, and takes back what they have left set on hosts.
func abortInterrupted(ctx context.Context, e Env) error {
	var left []model.Path
	rollout := false
	if err := closeInterrupted(ctx, e, &left, &rollout); err != nil || len(left) == 0 {
		return err
	}
	if err := takeBack(ctx, e, left, rollout); err != nil {
		return fmt.Errorf("the run is closed, and what it has set is not taken back everywhere (it ends by itself): %w; see to it with nuboctl undrain for each of: %s", err, names(left))
	}
	return nil
}

func names(list []model.Path) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.Name()
	}
	return strings.Join(out, ", ")
}

func takeBack(ctx context.Context, e Env, nodes []model.Path, rollout bool) (err error) {
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	lease, err := e.acquire(ctx, s.store, scopeOf(s.desired, nodes), "abort")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	ctx, deaf := s.listen(ctx, lease, "abort")
	defer deaf()
	return s.unlessStopped(ctx, s.giveBack(ctx, lease, nodes, rollout))
}

// closeInterrupted closes the runs, and adds the nodes on which they have set something to left; rollout is set when one of them did more than drain.
func closeInterrupted(ctx context.Context, e Env, left *[]model.Path, rollout *bool) error {
	return e.withJournal(ctx, "journal", func(j runJournal) error {
		runs := j.Runs()
		if len(runs) == 0 {
			return errors.New("no apply is running here and none was interrupted: there is nothing to abort")
		}
		var errs []error
		for _, run := range runs {
			*left = append(*left, markedBy(run)...)
			for id := range run.Ops {
				*rollout = *rollout || strings.HasPrefix(string(id), string(plan.CephNoout)+" ") || strings.HasPrefix(string(id), string(plan.CephStop)+" ")
			}
			err := engine.Close(ctx, j, run, whoAmI(), e.Now())
			if errs = append(errs, err); err == nil {
				e.note("Run %s is closed. The next plan begins from what is there.", run.ID)
			}
		}
		return errors.Join(errs...)
	})
}

// withJournal opens the journal for writing, under the lease, which its holder has for a command.
func (e Env) withJournal(ctx context.Context, command string, do func(runJournal) error) (err error) {
	store, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	lease, err := e.acquire(ctx, store, "", command)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	j, err := store.OpenJournal(ctx, lease)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return do(j)
}
