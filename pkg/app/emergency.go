package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// How often a lease that is being given up is tried, and what its holder still does is told.
const (
	turnEvery = time.Second
	tellEvery = 10 * time.Second
)

// turn takes the lease of a scope for an apply. In an emergency those who hold it are asked to give way, and waited for.
func (s *session) turn(ctx context.Context, scope string, emergency bool) (state.Lease, error) {
	lease, err := s.env.acquire(ctx, s.store, scope, "apply")
	if !emergency || ExitCode(err) != ExitLocked {
		return lease, err
	}
	held, err := holdersIn(ctx, s.store, scope)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		if err := s.askToYield(ctx, h); err != nil {
			return nil, err
		}
	}
	return s.await(ctx, scope, held)
}

// askToYield asks one holder. One whose lease has ended has given way.
func (s *session) askToYield(ctx context.Context, h etcd.Held) error {
	answer, err := s.env.askOf(ctx, s.store, h, state.Ask{Verb: state.AskYield, By: holder(s.env, "drain --emergency")})
	still, herr := s.holds(ctx, h)
	switch {
	case ctx.Err() != nil:
		return &Exit{Code: ExitInterrupted, Err: errors.Join(err, ctx.Err())}
	case herr != nil:
		return errors.Join(err, herr)
	case !still:
		return nil
	case err != nil:
		return err
	case answer.Refused != "":
		return &Exit{Code: ExitLocked, Err: fmt.Errorf("%s refuses to give way: %s", who(h), answer.Refused)}
	}
	s.env.note("It gives way when what changes something has come to its end; its run can go on afterwards.")
	return nil
}

// holds reports whether a holder still has its lease.
func (s *session) holds(ctx context.Context, h etcd.Held) (bool, error) {
	held, err := holdersIn(ctx, s.store, h.Scope)
	for _, now := range held {
		if now.Epoch == h.Epoch {
			return true, err
		}
	}
	return false, err
}

// await takes the lease of a scope when those who were asked have given it up. Somebody else who comes first is exit code 4.
func (s *session) await(ctx context.Context, scope string, asked []etcd.Held) (state.Lease, error) {
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	said, at := "", s.env.Now()
	for {
		lease, err := s.env.acquire(ctx, s.store, scope, "apply")
		if ExitCode(err) != ExitLocked {
			return lease, err
		}
		left := 0
		for _, h := range asked {
			still, herr := s.holds(ctx, h)
			if herr != nil {
				return nil, herr
			}
			if still {
				left++
			}
		}
		if left == 0 {
			return nil, err
		}
		if now := s.env.Now(); now.Sub(at) >= tellEvery {
			at = now
			if text := s.underWay(ctx, asked); text != "" && text != said {
				said = text
				s.env.note("Waiting for %s.", text)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, &Exit{Code: ExitInterrupted, Err: fmt.Errorf("interrupted: nothing was drained; the run that was asked gives way all the same, unless it is told to go on: nuboctl resume (%w)", ctx.Err())}
		}
	}
}

// underWay names the ops that holders still have under way; empty when that is not known.
func (s *session) underWay(ctx context.Context, asked []etcd.Held) string {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	var out []string
	for _, h := range asked {
		answer, err := s.store.Ask(ctx, state.Ask{Fence: state.Fence{Scope: h.Scope, Epoch: h.Epoch}, Verb: state.AskStatus, By: holder(s.env, "drain --emergency")})
		var st runStatus
		if err != nil || json.Unmarshal(answer.Status, &st) != nil || st.Run == nil {
			continue
		}
		for i, op := range st.Run.Running {
			if i == 3 {
				out = append(out, view.Plural(len(st.Run.Running)-i, "more op"))
				break
			}
			out = append(out, string(op.Op))
		}
	}
	return strings.Join(out, ", ")
}
