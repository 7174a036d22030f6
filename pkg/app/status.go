package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// statusWithin bounds the wait for a holder's own account of what it does.
const statusWithin = 3 * time.Second

// runStatus is what status prints, also of a run that is not going on.
type runStatus struct {
	FormatVersion int              `json:"format_version"`
	Running       bool             `json:"running"`
	Holder        *state.Holder    `json:"holder,omitempty"`
	Holders       []state.Holder   `json:"holders,omitempty"` // all of them, when they are several or do not answer
	Paused        bool             `json:"paused,omitempty"`
	Run           *engine.Progress `json:"run,omitempty"`
	Interrupted   []state.RunState `json:"interrupted,omitempty"`
}

// Status shows what is going on in a place, or was interrupted. It waits for nobody.
func Status(ctx context.Context, e Env, place string) error {
	st, err := status(ctx, e, place)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, st)
	}
	return view.StatusText(e.Out, e.OutStyle, view.StatusInput{Running: st.Running, Holder: st.Holder, Holders: st.Holders, Paused: st.Paused, Run: st.Run, Interrupted: st.Interrupted})
}

func status(ctx context.Context, e Env, place string) (st runStatus, err error) {
	st.FormatVersion = 1
	s, err := e.findSite(ctx)
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	held, err := holdersIn(ctx, s, place)
	if err != nil {
		return st, err
	}
	if len(held) == 0 {
		st.Interrupted, err = s.Runs(ctx)
		return st, err
	}
	if answer, ok := e.account(ctx, s, held, place); ok {
		return st, json.Unmarshal(answer, &st)
	}
	st.Running = true
	for _, h := range held {
		st.Holders = append(st.Holders, h.Holder)
	}
	st.Holder = &st.Holders[0]
	return st, nil
}

// account is what a holder tells of itself: the one on this machine, or the only one.
func (e Env) account(ctx context.Context, s site, held []etcd.Held, place string) (json.RawMessage, bool) {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	a := state.Ask{Verb: state.AskStatus, By: holder(e, "status")}
	if place == "" {
		if answer, err := control.Dial(e.socket()).Ask(ctx, a); err == nil {
			return answer.Status, len(answer.Status) > 0
		}
	}
	if len(held) > 1 || deaf(a, held[0]) != nil {
		return nil, false
	}
	a.Fence = state.Fence{Scope: held[0].Scope, Epoch: held[0].Epoch}
	answer, err := s.Ask(ctx, a)
	return answer.Status, err == nil && len(answer.Status) > 0
}
