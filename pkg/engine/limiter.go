package engine

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// limiter counts what runs for each resource, and keeps those that wait in the order in which they came.
type limiter struct {
	limits Limits
	used   map[string]int
	parked map[string][]*node
}

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l, used: map[string]int{}, parked: map[string][]*node{}}
}

// resources of an op: what it names, and last the run as a whole, "".
func resources(op plan.Op) []string {
	names := slices.Clone(op.Uses)
	slices.Sort(names)
	return append(slices.Compact(names), "")
}

func (l *limiter) full(resource string) bool {
	limit := l.limits.of(resource)
	return limit > 0 && l.used[resource] >= limit
}

// take gives a node all it needs, or parks it at the first resource that is full and names it.
func (l *limiter) take(n *node) (waitsFor string, ok bool) {
	for _, r := range n.resources {
		if l.full(r) {
			l.parked[r] = append(l.parked[r], n)
			return r, false
		}
	}
	for _, r := range n.resources {
		l.used[r]++
	}
	return "", true
}

// give returns what a node had.
func (l *limiter) give(n *node) {
	for _, r := range n.resources {
		l.used[r]--
	}
}

// next takes the first waiting node from a resource that has room; nil when there is none.
func (l *limiter) next(resource string) *node {
	if l.full(resource) || len(l.parked[resource]) == 0 {
		return nil
	}
	n := l.parked[resource][0]
	l.parked[resource] = l.parked[resource][1:]
	return n
}
