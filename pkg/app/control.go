package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
	"github.com/nuboctl/nuboctl/pkg/state/local"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// controller lets others ask a running apply what it does, and pause it.
type controller struct {
	live   *view.Live
	holder state.Holder
	engine *engine.Control
}

func newController(live *view.Live, h state.Holder) *controller {
	return &controller{live: live, holder: h, engine: engine.NewControl()}
}

// runStatus is what status prints, also of a run that is not going on.
type runStatus struct {
	FormatVersion int              `json:"format_version"`
	Running       bool             `json:"running"`
	Holder        *state.Holder    `json:"holder,omitempty"`
	Paused        bool             `json:"paused,omitempty"`
	Run           *engine.Progress `json:"run,omitempty"`
	Interrupted   []state.RunState `json:"interrupted,omitempty"`
}

// Status is what is going on.
func (c *controller) Status() any {
	paused, _ := c.engine.State()
	p := c.live.Progress()
	return runStatus{FormatVersion: 1, Running: true, Holder: &c.holder, Paused: paused, Run: &p}
}

// Do carries out a verb.
func (c *controller) Do(v control.Verb) error {
	switch v {
	case control.Pause:
		c.engine.Pause()
	case control.Resume:
		c.engine.Resume()
	case control.Abort:
		c.engine.Abort()
	default:
		return fmt.Errorf("a run cannot be asked to %q", v)
	}
	return nil
}

// Settle records what a person found out about an op whose outcome no probe can tell.
func Settle(ctx context.Context, e Env, op string, applied bool) error {
	return e.withJournal(ctx, func(j *journal.Journal) error {
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

// closeInterrupted ends the runs that are not under way, so that they do not go on.
func closeInterrupted(ctx context.Context, e Env) error {
	return e.withJournal(ctx, func(j *journal.Journal) error {
		runs := j.Runs()
		if len(runs) == 0 {
			return errors.New("no apply is running here and none was interrupted: there is nothing to abort")
		}
		var errs []error
		for _, run := range runs {
			err := engine.Close(ctx, j, run, whoAmI(), e.Now())
			if errs = append(errs, err); err == nil {
				e.note("Run %s is closed. The next plan begins from what is there.", run.ID)
			}
		}
		return errors.Join(errs...)
	})
}

// withJournal opens the journal for writing, under the lease.
func (e Env) withJournal(ctx context.Context, do func(*journal.Journal) error) (err error) {
	store, err := local.Open(e.stateDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	lease, err := store.Acquire(ctx, "", holder(e, "journal"))
	var locked *state.LockedError
	if errors.As(err, &locked) {
		return &Exit{Code: ExitLocked, Err: err}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	j, err := journal.Open(filepath.Join(e.stateDir(), "journal"), journal.Options{Epoch: lease.Fence().Epoch})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return do(j)
}

// Control asks a running apply for a verb.
func Control(ctx context.Context, e Env, verb string) error {
	answer, err := control.Dial(filepath.Join(e.stateDir(), "ctl.sock")).Do(ctx, control.Verb(verb))
	if errors.Is(err, control.ErrNobody) && verb == string(control.Abort) {
		return closeInterrupted(ctx, e)
	}
	if errors.Is(err, control.ErrNobody) {
		return fmt.Errorf("no apply is running here: there is nothing to %s; to go on with an interrupted run, apply again", verb)
	}
	if err != nil {
		return err
	}
	if e.JSON {
		_, err = fmt.Fprintln(e.Out, string(answer))
		return err
	}
	_, err = fmt.Fprintf(e.Out, "The run was asked to %s.\n", verb)
	return err
}

// Status shows what is going on, or what was interrupted. It waits for nobody.
func Status(ctx context.Context, e Env) error {
	st, err := status(ctx, e)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, st)
	}
	return view.StatusText(e.Out, e.OutStyle, view.StatusInput{Running: st.Running, Holder: st.Holder, Paused: st.Paused, Run: st.Run, Interrupted: st.Interrupted})
}

func status(ctx context.Context, e Env) (runStatus, error) {
	st := runStatus{FormatVersion: 1}
	info, held, err := local.Held(e.stateDir())
	if err != nil {
		return st, err
	}
	if held {
		answer, err := control.Dial(filepath.Join(e.stateDir(), "ctl.sock")).Status(ctx)
		if err == nil {
			return st, json.Unmarshal(answer, &st)
		}
		if !errors.Is(err, control.ErrNobody) {
			return st, err
		}
		st.Running, st.Holder = true, &info.Holder
		return st, nil
	}
	st.Interrupted, err = journal.Load(filepath.Join(e.stateDir(), "journal"))
	return st, err
}

// JournalOptions are those of Journal.
type JournalOptions struct {
	Target string
	Last   int
	Verify bool
}

// Journal shows what happened.
func Journal(_ context.Context, e Env, o JournalOptions) error {
	dir := filepath.Join(e.stateDir(), "journal")
	if o.Verify {
		rep, err := journal.Verify(dir)
		if err != nil {
			return err
		}
		if e.JSON {
			return view.JSON(e.Out, rep)
		}
		_, err = fmt.Fprintf(e.Out, "The journal is whole: %d records, the last has hash %s.\n", rep.Records, rep.Hash)
		return err
	}
	var list []state.Record
	for r, err := range journal.Read(dir) {
		if err != nil {
			return err
		}
		if o.Target == "" || view.About(r, o.Target) {
			list = append(list, r)
		}
	}
	if o.Last > 0 && len(list) > o.Last {
		list = list[len(list)-o.Last:]
	}
	return view.JournalText(e.Out, e.OutStyle, list, e.JSON)
}
