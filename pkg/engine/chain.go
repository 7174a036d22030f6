package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// chain is what a plan does to one target, in its order. Its witnesses are ops that, when they are found to hold, prove that all before
// them have had their effect, and must not be done again: a machine that is installed is not powered off because an old plan says so.
type chain struct {
	ops   []*plan.Op
	again bool // the plan was carried out before
	// anew says that the plan does again what holds already, so that what holds proves nothing: only the journal tells what is done.
	anew bool
	// last is the last destructive op that brings about what did not hold before the plan; -1 when there is none.
	last int
	// proof is everything that the ops up to last bring about together: the machine is not only installed, but by the order of this plan.
	proof []plan.Fact
	after plan.State

	mu     sync.Mutex
	known  bool
	passed int // ops up to here have had their effect; -1 for none
}

// chains sorts the plan's ops by target.
func chains(p plan.Plan, again bool) map[plan.Subject]*chain {
	out := map[plan.Subject]*chain{}
	for _, s := range p.Stages {
		ops := s.Order()
		for i := range ops {
			op := &ops[i]
			c := out[op.Target]
			if c == nil {
				c = &chain{again: again, anew: p.Goal == plan.GoalReinstall && !again, last: -1, after: plan.State{}}
				out[op.Target] = c
			}
			for _, f := range op.Post {
				c.after.Set(f)
			}
			if info, _ := op.Kind.Info(); info.Destructive && !c.anew && !plan.Done(*op, p.Initial) {
				c.last, c.proof = len(c.ops), factsOf(c.after)
			}
			c.ops = append(c.ops, op)
		}
	}
	return out
}

// index is the position of an op.
func (c *chain) index(id plan.OpID) int {
	return slices.IndexFunc(c.ops, func(op *plan.Op) bool { return op.ID == id })
}

// lasts reports whether finding an op's effect proves anything: it brings about something that was not there, and is still there at the plan's end.
// A cordon that is set, or noout that is not, proves nothing. What an op of a batch found out is nowhere in the world.
func (c *chain) lasts(op plan.Op, initial plan.State) bool {
	if _, ok := op.Target.Batch(); ok || plan.Done(op, initial) || !plan.Done(op, c.after) {
		return false
	}
	return slices.ContainsFunc(op.Post, func(f plan.Fact) bool { return f.Value != "" })
}

// passed reports whether the op, or a later one of its target that stands for it, holds already. It looks once for each target.
func (r *run) passed(ctx context.Context, op plan.Op) bool {
	c := r.chains[op.Target]
	i := c.index(op.ID)
	if !c.again && i > c.last {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.passed = r.furthest(ctx, c, 0, c.again)
		c.known = ctx.Err() == nil
	}
	return i <= c.passed
}

// overtaken reports whether an op that cannot begin any more need not: it holds, or a later one of its target does.
func (r *run) overtaken(ctx context.Context, op plan.Op) bool {
	c := r.chains[op.Target]
	if c.anew {
		return false
	}
	return r.furthest(ctx, c, c.index(op.ID), true) >= 0
}

// furthest is the index of the last op from `from` on that is found to hold, among all or only the last destructive one; -1 for none.
func (r *run) furthest(ctx context.Context, c *chain, from int, all bool) int {
	for i := len(c.ops) - 1; i >= from; i-- {
		if !all && i != c.last {
			continue
		}
		op := *c.ops[i]
		if i != c.last && !c.lasts(op, r.plan.Initial) {
			continue
		}
		if i == c.last {
			op.Post = c.proof
		}
		if d, ok := r.opt.Drivers(op.Kind); ok && guard(func() error { return d.Verify(ctx, op) }) == nil {
			return i
		}
	}
	return -1
}

// factsOf lists a state's facts in order.
func factsOf(st plan.State) []plan.Fact {
	var out []plan.Fact
	for _, c := range plan.Diff(nil, st) {
		out = append(out, plan.Fact{Subject: c.Subject, Attr: c.Attr, Value: c.To})
	}
	return out
}
