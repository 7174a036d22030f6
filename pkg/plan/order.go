package plan

import (
	"slices"
)

// Order returns the stage's ops so that each stands behind those it needs, otherwise as they are written. Ops that need each other in a
// circle are left out; Validate reports them.
func (s Stage) Order() []Op {
	needs, forward := s.needs()
	if !forward {
		return slices.Clone(s.Ops)
	}
	round := rounds(needs)
	at := make([]int, 0, len(s.Ops))
	for i, r := range round {
		if r >= 0 {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return round[a] - round[b] })
	out := make([]Op, len(at))
	for i, j := range at {
		out[i] = s.Ops[j]
	}
	return out
}

// needs gives the indexes of the ops of this stage that each op needs, and whether any of them is written behind it.
func (s Stage) needs() (out [][]int, forward bool) {
	index := make(map[OpID]int, len(s.Ops))
	for i, o := range s.Ops {
		if _, twice := index[o.ID]; !twice {
			index[o.ID] = i
		}
	}
	out = make([][]int, len(s.Ops))
	for i, o := range s.Ops {
		for _, n := range o.Needs {
			if j, ok := index[n]; ok {
				out[i] = append(out[i], j)
				forward = forward || j >= i
			}
		}
	}
	return out, forward
}

// rounds tells in which reading of the list each op finds what it needs done, when the list is read again and again from the top; -1: never.
func rounds(needs [][]int) []int {
	waiting := make([]int, len(needs)) // how many needs are open
	then := make([][]int, len(needs))  // who waits for an op
	out := make([]int, len(needs))
	var ready []int
	for i, list := range needs {
		waiting[i], out[i] = len(list), -1
		for _, j := range list {
			then[j] = append(then[j], i)
		}
		if len(list) == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		out[i] = 0
		for _, j := range needs[i] {
			r := out[j]
			if j > i {
				r++
			}
			out[i] = max(out[i], r)
		}
		for _, k := range then[i] {
			if waiting[k]--; waiting[k] == 0 {
				ready = append(ready, k)
			}
		}
	}
	return out
}
