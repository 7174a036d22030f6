package statetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// patience bounds every wait of the suite.
const patience = time.Minute

func asks(t *testing.T, s state.Store) state.Asks {
	t.Helper()
	a, ok := s.(state.Asks)
	if !ok {
		t.Fatalf("%T hands no asks over", s)
	}
	return a
}

// holder answers what is asked of a lease, and keeps it.
type holder struct {
	mu   sync.Mutex
	seen []state.Ask
}

func (h *holder) do(a state.Ask) state.Answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, a)
	if a.Verb == state.AskAbort {
		return state.Answer{By: Holder("ann"), Refused: "too late"}
	}
	return state.Answer{By: Holder("ann"), Status: json.RawMessage(fmt.Sprintf(`{"asked":%d}`, len(h.seen)))}
}

func (h *holder) verbs() []state.Verb {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []state.Verb
	for _, a := range h.seen {
		out = append(out, a.Verb)
	}
	return out
}

// answer has h answer until stop is called.
func answer(t *testing.T, s state.Store, l state.Lease, h *holder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- asks(t, s).Answer(ctx, l, h.do) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("answer: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// ask asks until somebody listens, which may take the holder a moment: what nobody has taken is not acted on.
func ask(t *testing.T, s state.Store, a state.Ask) (state.Answer, error) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := asks(t, s).Ask(t.Context(), a)
		if !errors.Is(err, state.ErrNobody) {
			return got, err
		}
		select {
		case <-end:
			t.Fatalf("nobody listens: %v", err)
		case <-tick.C:
		}
	}
}

func to(l state.Lease, v state.Verb) state.Ask {
	return state.Ask{Fence: l.Fence(), Verb: v, By: Holder("bob")}
}

// testAsks: an ask comes to the holder as it was made, once, and its answer back as it was given.
func testAsks(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	l := acquire(t, a, "lab/r1")
	h := &holder{}
	answer(t, a, l, h)
	got, err := ask(t, b, to(l, state.AskPause))
	must(t, err)
	if d := cmp.Diff(state.Answer{By: Holder("ann"), Status: json.RawMessage(`{"asked":1}`)}, got); d != "" {
		t.Fatal(d)
	}
	got, err = ask(t, b, to(l, state.AskAbort))
	must(t, err)
	if got.Refused != "too late" {
		t.Fatalf("%+v", got)
	}
	if d := cmp.Diff([]state.Ask{to(l, state.AskPause), to(l, state.AskAbort)}, h.seen); d != "" {
		t.Fatal(d)
	}
}

// testAskers: many ask at once, and each is answered, once.
func testAskers(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	l := acquire(t, a, "")
	h := &holder{}
	answer(t, a, l, h)
	_, err := ask(t, b, to(l, state.AskStatus))
	must(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := asks(t, b).Ask(t.Context(), to(l, state.AskPause)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(h.verbs()); n != 9 {
		t.Fatalf("9 were asked, %d acted on", n)
	}
}

// testAskOver: what is asked of a lease that has ended is not acted on by the next holder of the same place, nor is a forged one.
func testAskOver(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	old := acquire(t, a, "lab/r1")
	first := &holder{}
	stop := answer(t, a, old, first)
	_, err := ask(t, b, to(old, state.AskStatus))
	must(t, err)
	stop()
	must(t, old.Release())
	_, err = asks(t, b).Ask(t.Context(), to(old, state.AskAbort))
	wantErr(t, err, state.ErrNobody)
	l := acquire(t, a, "lab/r1")
	h := &holder{}
	answer(t, a, l, h)
	_, err = ask(t, b, to(l, state.AskStatus))
	must(t, err)
	_, err = asks(t, b).Ask(t.Context(), to(old, state.AskAbort))
	wantErr(t, err, state.ErrNobody)
	forged := to(l, state.AskAbort)
	forged.Fence.Epoch++
	_, err = asks(t, b).Ask(t.Context(), forged)
	wantErr(t, err, state.ErrNobody)
	_, err = ask(t, b, to(l, state.AskPause))
	must(t, err)
	if d := cmp.Diff([]state.Verb{state.AskStatus, state.AskPause}, h.verbs()); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff([]state.Verb{state.AskStatus}, first.verbs()); d != "" {
		t.Fatal(d)
	}
}

// testUnheard: what was given up before anybody took it is not acted on by a holder that begins to listen later.
func testUnheard(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	l := acquire(t, a, "lab")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := asks(t, b).Ask(ctx, to(l, state.AskAbort)); !errors.Is(err, state.ErrNobody) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	h := &holder{}
	answer(t, a, l, h)
	_, err := ask(t, b, to(l, state.AskPause))
	must(t, err)
	if d := cmp.Diff([]state.Verb{state.AskPause}, h.verbs()); d != "" {
		t.Fatal(d)
	}
}
