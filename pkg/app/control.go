package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// ControlOptions are those of Control.
type ControlOptions struct {
	Place string // where the run is; empty: on this machine, or the only one
	Yes   bool   // abort a run on another machine without being asked
}

// Control asks a run for a verb: one on this machine through its socket, another through the state that is shared with it.
func Control(ctx context.Context, e Env, verb state.Verb, o ControlOptions) error {
	a := state.Ask{Verb: verb, By: holder(e, string(verb))}
	if o.Place == "" {
		answer, err := control.Dial(e.socket()).Ask(ctx, a)
		if !errors.Is(err, state.ErrNobody) {
			return e.told(a, answer, err)
		}
	}
	held, err := e.askHolder(ctx, a, o)
	switch {
	case held || err != nil:
		return err
	case verb == state.AskAbort && o.Place == "":
		return abortInterrupted(ctx, e)
	}
	return fmt.Errorf("no apply is running%s: there is nothing to %s; to go on with an interrupted run, apply again", in(o.Place), verb)
}

func in(place string) string {
	if place == "" {
		return " here"
	}
	return " in " + place
}

// askHolder asks the only holder of a lease in a place, and reports whether there is one.
func (e Env) askHolder(ctx context.Context, a state.Ask, o ControlOptions) (found bool, err error) {
	s, err := e.findSite(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	held, err := holdersIn(ctx, s, o.Place)
	if err != nil || len(held) == 0 {
		return false, err
	}
	if len(held) > 1 {
		return true, fmt.Errorf("%d processes are at work; name the place whose run is to %s: nuboctl %s PLACE\n%s", len(held), a.Verb, a.Verb, listed(held))
	}
	if err := deaf(a, held[0]); err != nil {
		return true, err
	}
	if err := e.consent(ctx, a, held[0], o.Yes); err != nil {
		return true, err
	}
	answer, err := e.askOf(ctx, s, held[0], a)
	return true, e.told(a, answer, err)
}

// deafCommands hold a lease and answer nobody: what they do is one act, or goes on until somebody ends it there.
var deafCommands = []string{"adopt", "bmc", "boot", "journal", "state"}

// deaf says of a holder that answers nobody how it comes to its end, at once: an ask would wait in vain.
func deaf(a state.Ask, h etcd.Held) error {
	command, ok := strings.CutPrefix(h.Holder.Command, "nuboctl ")
	word, _, _ := strings.Cut(command, " ")
	if !ok || !slices.Contains(deafCommands, word) {
		return nil
	}
	return &Exit{Code: ExitLocked, Err: fmt.Errorf("%s, cannot be asked to %s: nuboctl %s carries out no plan, and holds its lease until it ends by itself or is ended where it runs (Ctrl-C); nuboctl status shows whether it still does",
		who(h), a.Verb, word)}
}

// consent has an abort of what runs on another machine said twice.
func (e Env) consent(ctx context.Context, a state.Ask, h etcd.Held, yes bool) error {
	if host, err := os.Hostname(); a.Verb != state.AskAbort || yes || e.Yes || (err == nil && h.Holder.Host == host) {
		return nil
	}
	if !e.Interactive {
		return fmt.Errorf("the run is on another machine: %s; to end it for good, say --yes", who(h))
	}
	return e.confirm(ctx, fmt.Sprintf("End the run of %s for good?", who(h)))
}

// holdersIn are those who hold leases of a place or in it; "" is everything.
func holdersIn(ctx context.Context, s site, place string) ([]etcd.Held, error) {
	held, err := s.Holders(ctx)
	var out []etcd.Held
	for _, h := range held {
		if state.Overlap(h.Scope, place) {
			out = append(out, h)
		}
	}
	return out, err
}

// askOf hands an ask to a holder. That nobody has taken it is exit code 4, with what to do.
func (e Env) askOf(ctx context.Context, s site, h etcd.Held, a state.Ask) (state.Answer, error) {
	a.Fence = state.Fence{Scope: h.Scope, Epoch: h.Epoch}
	e.note("Asking %s, to %s.", who(h), a.Verb)
	answer, err := s.Ask(ctx, a)
	if errors.Is(err, state.ErrNobody) || errors.Is(err, state.ErrUnanswered) {
		err = &Exit{Code: ExitLocked, Err: fmt.Errorf("%s: %w; see nuboctl status. When that process is gone, its lease ends by itself after its time to live, or at once by nuboctl state unlock; then apply goes on with what it has left, and abort ends that", who(h), err)}
	}
	return answer, err
}

// who names a holder for people.
func who(h etcd.Held) string {
	what := "everything"
	if h.Scope != "" {
		what = h.Scope
	}
	return fmt.Sprintf("%s@%s (%s, process %d), who holds %s", h.Holder.User, h.Holder.Host, h.Holder.Command, h.Holder.PID, what)
}

func listed(held []etcd.Held) string {
	var b strings.Builder
	for _, h := range held {
		fmt.Fprintf(&b, "  %s\n", who(h))
	}
	return strings.TrimRight(b.String(), "\n")
}

// told shows what a holder answered.
func (e Env) told(a state.Ask, answer state.Answer, err error) error {
	h := answer.By
	switch {
	case err != nil:
		return err
	case answer.Refused != "":
		return fmt.Errorf("%s@%s (%s, process %d) refuses to %s: %s", h.User, h.Host, h.Command, h.PID, a.Verb, answer.Refused)
	case e.JSON:
		_, err = fmt.Fprintln(e.Out, string(answer.Status))
		return err
	}
	var st runStatus
	if len(answer.Status) > 0 {
		if err := json.Unmarshal(answer.Status, &st); err != nil {
			return fmt.Errorf("the answer of %s@%s: %w", h.User, h.Host, err)
		}
	}
	_, err = fmt.Fprintf(e.Out, "%s@%s (%s, process %d) was asked to %s%s.\n", h.User, h.Host, h.Command, h.PID, a.Verb, meaning(a.Verb, st))
	return err
}

// meaning says what a verb does to what is under way.
func meaning(v state.Verb, st runStatus) string {
	if st.Run == nil {
		return ": it had not begun to carry out a plan, and ends"
	}
	running := len(st.Run.Running)
	switch v {
	case state.AskPause:
		return fmt.Sprintf(": %s under way will finish, and nothing new begins. To go on: nuboctl resume", view.Plural(running, "op"))
	case state.AskAbort:
		return ": what is under way is stopped there, and what the run has set on hosts is taken back"
	}
	return ""
}
