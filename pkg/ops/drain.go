package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A migration is tried a few times, since one that fails leaves the machine where it was.
const (
	migrateTries = 4
	migratePause = 30 * time.Second
)

// drain moves every virtual machine off a host, the one that writes fastest to its memory first, until none is left: what comes meanwhile is moved too.
// Where a machine goes is what the certified placement says; when that has no place for it, or there is no room, the batch is certified again.
func drain(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	return empty(ctx, w, op, report)
}

func empty(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	failed := map[string]int{}
	full := map[string]bool{} // where the certified placement sent it there was no room
	for moved := 0; ; moved++ {
		guests, err := w.Guests.List(ctx, n)
		if err != nil {
			return err
		}
		left := running(guests)
		if len(left) == 0 {
			return ctx.Err()
		}
		g := left[0]
		report(plan.Progress{Text: fmt.Sprintf("%d moved, %d left, now %s", moved, len(left), g.Name)})
		if err := w.evacuate(ctx, n, g, full[g.Name], report); err != nil {
			failed[g.Name]++
			full[g.Name] = errors.Is(err, ErrNoRoom)
			if halts(err) || failed[g.Name] == migrateTries || ctx.Err() != nil {
				return err
			}
			report(plan.Progress{Text: fmt.Sprintf("%s: %v; once more", g.Name, err)})
			if err := w.Clock.Sleep(ctx, migratePause); err != nil {
				return err
			}
		}
	}
}

// evacuate takes one virtual machine off a host.
func (w World) evacuate(ctx context.Context, n model.Node, g Guest, again bool, report func(plan.Progress)) error {
	if g.Fixed {
		if !g.Consent {
			return &HaltedError{What: "drain " + string(n.Path), Why: []string{g.Name + " cannot be migrated, and its owner does not consent to its being stopped"}}
		}
		return w.Guests.Hold(ctx, g.Name, n)
	}
	path, over, err := w.destination(ctx, n, g, again)
	if errors.Is(err, errNowhere) && g.Consent {
		return w.Guests.Hold(ctx, g.Name, n)
	}
	if err != nil {
		return err
	}
	to, err := w.node(plan.NodeSubject(path))
	if err == nil {
		if err = w.Guests.Migrate(ctx, g.Name, n, to, report); err != nil {
			err = fmt.Errorf("migrate %s from %s to %s: %w", g.Name, n.Path, path, err)
		}
	}
	over(err)
	return err
}

// errNowhere says that the certified placement has no place for a virtual machine: it is to be stopped, or the drain comes to no end.
var errNowhere = errors.New("the certified placement has no place for it")

// destination asks where a virtual machine goes, and has the batch certified again when nobody knows. The caller tells what came of the move.
func (w World) destination(ctx context.Context, n model.Node, g Guest, again bool) (model.Path, func(error), error) {
	for {
		to, over, err := w.Batches.Destination(ctx, n, g.Name, again)
		if err != nil || to != "" {
			return to, over, err
		}
		if again {
			return "", nil, errors.Join(errNowhere, &HaltedError{What: "drain " + string(n.Path), Why: []string{"the certified placement has no place for " + g.Name}})
		}
		again = true
	}
}

// running are the virtual machines that are to leave, in the order in which they go.
func running(guests []Guest) []Guest {
	out := slices.DeleteFunc(slices.Clone(guests), func(g Guest) bool { return g.Held })
	slices.SortFunc(out, func(a, b Guest) int {
		return cmp.Or(cmp.Compare(b.DirtyMiBs, a.DirtyMiBs), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func halts(err error) bool {
	var h interface{ Halts() bool }
	return errors.As(err, &h) && h.Halts()
}
