// Package verify checks the certificate of a plan: it plays the batches one after the other over plain arrays and asks at each whether the
// invariants hold. It shares nothing with the planner but the words of package plan, finds nothing by itself, and is meant to be read in one
// sitting. What it checks is told in the comments of plan.Certificate; what it does not is told in docs/upgrade-safety.md.
package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// ErrNoCertificate says that a plan has no certificate although it needs one.
var ErrNoCertificate = errors.New("the plan has no certificate")

// most is how many violations are reported; a plan that has more is no better known by them.
const most = 1000

// Violation is one invariant that does not hold, with the counter-example.
type Violation struct {
	Batch     int        `json:"batch"`           // counted from 0; -1: it is about the whole plan
	Hosts     string     `json:"hosts,omitempty"` // of the batch, the first ones
	Invariant string     `json:"invariant"`       // I1 to I12, or "form", "order", "grade", "count", "bound", "ops"
	Place     model.Path `json:"place,omitempty"`
	Text      string     `json:"text"`
}

// Error is the violation in one line. The batch is named as ops and journal name it.
func (v *Violation) Error() string {
	where := "the plan"
	if v.Batch >= 0 {
		where = fmt.Sprintf("%s (%s)", plan.BatchSubject(v.Batch), v.Hosts)
	}
	return where + ": " + v.Invariant + ": " + v.Text
}

// rule is one thing that is checked. Those of a rule that guards the indexes come first: the others rely on them.
type rule struct {
	name      string
	invariant string
	check     func(*checker)
}

// checker plays a rollout.
type checker struct {
	plan   *plan.Plan // nil when a single batch is checked
	fleet  *plan.Fleet
	policy *plan.Policy
	skip   string // the name of a rule to leave out: tests show with it that every rule is needed

	now   rule
	batch int         // index of the batch that is checked, -1: none
	b     *plan.Batch // the batch that is checked
	errs  []error
	world
}

func (c *checker) wrong(place model.Path, format string, args ...any) {
	if len(c.errs) >= most {
		return
	}
	v := &Violation{Batch: c.batch, Invariant: c.now.invariant, Place: place, Text: fmt.Sprintf(format, args...)}
	if c.batch >= 0 {
		v.Hosts = c.names()
	}
	c.errs = append(c.errs, v)
}

// names tells the first hosts of the batch; their numbers may be wrong.
func (c *checker) names() string {
	var out []string
	for i, h := range c.b.Hosts {
		if i == 4 {
			out = append(out, fmt.Sprintf("and %d more", len(c.b.Hosts)-i))
			break
		}
		if int(h) < len(c.fleet.Hosts) && h >= 0 {
			out = append(out, c.fleet.Hosts[h].Path.Name())
		}
	}
	return string(c.b.Zone) + ": " + strings.Join(out, ", ")
}

func (c *checker) run(rules []rule) {
	for _, r := range rules {
		if r.name != c.skip {
			c.now = r
			r.check(c)
		}
	}
}

// Plan checks a plan and its certificate with nothing but the plan, and reports every violation. A plan without a certificate is only valid
// when it takes no host out of service in batches.
func Plan(p plan.Plan) error { return check(p, "") }

func check(p plan.Plan, skip string) error {
	valid := make(chan error)
	go func() { valid <- plan.Validate(p) }() // it needs as long as all else, and another core
	err := certificate(p, skip)
	return errors.Join(<-valid, err)
}

func certificate(p plan.Plan, skip string) error {
	if p.Certificate == nil {
		return uncertified(p)
	}
	c := &checker{plan: &p, fleet: &p.Certificate.Fleet, policy: &p.Certificate.Policy, skip: skip, batch: -1}
	c.run(formRules)
	c.eachBatch(func() { c.run(batchFormRules) })
	if len(c.errs) > 0 {
		return errors.Join(c.errs...)
	}
	c.begin()
	c.run(planRules)
	c.eachBatch(func() {
		c.open()
		c.run(batchRules)
		c.run(stageRules)
		c.close()
	})
	return errors.Join(c.errs...)
}

// eachBatch does something with every batch in order.
func (c *checker) eachBatch(do func()) {
	for i := range c.plan.Certificate.Batches {
		c.batch, c.b = i, &c.plan.Certificate.Batches[i]
		do()
	}
	c.batch, c.b = -1, nil
}

// Batch checks one batch against a fleet as it is now: its invariants, its grade and its counts. It does not ask in which order batches come.
func Batch(f plan.Fleet, p plan.Policy, b plan.Batch) error { return checkBatch(f, p, b, "") }

func checkBatch(f plan.Fleet, p plan.Policy, b plan.Batch, skip string) error {
	c := &checker{fleet: &f, policy: &p, b: &b, skip: skip}
	c.batch = -1
	c.run(formRules)
	c.batch = 0
	c.run(batchFormRules)
	if len(c.errs) > 0 {
		return errors.Join(c.errs...)
	}
	c.begin()
	c.open()
	c.run(batchRules)
	return errors.Join(c.errs...)
}

// uncertified refuses ops that only a certificate can justify.
func uncertified(p plan.Plan) error {
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if _, ok := contract[o.Kind]; ok && o.Kind != plan.SlotWrite && o.Kind != plan.HostVerify {
				return fmt.Errorf("%w: %s takes a host out of service", ErrNoCertificate, o.ID)
			}
		}
	}
	return nil
}
