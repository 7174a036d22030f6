package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
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
	Holders       []state.Holder   `json:"holders,omitempty"` // all of them, when they are elsewhere
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
	return s.giveBack(ctx, lease, nodes, rollout)
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

// Control asks a running apply for a verb.
func Control(ctx context.Context, e Env, verb string) error {
	answer, err := control.Dial(e.socket()).Do(ctx, control.Verb(verb))
	if errors.Is(err, control.ErrNobody) && !e.somewhere() {
		return e.errNoSite()
	}
	if errors.Is(err, control.ErrNobody) && verb == string(control.Abort) {
		return abortInterrupted(ctx, e)
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

func status(ctx context.Context, e Env) (st runStatus, err error) {
	st.FormatVersion = 1
	s, err := e.findSite(ctx)
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	held, err := s.Holders(ctx)
	if err != nil {
		return st, err
	}
	if len(held) > 0 {
		answer, err := control.Dial(e.socket()).Status(ctx)
		if err == nil {
			return st, json.Unmarshal(answer, &st)
		}
		if !errors.Is(err, control.ErrNobody) {
			return st, err
		}
		st.Running = true
		for _, h := range held {
			st.Holders = append(st.Holders, h.Holder)
		}
		st.Holder = &st.Holders[0]
		return st, nil
	}
	st.Interrupted, err = s.Runs(ctx)
	return st, err
}
