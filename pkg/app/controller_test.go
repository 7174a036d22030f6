package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/local"
	"github.com/nuboctl/nuboctl/pkg/view"
)

func asked(v state.Verb) state.Ask {
	return state.Ask{Verb: v, By: state.Holder{User: "bob", Host: "elsewhere"}}
}

// What a process obeys depends on how far it is: while it plans, while it carries out, and when its run has ended.
func TestWhatAHolderObeys(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	c := &controller{holder: state.Holder{User: "ann", Host: "here"}, stop: stop}
	if a := c.do(asked(state.AskPause)); !strings.Contains(a.Refused, "has not begun to carry out") || a.By.User != "ann" {
		t.Errorf("pause of a plan: %+v", a)
	}
	if a := c.do(asked("dance")); a.Refused == "" {
		t.Errorf("an unknown verb: %+v", a)
	}
	if ctx.Err() != nil {
		t.Fatal("what was refused was done")
	}
	if a := c.do(asked(state.AskYield)); a.Refused != "" || !errors.Is(context.Cause(ctx), engine.ErrYielded) || !strings.Contains(context.Cause(ctx).Error(), "bob@elsewhere") {
		t.Errorf("%+v, %v", a, context.Cause(ctx))
	}

	ctx, stop = context.WithCancelCause(t.Context())
	c = &controller{stop: stop}
	live := view.NewLive(new(bytes.Buffer), new(bytes.Buffer), view.Style{}, view.LiveOptions{})
	defer live.Close()
	run, ended := c.begin(live)
	c.do(asked(state.AskPause))
	c.lost()
	if paused, _ := run.State(); !paused || ctx.Err() != nil {
		t.Errorf("paused %v, %v", paused, ctx.Err())
	}
	if a := c.do(asked(state.AskStatus)); !strings.Contains(string(a.Status), `"paused":true`) {
		t.Errorf("status: %s", a.Status)
	}
	ended()
	if a := c.do(asked(state.AskAbort)); !strings.Contains(a.Refused, "has ended") {
		t.Errorf("abort behind its end: %+v", a)
	}
	if a := c.do(asked(state.AskYield)); a.Refused != "" || ctx.Err() != nil {
		t.Errorf("yield behind its end: %+v", a)
	}
}

// A plan in the making ends when the lease is lost under which it would be applied.
func TestALostLeaseEndsAPlan(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	(&controller{stop: stop}).lost()
	if !errors.Is(context.Cause(ctx), engine.ErrLeaseLost) {
		t.Error(context.Cause(ctx))
	}
}

// Commands that answer nobody are named at once, with what they do; all others are asked.
func TestWhoCannotBeAsked(t *testing.T) {
	for command, cannot := range map[string]bool{"nuboctl apply": false, "nuboctl abort": false, "nuboctl boot prov": true, "nuboctl bmc power off s/r/z/a/n": true, "nuboctl state push": true, "somebody's own": false, "": false} {
		h := etcd.Held{Scope: "s/r"}
		h.Holder = state.Holder{User: "ann", Host: "ws", PID: 7, Command: command}
		err := deaf(asked(state.AskPause), h)
		if (err != nil) != cannot || cannot && (ExitCode(err) != ExitLocked || !strings.Contains(err.Error(), "ann@ws ("+command+", process 7)") || !strings.Contains(err.Error(), "pause")) {
			t.Errorf("%q: %v", command, err)
		}
	}
}

// What runs on another machine is ended with a second word only.
func TestConsentToAnAbort(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, here := etcd.Held{Scope: "s/r"}, etcd.Held{}
	elsewhere.Holder.Host, here.Holder.Host = host+"-other", host
	for name, c := range map[string]struct {
		verb  state.Verb
		at    etcd.Held
		yes   bool
		says  string
		wants string
	}{
		"here":          {state.AskAbort, here, false, "", ""},
		"elsewhere":     {state.AskAbort, elsewhere, false, "", "--yes"},
		"with --yes":    {state.AskAbort, elsewhere, true, "", ""},
		"a pause":       {state.AskPause, elsewhere, false, "", ""},
		"said at once":  {state.AskAbort, elsewhere, false, "yes\n", ""},
		"said no":       {state.AskAbort, elsewhere, false, "no\n", "not approved"},
		"nothing said?": {state.AskAbort, elsewhere, false, "\n", "not approved"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Env{In: strings.NewReader(c.says), Err: new(bytes.Buffer), Interactive: c.says != ""}
			err := e.consent(t.Context(), asked(c.verb), c.at, c.yes)
			if (c.wants == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.wants) {
				t.Error(err)
			}
		})
	}
}

// An emergency has a run on the same machine give way, and takes its lease when it is free.
func TestEmergency(t *testing.T) {
	dir := t.TempDir()
	other, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	held, err := other.Acquire(t.Context(), "", state.Holder{User: "ann", Host: "here", Command: "nuboctl apply", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	yielded := make(chan error, 1)
	go func() {
		ctx, end := context.WithCancel(t.Context())
		yielded <- errors.Join(other.Answer(ctx, held, func(a state.Ask) state.Answer {
			if a.Verb == state.AskYield {
				end()
			}
			return state.Answer{}
		}), held.Release())
	}()
	var said bytes.Buffer
	e := Env{StateDir: dir, Err: &said, Now: time.Now}
	site, err := e.openDirectory()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{env: e, store: site}
	defer site.Close()
	if _, err := s.turn(t.Context(), "", false); ExitCode(err) != ExitLocked {
		t.Fatalf("without an emergency: %v", err)
	}
	lease, err := s.turn(t.Context(), "", true)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); errors.Is(err, state.ErrNobody); lease, err = s.turn(t.Context(), "", true) { // it may not listen yet
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-yielded, lease.Release()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "Asking ann@here (nuboctl apply, process 1), who holds everything, to yield") {
		t.Error(said.String())
	}
}
