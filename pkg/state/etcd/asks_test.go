package etcd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/statetest"
)

// verbs keeps what a holder was asked.
type verbs struct {
	mu   sync.Mutex
	seen []state.Verb
}

func (v *verbs) do(a state.Ask) state.Answer {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, a.Verb)
	return state.Answer{By: statetest.Holder("ann"), Status: json.RawMessage(`{}`)}
}

// answering has do answer what is asked of a lease until the test ends.
func answering(t *testing.T, s *etcd.Store, l state.Lease, do func(state.Ask) state.Answer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Answer(ctx, l, do) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func askOf(l state.Lease, v state.Verb) state.Ask {
	return state.Ask{Fence: l.Fence(), Verb: v, By: statetest.Holder("bob")}
}

// left counts the asks that stand in etcd.
func left(t *testing.T, s *etcd.Store) int {
	t.Helper()
	n, err := s.CountAsks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAskEndsByItself: a holder that does not listen lets an ask end with its time to live; nothing is left of it.
func TestAskEndsByItself(t *testing.T) {
	cfg := fresh()
	cfg.AskTTL = etcd.MinTTL
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	_, err := asker.Ask(t.Context(), askOf(l, state.AskPause))
	if !errors.Is(err, state.ErrNobody) || !strings.Contains(err.Error(), "within 3s") {
		t.Fatal(err)
	}
	if n := left(t, s); n != 0 {
		t.Fatalf("%d asks are left", n)
	}
}

// TestAskWithdrawn: an ask is taken back, or says that it is too late for that.
func TestAskWithdrawn(t *testing.T) {
	cfg := fresh()
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	asked := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := asker.Ask(ctx, askOf(l, state.AskAbort))
			done <- err
		}()
		until(t, "the ask to be there", func() bool { return left(t, s) == 1 })
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := asked(ctx)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "withdrawn") {
		t.Fatal(err)
	}
	if n := left(t, s); n != 0 {
		t.Fatalf("%d asks are left", n)
	}
	taken, goOn := make(chan struct{}), make(chan struct{})
	answering(t, s, l, func(state.Ask) state.Answer {
		close(taken)
		<-goOn
		return state.Answer{}
	})
	ctx, cancel = context.WithCancel(t.Context())
	done = asked(ctx)
	<-taken
	cancel()
	err := <-done
	close(goOn)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "is acted on") {
		t.Fatal(err)
	}
}

// late holds the writing of an ask back until it is given up, and lets it be made afterwards.
type late struct {
	clientv3.KV
	mu   sync.Mutex
	n    int
	made chan clientv3.Txn // the real one
}

func (l *late) Txn(ctx context.Context) clientv3.Txn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n != 2 { // the first one looks who holds the lease
		return l.KV.Txn(ctx)
	}
	return &lateTxn{l.KV.Txn(context.Background()), ctx, l}
}

type lateTxn struct {
	clientv3.Txn
	ctx context.Context
	l   *late
}

func (t *lateTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *lateTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *lateTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *lateTxn) Commit() (*clientv3.TxnResponse, error) {
	t.l.made <- t.Txn
	<-t.ctx.Done()
	return nil, t.ctx.Err()
}

// TestAskWithdrawnOnItsWay: an ask that is withdrawn while its writing is still under way is not written when that arrives.
func TestAskWithdrawnOnItsWay(t *testing.T) {
	cfg := fresh()
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	onItsWay := &late{made: make(chan clientv3.Txn, 1)}
	asker.WrapKV(func(kv clientv3.KV) clientv3.KV { onItsWay.KV = kv; return onItsWay })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := asker.Ask(ctx, askOf(l, state.AskAbort))
		done <- err
	}()
	txn := <-onItsWay.made
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "withdrawn") {
		t.Fatal(err)
	}
	if resp, err := txn.Commit(); err == nil && resp.Succeeded {
		t.Error("it was written all the same")
	}
	if n := left(t, s); n != 0 {
		t.Fatalf("%d asks are left", n)
	}
}

