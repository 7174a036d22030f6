// Package verify checks the certificate of a plan: it plays the batches one after the other over plain arrays and asks at each whether the
// invariants hold. It shares nothing with the planner but the words of package plan, finds nothing by itself, and is meant to be read in one
// sitting. What it checks is told in the comments of plan.Certificate; what it does not is told in docs/upgrade-safety.md.
//
// Read it in this order. verify.go plays the batches and runs the rules. world.go is what it knows before a batch and while it is down. batch.go is the
// heart: what holds while a batch is down, for hosts and virtual machines; loss.go the same for placement groups and services, also with one more place
// lost. order.go is about the batches together, ops.go about the ops that carry a batch out, leave.go about plans without batches. form.go comes first when it
// runs and last when it is read: it sees to it that every number leads somewhere. Each file begins with the table of its rules, and each rule is one question.
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
	Batch     int        `json:"batch"`           // counted from 1; 0: it is about the whole plan
	Hosts     string     `json:"hosts,omitempty"` // of the batch, the first ones
	Invariant string     `json:"invariant"`       // I1 to I12, or "form", "order", "grade", "count", "bound", "ops"
	Place     model.Path `json:"place,omitempty"`
	Text      string     `json:"text"`
}

// Error is the violation in one line. The batch is named as ops, journal and the plan's table name it.
func (v *Violation) Error() string {
	where := "the plan"
	if v.Batch > 0 {
		where = fmt.Sprintf("%s (%s)", plan.BatchSubject(v.Batch-1), v.Hosts)
	}
	return where + ": " + v.Invariant + ": " + v.Text
}

// rule is one thing that is checked.
type rule struct {
	name      string
	invariant string
	check     func(*checker)
}

// checker plays a rollout.
type checker struct {
	plan    *plan.Plan // nil when a single batch is checked
	fleet   *plan.Fleet
	policy  *plan.Policy
	batches []plan.Batch
	skip    string // the name of a rule to leave out: tests show with it that every rule is needed

	now   rule
	batch int         // index of the batch that is checked, -1: none
	b     *plan.Batch // the batch that is checked
	errs  []error
	world
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
	if x := p.Certificate; x != nil {
		return play(&checker{plan: &p, fleet: &x.Fleet, policy: &x.Policy, batches: x.Batches, skip: skip})
	}
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if err := uncertified(p, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// Batch checks one batch against a fleet as it is now: its invariants, its grade and its counts. It does not ask in which order batches come.
func Batch(f plan.Fleet, p plan.Policy, b plan.Batch) error { return checkBatch(f, p, b, "") }

func checkBatch(f plan.Fleet, p plan.Policy, b plan.Batch, skip string) error {
	return play(&checker{fleet: &f, policy: &p, batches: []plan.Batch{b}, skip: skip})
}

// play runs every rule at its time.
func play(c *checker) error {
	if c.form() {
		c.begin()
		c.ofPlan(planRules)
		c.eachBatch(func() {
			c.open()
			c.run(batchRules)
			c.ofPlan(stageRules)
			c.close()
		})
	}
	return errors.Join(c.errs...)
}

// form reports whether there is something to play: first that every number leads somewhere, on which all else relies.
func (c *checker) form() bool {
	c.batch = -1
	c.run(indexRules)
	c.eachBatch(func() { c.run(batchIndexRules) })
	if len(c.errs) == 0 {
		c.run(formRules)
		c.ofPlan(planFormRules)
	}
	return len(c.errs) == 0
}

func (c *checker) run(rules []rule) {
	for _, r := range rules {
		if r.name != c.skip {
			c.now = r
			r.check(c)
		}
	}
}

// ofPlan runs rules that a single batch says nothing about.
func (c *checker) ofPlan(rules []rule) {
	if c.plan != nil {
		c.run(rules)
	}
}

// eachBatch does something with every batch in order.
func (c *checker) eachBatch(do func()) {
	for i := range c.batches {
		c.batch, c.b = i, &c.batches[i]
		do()
	}
	c.batch, c.b = -1, nil
}

// wrong reports a violation of the rule at hand.
func (c *checker) wrong(place model.Path, format string, args ...any) {
	if len(c.errs) >= most {
		return
	}
	v := &Violation{Batch: c.batch + 1, Invariant: c.now.invariant, Place: place, Text: fmt.Sprintf(format, args...)}
	if c.batch >= 0 {
		v.Hosts = string(c.b.Zone) + ": " + c.names(c.b.Hosts)
	}
	c.errs = append(c.errs, v)
}

// must reports a violation unless something is so.
func (c *checker) must(so bool, place model.Path, format string, args ...any) {
	if !so {
		c.wrong(place, format, args...)
	}
}

// names tells the first hosts of a list; its numbers may be wrong.
func (c *checker) names(list plan.Ints) string {
	var out []string
	for i, h := range list {
		if i == 4 {
			out = append(out, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		if h >= 0 && int(h) < len(c.fleet.Hosts) {
			out = append(out, c.path(h).Name())
		}
	}
	return strings.Join(out, ", ")
}
