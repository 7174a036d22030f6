package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// ErrInvalid is wrapped by everything Validate reports.
var ErrInvalid = errors.New("plan is not valid")

// Validate checks a plan on its own: known kinds, unique ids, needs that lead somewhere and in no circle, preconditions that hold when
// their op may begin, no two unordered ops of a stage that say different things of one attribute, and each stage's Before and After being the
// states that the ops really lead to. All mistakes are reported.
func Validate(p Plan) error {
	c := &checker{at: "the plan"}
	c.initial(p.Initial)
	if p.FormatVersion != FormatVersion {
		c.wrong("format_version is %d, this program knows %d", p.FormatVersion, FormatVersion)
	}
	seen := map[OpID]bool{}
	st := newTally(p.Initial.Clone())
	before := st.digest()
	for i, s := range p.Stages {
		c.at = fmt.Sprintf("stage %d (%s)", i+1, s.Title)
		if s.Before != before {
			c.wrong("before is %s, but the state there is %s", s.Before.Short(), before.Short())
		}
		c.stage(s, seen, st)
		before = st.digest()
		if s.After != before {
			c.wrong("after is %s, but its ops lead to %s", s.After.Short(), before.Short())
		}
	}
	return errors.Join(c.errs...)
}

type checker struct {
	at   string
	errs []error
}

func (c *checker) wrong(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%w: %s: %s", ErrInvalid, c.at, fmt.Sprintf(format, args...)))
}

// initial refuses what State does not keep, so that equal states have equal digests.
func (c *checker) initial(st State) {
	for _, sub := range slices.Sorted(maps.Keys(st)) {
		if len(st[sub]) == 0 {
			c.wrong("its initial state names %s and tells nothing of it", sub)
		}
		for _, a := range slices.Sorted(maps.Keys(st[sub])) {
			if st[sub][a] == "" {
				c.wrong("its initial state has an empty %s of %s", a, sub)
			}
		}
	}
}

func (c *checker) stage(s Stage, seen map[OpID]bool, st *tally) {
	if len(s.Ops) == 0 {
		c.wrong("has no ops")
	}
	here := map[OpID]bool{}
	for _, o := range s.Ops {
		c.op(o, seen)
		here[o.ID] = true
	}
	for _, o := range s.Ops {
		for _, n := range o.Needs {
			if !here[n] {
				c.wrong("%s needs %q, which is not in this stage", o.ID, n)
			}
		}
	}
	order := s.Order()
	if len(order) != len(s.Ops) {
		c.wrong("ops need each other in a circle")
	}
	newSchedule(order).check(c, st.st)
	for _, o := range order {
		for _, f := range o.Post {
			st.set(f)
		}
	}
}

func (c *checker) op(o Op, seen map[OpID]bool) {
	if _, ok := o.Kind.Info(); !ok {
		c.wrong("%q is of no known kind", o.ID)
	}
	if o.ID != ID(o.Kind, o.Target) {
		c.wrong("%q should be called %q", o.ID, ID(o.Kind, o.Target))
	}
	if seen[o.ID] {
		c.wrong("%q occurs twice", o.ID)
	}
	seen[o.ID] = true
	if len(o.Post) == 0 {
		c.wrong("%q changes nothing", o.ID)
	}
}

// Seal fills in every stage's Before and After from the plan's initial state and its ops.
func Seal(p *Plan) {
	st := newTally(p.Initial.Clone())
	d := st.digest()
	for i := range p.Stages {
		p.Stages[i].Before = d
		p.Stages[i].each(st.set)
		d = st.digest()
		p.Stages[i].After = d
	}
}

// Unmet lists the preconditions of an op that do not hold in a state: what makes an op stale.
func Unmet(o Op, st State) []Fact {
	var out []Fact
	for _, f := range o.Pre {
		if !st.Has(f) {
			out = append(out, f)
		}
	}
	return out
}

// Done reports whether everything the op would bring about already holds.
func Done(o Op, st State) bool {
	for _, f := range o.Post {
		if !st.Has(f) {
			return false
		}
	}
	return true
}

// ImageRefs returns the images named by the plan's provenance, sorted by name.
func (p Plan) ImageRefs() []model.ImageRef {
	out := make([]model.ImageRef, 0, len(p.Provenance.Images))
	for n, d := range p.Provenance.Images {
		out = append(out, model.ImageRef{Name: n, Digest: d})
	}
	slices.SortFunc(out, func(a, b model.ImageRef) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
