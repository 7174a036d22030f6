package plan

// schedule is what a stage's needs say about time: which ops are certainly done before which, and which op touches which fact.
type schedule struct {
	ops       []Op // each behind those it needs
	ancestors []map[int]bool
	touched   map[property][]access
}

// property is one attribute of one subject.
type property struct {
	subject Subject
	attr    Attr
}

// access is one op reading (as a precondition) or writing (as a postcondition) a property.
type access struct {
	op    int
	write bool
	value string
}

func newSchedule(order []Op) schedule {
	s := schedule{ops: order, ancestors: ancestry(order), touched: map[property][]access{}}
	for i, o := range order {
		for _, f := range o.Pre {
			s.touch(f, access{i, false, f.Value})
		}
		for _, f := range o.Post {
			s.touch(f, access{i, true, f.Value})
		}
	}
	return s
}

func (s schedule) touch(f Fact, a access) {
	p := property{f.Subject, f.Attr}
	s.touched[p] = append(s.touched[p], a)
}

// check reports preconditions that may not hold when their op begins, and ops that may run at once though they disagree. Before is the state
// before the stage.
func (s schedule) check(c *checker, before State) {
	seen := map[property]bool{}
	for i, o := range s.ops {
		for _, f := range o.Pre {
			if got := s.certain(i, f, before); got != f.Value {
				c.wrong("%s expects %s of %s to be %q, it is %q", o.ID, f.Attr, f.Subject, f.Value, got)
			}
		}
		for _, list := range [][]Fact{o.Pre, o.Post} {
			for _, f := range list {
				if p := (property{f.Subject, f.Attr}); !seen[p] {
					seen[p] = true
					s.races(c, p)
				}
			}
		}
	}
}

// certain is the value that a fact's property has when only what the op waits for is done.
func (s schedule) certain(op int, f Fact, before State) string {
	value := before.Get(f.Subject, f.Attr)
	for _, a := range s.touched[property{f.Subject, f.Attr}] {
		if a.write && s.ancestors[op][a.op] {
			value = a.value
		}
	}
	return value
}

// races reports ops that touch a property, one of them writing, though neither waits for the other.
func (s schedule) races(c *checker, p property) {
	list := s.touched[p]
	for i, a := range list {
		for _, b := range list[i+1:] {
			if (a.write || b.write) && a.value != b.value && s.unordered(a.op, b.op) {
				c.wrong("%s and %s may run at once, and disagree on %s of %s", s.ops[a.op].ID, s.ops[b.op].ID, p.attr, p.subject)
			}
		}
	}
}

func (s schedule) unordered(a, b int) bool {
	return a != b && !s.ancestors[a][b] && !s.ancestors[b][a]
}

// ancestry says for each op of an ordered stage which ops are certainly done before it.
func ancestry(order []Op) []map[int]bool {
	index := make(map[OpID]int, len(order))
	for i, o := range order {
		index[o.ID] = i
	}
	out := make([]map[int]bool, len(order))
	for i, o := range order {
		out[i] = map[int]bool{}
		for _, n := range o.Needs {
			j, ok := index[n]
			if !ok || j >= i {
				continue
			}
			out[i][j] = true
			for k := range out[j] {
				out[i][k] = true
			}
		}
	}
	return out
}
