package state

import (
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Kind is what a journal record says.
type Kind string

// The kinds. An op's records are, in order: one KindIntent before the first effect on the world, then one of KindDone, KindFailed or
// KindReset; without one of them its outcome is not known and must be probed.
const (
	KindApproved    Kind = "approved"    // a run begins: who approved which plan
	KindResumed     Kind = "resumed"     // the same run goes on in another process
	KindIntent      Kind = "intent"      // an op is about to act
	KindDone        Kind = "done"        // its postcondition was seen to hold
	KindFailed      Kind = "failed"      // it gave up; Error says why. What it changed must be probed before it is tried again
	KindReset       Kind = "reset"       // it was seen to have had no effect
	KindInterrupted Kind = "interrupted" // the process stopped it; the intent stays open
	KindUnknown     Kind = "unknown"     // a probe could not tell; the intent stays open
	KindFinished    Kind = "finished"    // every op of the run is done
	KindClosed      Kind = "closed"      // the run will not go on: aborted, or another one took its place
	KindNote        Kind = "note"        // for people
)

// Kinds lists all kinds, in the order in which a run has them.
func Kinds() []Kind {
	return []Kind{KindApproved, KindResumed, KindIntent, KindDone, KindFailed, KindReset, KindInterrupted, KindUnknown, KindFinished, KindClosed, KindNote}
}

// Valid reports whether a record can be of this kind.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// Outcome reports whether a record of this kind settles what came of an intent.
func (k Kind) Outcome() bool { return k == KindDone || k == KindFailed || k == KindReset }

// Record is one line of the journal. The writer of the journal fills in Seq, Ack, Epoch, Prev and Hash. Hash is the last field, and covers
// everything before it byte for byte.
type Record struct {
	FormatVersion int       `json:"format_version"`
	Seq           int64     `json:"seq"` // counts from 1 without a gap
	Ack           int64     `json:"ack"` // the last record that was safely on disk when this one was written
	Time          time.Time `json:"time"`
	Epoch         int64     `json:"epoch"` // fencing epoch of the lease under which it was written
	Kind          Kind      `json:"kind"`
	Run           string    `json:"run,omitempty"`
	Scope         string    `json:"scope,omitempty"`
	// Plan is the digest of the plan being run.
	Plan model.Digest `json:"plan,omitempty"`
	OpID plan.OpID    `json:"op_id,omitempty"`
	// Op is the whole op, with an intent: enough to probe it when the plan is gone.
	Op *plan.Op `json:"op,omitempty"`
	// Outcome is what a probe saw, where one was made.
	Outcome plan.Outcome `json:"outcome,omitempty"`
	// By is who approved, or who settled an op by hand.
	By    string `json:"by,omitempty"`
	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"`
	Prev  string `json:"prev"`
	Hash  string `json:"hash,omitempty"`
}

// OpState is what the journal knows of one op of a run.
type OpState struct {
	// Last is the kind of the newest record that decides: intent (without outcome), done, failed or reset.
	Last Kind `json:"last"`
	// Intent is the record of the newest intent, nil once there is an outcome that needs no probe.
	Intent *Record `json:"intent,omitempty"`
	// Error is why it failed, with KindFailed.
	Error string `json:"error,omitempty"`
}

// RunState is what the journal knows of a run that is neither finished nor closed.
type RunState struct {
	ID      string                `json:"id"`
	Scope   string                `json:"scope,omitempty"`
	Plan    model.Digest          `json:"plan"`
	By      string                `json:"by"`
	Started time.Time             `json:"started"`
	Ops     map[plan.OpID]OpState `json:"ops,omitempty"`
}

// Open lists the intents of the run that have no outcome.
func (r RunState) Open() []Record {
	var out []Record
	for _, o := range r.Ops {
		if o.Last == KindIntent && o.Intent != nil {
			out = append(out, *o.Intent)
		}
	}
	return out
}
