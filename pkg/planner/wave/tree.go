package wave

import "math"

// room is what a host has left, or what is asked for: memory, VCPUs, and the most that a single NUMA cell has of CPUs and huge pages.
type room struct{ memory, vcpus, cpus, huge int64 }

// nowhere is the room of a host that is no destination: nothing fits, however small.
var nowhere = room{math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64}

func (r room) holds(need room) bool {
	return r.memory >= need.memory && r.vcpus >= need.vcpus && r.cpus >= need.cpus && r.huge >= need.huge
}

// tree finds the first of many hosts with enough room in logarithmic time: each node holds the greatest room below it, in each dimension by itself.
type tree struct {
	nodes []room
	base  int
}

func newTree(n int) *tree {
	base := 1
	for base < n {
		base *= 2
	}
	t := &tree{nodes: make([]room, 2*base), base: base}
	for i := range t.nodes {
		t.nodes[i] = nowhere
	}
	return t
}

func (t *tree) set(leaf int32, r room) {
	i := t.base + int(leaf)
	if t.nodes[i] == r {
		return
	}
	t.nodes[i] = r
	for i /= 2; i > 0; i /= 2 {
		a, b := &t.nodes[2*i], &t.nodes[2*i+1]
		up := room{max(a.memory, b.memory), max(a.vcpus, b.vcpus), max(a.cpus, b.cpus), max(a.huge, b.huge)}
		if t.nodes[i] == up {
			return
		}
		t.nodes[i] = up
	}
}

// first returns the first leaf with the room that also fits, from the left or from the right, or -1.
func (t *tree) first(need room, fromRight bool, fits func(leaf int32) bool) int32 {
	return t.below(1, need, fromRight, fits)
}

func (t *tree) below(i int, need room, fromRight bool, fits func(leaf int32) bool) int32 {
	if !t.nodes[i].holds(need) {
		return -1
	}
	if i >= t.base {
		if leaf := int32(i - t.base); fits == nil || fits(leaf) {
			return leaf
		}
		return -1
	}
	a, b := 2*i, 2*i+1
	if fromRight {
		a, b = b, a
	}
	if leaf := t.below(a, need, fromRight, fits); leaf >= 0 {
		return leaf
	}
	return t.below(b, need, fromRight, fits)
}