// TestKilledHolder kills the holder while an ask waits for it: the next holder of the same place does not act on it, and the asker is told that nobody has.
func TestKilledHolder(t *testing.T) {
	cfg := fresh()
	cmd := holding(cfg)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	defer ended()
	if said := bufio.NewScanner(out); !said.Scan() || said.Text() != "wrote" {
		t.Fatalf("it said %q", said.Text())
	}
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	held, err := s.Leases(t.Context())
	if err != nil || len(held) != 1 {
		t.Fatalf("%v %v", held, err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := asker.Ask(t.Context(), state.Ask{Fence: state.Fence{Scope: held[0].Scope, Epoch: held[0].Epoch}, Verb: state.AskAbort, By: statetest.Holder("bob")})
		done <- err
	}()
	until(t, "the ask to be there", func() bool { return left(t, s) == 1 })
	ended() // kill -9
	l := acquire(t, s, "lab")
	v := &verbs{}
	answering(t, s, l, v.do)
	if err := <-done; !errors.Is(err, state.ErrNobody) {
		t.Fatal(err)
	}
	if _, err := asker.Ask(t.Context(), askOf(l, state.AskPause)); err != nil {
		t.Fatal(err)
	}
	if len(v.seen) != 1 || v.seen[0] != state.AskPause {
		t.Fatalf("the next holder was asked to %v", v.seen)
	}
}

// TestTakerGone: a holder whose lease ends after it took an ask and before it answered is not called one that never took it.
func TestTakerGone(t *testing.T) {
	cfg := fresh()
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	taken, goOn := make(chan struct{}), make(chan struct{})
	answering(t, s, l, func(state.Ask) state.Answer {
		close(taken)
		<-goOn
		return state.Answer{}
	})
	done := make(chan error, 1)
	go func() {
		_, err := asker.Ask(t.Context(), askOf(l, state.AskAbort))
		done <- err
	}()
	<-taken
	if _, err := asker.Unlock(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	err := <-done
	close(goOn)
	if !errors.Is(err, state.ErrUnanswered) || errors.Is(err, state.ErrNobody) {
		t.Fatal(err)
	}
}

// TestTakerSilent: one who took an ask and says nothing is not waited for without end.
func TestTakerSilent(t *testing.T) {
	cfg := fresh()
	s := open(t, cfg)
	defer closing(t, s)
	cfg.AskTTL = etcd.MinTTL
	asker := open(t, cfg)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	goOn := make(chan struct{})
	answering(t, s, l, func(state.Ask) state.Answer {
		<-goOn
		return state.Answer{}
	})
	defer close(goOn)
	_, err := asker.Ask(t.Context(), askOf(l, state.AskAbort))
	for errors.Is(err, state.ErrNobody) { // on a slow machine it may end before it is taken
		_, err = asker.Ask(t.Context(), askOf(l, state.AskAbort))
	}
	if !errors.Is(err, state.ErrUnanswered) {
		t.Fatal(err)
	}
}

// TestAskThenRelease: the answer of a holder that ends right after it is not lost.
func TestAskThenRelease(t *testing.T) {
	cfg := fresh()
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- errors.Join(s.Answer(ctx, l, func(state.Ask) state.Answer {
			end()
			return state.Answer{By: statetest.Holder("ann")}
		}), l.Release())
	}()
	a, err := asker.Ask(t.Context(), askOf(l, state.AskYield))
	if err != nil || a.By.User != "ann" {
		t.Fatalf("%+v %v", a, err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if n := left(t, s); n != 0 {
		t.Fatalf("%d asks are left", n)
	}
}

// TestAsksWithAnswersLost: every transaction is made, and every second answer of etcd is lost, on both sides. Each ask is acted on once, and answered.
func TestAsksWithAnswersLost(t *testing.T) {
	cfg := fresh()
	s, asker := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, asker)
	l := acquire(t, s, "lab")
	for _, side := range []*etcd.Store{s, asker} {
		lost, n := 0, 0
		side.WrapKV(func(kv clientv3.KV) clientv3.KV { return lossy{kv, new(sync.Mutex), &n, &lost} })
	}
	v := &verbs{}
	answering(t, s, l, v.do)
	for range 5 {
		if _, err := asker.Ask(t.Context(), askOf(l, state.AskPause)); err != nil {
			t.Fatal(err)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.seen) != 5 {
		t.Fatalf("5 were asked, %d acted on", len(v.seen))
	}
}

// TestRunAskedFromElsewhere: a real run is paused, continued and made to give way from another handle on etcd; what it gave way to can take its place, and
// the run goes on afterwards.
func TestRunAskedFromElsewhere(t *testing.T) {
	cfg := fresh()
	asker := open(t, cfg)
	defer closing(t, asker)
	ask := func(v state.Verb) {
		held, err := asker.Leases(t.Context())
		if err != nil || len(held) != 1 {
			t.Errorf("%v %v", held, err)
			return
		}
		a, err := asker.Ask(t.Context(), state.Ask{Fence: state.Fence{Scope: held[0].Scope, Epoch: held[0].Epoch}, Verb: v, By: statetest.Holder("bob")})
		if err != nil || a.Refused != "" {
			t.Errorf("%s: %+v %v", v, a, err)
		}
	}
	var in *installation
	in = newInstallation(t, cfg, func(context.Context) {
		ask(state.AskPause)
		if paused, _ := in.control.State(); !paused {
			t.Error("it is not paused")
		}
		ask(state.AskResume)
		ask(state.AskYield)
	})
	p := in.plan()
	res := in.run(p)
	if res.Kind != engine.Interrupted || !errors.Is(res.Err, engine.ErrYielded) || len(res.With(engine.OpInterrupted, engine.OpFailed)) > 0 {
		t.Fatalf("the run ended as %s: %v", res.Kind, res.Error())
	}
	other := acquire(t, asker, "") // an emergency has its turn
	if err := other.Release(); err != nil {
		t.Fatal(err)
	}
	if res = in.run(p); res.Kind != engine.Done || !res.Resumed {
		t.Fatalf("it went on and ended as %s: %v", res.Kind, res.Error())
	}
	if n := in.driver.acts[in.driver.at]; n != 1 {
		t.Errorf("%s was done %d times", in.driver.at, n)
	}
}
