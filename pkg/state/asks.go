package state

import (
	"context"
	"encoding/json"
	"errors"
)

// Verb is what can be asked of the process that holds a lease.
type Verb string

// The verbs.
const (
	AskStatus Verb = "status" // what is going on
	AskPause  Verb = "pause"  // let what runs finish, and begin nothing
	AskResume Verb = "resume" // go on
	AskAbort  Verb = "abort"  // end the run for good
	AskYield  Verb = "yield"  // let what runs finish, begin nothing, and give the lease up; the run can go on later
)

// Ask is something that is asked of the holder of one lease. No other holder ever acts on it, and no later one.
type Ask struct {
	Fence Fence  `json:"fence"`
	Verb  Verb   `json:"verb"`
	By    Holder `json:"by"` // who asks, and since when
}

// Answer is what the holder says to an ask.
type Answer struct {
	By Holder `json:"by"`
	// Refused is why nothing was done; empty: it was.
	Refused string `json:"refused,omitempty"`
	// Status is what is going on after it.
	Status json.RawMessage `json:"status,omitempty"`
}

// What can become of an ask beside an answer.
var (
	// ErrNobody: nobody has taken the ask, and nobody will act on it any more.
	ErrNobody = errors.New("no run answers")
	// ErrUnanswered: it was taken, and its taker is gone, or says nothing.
	ErrUnanswered = errors.New("it was taken, and whoever took it is gone or does not answer")
)

// Asks hands what others ask to the holder of a lease. Every store is one, and state/statetest holds the conformance suite.
type Asks interface {
	// Ask waits for the answer of the holder of a.Fence. It fails with ErrNobody when that lease has ended, or nobody takes the ask in time. When ctx ends
	// before the ask is taken it is withdrawn: nobody will act on it. An error that wraps ctx's and says that it was taken means that it is acted on.
	Ask(ctx context.Context, a Ask) (Answer, error)
	// Answer has do answer everything that is asked of a lease of this handle, until ctx or the lease ends. do may be called by several goroutines at
	// once and must not wait for the run. One call at a time for each handle.
	Answer(ctx context.Context, l Lease, do func(Ask) Answer) error
}
