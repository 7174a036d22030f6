package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A BMC that is busy or does not answer is asked again after patienceFirst, and then less and less often, up to every patienceMost. Its driver has tried a few
// times by itself before each of that.
const (
	patienceFirst = 5 * time.Second
	patienceMost  = 30 * time.Second
)

// usualPatience is that of questions to a BMC which no op of a kind with a patience of its own asks.
const usualPatience = 10 * time.Minute

// at is the world as an op of a kind meets it: as patient with BMCs as the kind is, and telling of it whoever listens.
func (d *Driver) at(ctx context.Context, op plan.Op) World {
	w := d.world
	info, _ := op.Kind.Info()
	w.patience, w.tell = cmp.Or(w.Patience, info.Patience, usualPatience), plan.Listener(ctx)
	return w
}

// patient lets try have its way with a node's BMC, again and again while it fails in a way that may pass by itself, until the patience with that BMC is at its end or
// ctx is. Nothing is known of what a try that failed has done: the next one has to look before it acts, and at whatever must hold when it acts.
func (w World) patient(ctx context.Context, n model.Node, try func() error) error {
	began, dice := w.Clock.Now(), diceOf(n)
	for tries, pause := 1, patienceFirst; ; tries, pause = tries+1, min(pause*2, patienceMost) {
		err := try()
		passes := err != nil && transient(err)
		if !passes || ctx.Err() != nil {
			return err
		}
		left := w.patience - w.Clock.Now().Sub(began)
		if left <= 0 {
			return fmt.Errorf("%w; given up after %d tries in %s", err, tries, w.Clock.Now().Sub(began).Round(time.Second))
		}
		if w.tell != nil {
			w.tell(plan.Progress{Waiting: fmt.Sprintf("its BMC, which %s; trying again for %s", brief(err), more(left))})
		}
		pause := time.Duration(float64(pause) * (0.8 + 0.4*dice.Float64()))
		if ended := w.Clock.Sleep(ctx, min(pause, left)); ended != nil {
			return fmt.Errorf("%w; %w", err, ended)
		}
	}
}

// diceOf are a node's own: many BMCs behind one switch that comes back are not all asked in the same second, and a run that is repeated asks at the same times.
func diceOf(n model.Node) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(n.Path))
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}

// transient reports whether an error is of a BMC that says of it that it may pass by itself. Where several are joined, all are.
func transient(err error) bool {
	if known, ok := err.(interface{ Transient() bool }); ok {
		return known.Transient()
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		return inner != nil && transient(inner)
	case interface{ Unwrap() []error }:
		some := false
		for _, part := range e.Unwrap() {
			if !transient(part) {
				return false
			}
			some = true
		}
		return some
	}
	return false
}

// brief is what is the matter with a BMC, behind its name.
func brief(err error) string {
	var short interface{ Brief() string }
	if errors.As(err, &short) {
		return short.Brief()
	}
	return "fails (" + err.Error() + ")"
}

// more is the time that is left, as a person would say it.
func more(left time.Duration) string {
	if left < 90*time.Second {
		return fmt.Sprintf("%d more seconds", max(int(left.Round(time.Second)/time.Second), 1))
	}
	return fmt.Sprintf("%d more minutes", int(left.Round(time.Minute)/time.Minute))
}
