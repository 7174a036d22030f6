package plan

import "github.com/nuboctl/nuboctl/pkg/model"

// FormatVersion is the version of the plan file. A reader refuses every other.
const FormatVersion = 2

// Goal is what a plan was asked for.
type Goal string

// The goals.
const (
	GoalInstall      Goal = "install"
	GoalChange       Goal = "change"
	GoalDrain        Goal = "drain"    // virtual machines away, and none back until undrain
	GoalUndrain      Goal = "undrain"  // whatever a drain or an interrupted rollout has left set on hosts, taken back
	GoalRollback     Goal = "rollback" // hosts back to the older slot that they still hold
	GoalUpgrade      Goal = "upgrade"
	GoalReinstall    Goal = "reinstall"
	GoalAdopt        Goal = "adopt"
	GoalReplace      Goal = "replace"
	GoalDecommission Goal = "decommission"
)

// Plan leads from what was observed to what is desired. The fields stand in the order of their JSON names, so that encoding/json
// writes the canonical form.
type Plan struct {
	// Certificate is the evidence of a plan that takes hosts out of service in batches; nil for others.
	Certificate   *Certificate `json:"certificate,omitempty"`
	FormatVersion int          `json:"format_version"`
	Goal          Goal         `json:"goal"`
	// Initial is the projection of the observation that the plan reasons from.
	Initial State `json:"initial"`
	// Left are the nodes that differ from the inventory, and that the plan's goal does not bring to it.
	Left []Left `json:"left,omitempty"`
	// Notes are what a reader should know before approving: what is one-way, what could not be observed, what limits the plan.
	Notes      []string   `json:"notes,omitempty"`
	Provenance Provenance `json:"provenance"`
	Stages     []Stage    `json:"stages,omitempty"`
	// Targets are the places that were asked for; empty: all.
	Targets []model.Path `json:"targets,omitempty"`
}

// Left is a node that stays as it is although it is not as desired.
type Left struct {
	Node   model.Path `json:"node"`
	Remedy string     `json:"remedy"` // what would bring it to what is desired
	Text   string     `json:"text"`   // how it differs
}

// Provenance pins what the plan was made from. A plan is stale when inventory, an image or the policy is no longer the one named here;
// the observation's digest is for the record only.
type Provenance struct {
	// Chosen are the names of images whose digest was given when the plan was made, in place of the one that the image store has for the name.
	Chosen      []string                `json:"chosen,omitempty"`
	Images      map[string]model.Digest `json:"images,omitempty"` // name → manifest digest
	Inventory   model.Digest            `json:"inventory"`
	Observation model.Digest            `json:"observation"`
	// Policy is the digest of the certificate's Policy, or of model.Rollout in a plan without one.
	Policy model.Digest `json:"policy"`
	// Snapshot is what a plan of MethodPackages installs.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// Snapshot is a set of packages by its name and the digest of its manifest.
type Snapshot struct {
	Digest model.Digest `json:"digest"`
	Name   string       `json:"name"`
}

// Stage is a set of ops that may run at once, except that an op waits for those it needs. A stage begins when the one before it is done.
type Stage struct {
	// After and Before are digests of the states around the stage; each After is the next Before.
	After  model.Digest `json:"after"`
	Before model.Digest `json:"before"`
	// Invariants name what holds while the stage runs.
	Invariants []string `json:"invariants,omitempty"`
	Ops        []Op     `json:"ops"`
	Title      string   `json:"title"`
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Stages) == 0 }

// AsDesired reports whether everything that was looked at is as the inventory asks for: nothing to do, and nothing left as it is.
func (p Plan) AsDesired() bool { return p.Empty() && len(p.Left) == 0 }

// OneWay lists the ops that cannot be undone.
func (p Plan) OneWay() []Op {
	var out []Op
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if i, ok := o.Kind.Info(); ok && !i.Reversible {
				out = append(out, o)
			}
		}
	}
	return out
}

// Final is the state after the last stage.
func (p Plan) Final() State {
	st := p.Initial.Clone()
	for _, s := range p.Stages {
		s.apply(st)
	}
	return st
}

// StateBefore is the state before stage i; i may be len(Stages).
func (p Plan) StateBefore(i int) State {
	st := p.Initial.Clone()
	for _, s := range p.Stages[:i] {
		s.apply(st)
	}
	return st
}

// Ops counts the ops of all stages.
func (p Plan) Ops() int {
	n := 0
	for _, s := range p.Stages {
		n += len(s.Ops)
	}
	return n
}

// Digest identifies the plan by its canonical form.
func (p Plan) Digest() model.Digest { return model.DigestJSON(p) }

func (s Stage) apply(st State) { s.each(st.Set) }

// each gives what the stage brings about, one fact after the other.
func (s Stage) each(set func(Fact)) {
	for _, o := range s.Order() {
		for _, f := range o.Post {
			set(f)
		}
	}
}
