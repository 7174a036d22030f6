package plan

import "slices"

// schedule is what a stage's needs say about time: which ops are certainly done before which, and which op touches which fact.
type schedule struct {
	ops       []Op // each behind those it needs
	needs     [][]int
	ancestors [][]int32 // sorted; nil until somebody asks
	touched   map[property]*accesses
}

// property is one attribute of one subject.
type property struct {
	subject Subject
	attr    Attr
}

// accesses are the ops that read a property (as a precondition) and those that write it (as a postcondition), in order.
type accesses struct {
	reads, writes []access
	seen          bool
}

type access struct {
	op    int
	value string
}

func newSchedule(order []Op) *schedule {
	s := &schedule{ops: order, ancestors: make([][]int32, len(order)), touched: make(map[property]*accesses, 2*len(order))}
	s.needs, _ = Stage{Ops: order}.needs()
	for i, o := range order {
		for _, f := range o.Pre {
			a := s.of(f)
			a.reads = append(a.reads, access{i, f.Value})
		}
		for _, f := range o.Post {
			a := s.of(f)
			a.writes = append(a.writes, access{i, f.Value})
		}
	}
	return s
}

func (s *schedule) of(f Fact) *accesses {
	p := property{f.Subject, f.Attr}
	a := s.touched[p]
	if a == nil {
		a = &accesses{}
		s.touched[p] = a
	}
	return a
}

// check reports preconditions that may not hold when their op begins, and ops that may run at once though they disagree. Before is the state
// before the stage.
func (s *schedule) check(c *checker, before State) {
	for i, o := range s.ops {
		for _, f := range o.Pre {
			if got := s.certain(i, f, before); got != f.Value {
				c.wrong("%s expects %s of %s to be %q, it is %q", o.ID, f.Attr, f.Subject, f.Value, got)
			}
		}
		for _, list := range [][]Fact{o.Pre, o.Post} {
			for _, f := range list {
				if a := s.of(f); !a.seen {
					a.seen = true
					s.races(c, f, a)
				}
			}
		}
	}
}

// certain is the value that a fact's property has when only what the op waits for is done.
func (s *schedule) certain(op int, f Fact, before State) string {
	value := before.Get(f.Subject, f.Attr)
	for _, a := range s.of(f).writes {
		if s.after(op, a.op) {
			value = a.value
		}
	}
	return value
}

// races reports ops that touch a property, one of them writing, though neither waits for the other.
func (s *schedule) races(c *checker, f Fact, list *accesses) {
	for i, a := range list.writes {
		for _, b := range slices.Concat(list.writes[i+1:], list.reads) {
			if a.value != b.value && a.op != b.op && !s.after(a.op, b.op) && !s.after(b.op, a.op) {
				first, second := min(a.op, b.op), max(a.op, b.op)
				c.wrong("%s and %s may run at once, and disagree on %s of %s", s.ops[first].ID, s.ops[second].ID, f.Attr, f.Subject)
			}
		}
	}
}

// after reports whether an op certainly begins after another is done.
func (s *schedule) after(op, other int) bool {
	if other >= op {
		return false
	}
	if s.ancestors[op] == nil {
		s.ancestors[op] = s.before(op)
	}
	_, found := slices.BinarySearch(s.ancestors[op], int32(other))
	return found
}

// before lists the ops that are certainly done before an op begins. It is looked up only for ops that share a property with another, so that many
// independent chains cost no more than their length.
func (s *schedule) before(op int) []int32 {
	out := []int32{}
	seen := map[int]bool{}
	rest := []int{op}
	for len(rest) > 0 {
		i := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		for _, j := range s.needs[i] {
			if j < i && !seen[j] {
				seen[j] = true
				out = append(out, int32(j))
				rest = append(rest, j)
			}
		}
	}
	slices.Sort(out)
	return out
}
