package engine

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Progress of a run as a whole, for `status`: what a Tracker makes of the events.
type Progress struct {
	FormatVersion int            `json:"format_version"`
	Run           string         `json:"run"`
	Plan          model.Digest   `json:"plan"`
	Started       time.Time      `json:"started"`
	Updated       time.Time      `json:"updated"`
	Result        Kind           `json:"result,omitempty"` // when it has ended
	Paused        bool           `json:"paused,omitempty"`
	Stopping      string         `json:"stopping,omitempty"`
	Stage         int            `json:"stage"` // from 1
	Stages        int            `json:"stages"`
	Title         string         `json:"title,omitempty"`
	Ops           int            `json:"ops"`     // in the whole plan
	Counts        map[Status]int `json:"counts"`  // of those that have ended
	Waiting       int            `json:"waiting"` // queued, not yet started
	Running       []RunningOp    `json:"running,omitempty"`
	Problems      []Event        `json:"problems,omitempty"` // how ops failed, oldest first
}

// RunningOp is an op under way.
type RunningOp struct {
	Op       plan.OpID     `json:"op"`
	Kind     plan.Kind     `json:"kind"`
	Target   plan.Subject  `json:"target"`
	Started  time.Time     `json:"started"`
	Progress plan.Progress `json:"progress,omitzero"`
}

// keepProblems bounds how many failures a status carries.
const keepProblems = 50

// Tracker is an Observer that knows at any time what is going on. It is safe for concurrent use.
type Tracker struct {
	// Next is told every event as well; it may be nil.
	Next Observer

	mu      sync.Mutex
	now     Progress
	running map[plan.OpID]*RunningOp
	queued  map[plan.OpID]bool
}

// NewTracker makes a tracker that passes events on to next, which may be nil.
func NewTracker(next Observer) *Tracker {
	return &Tracker{Next: next, running: map[plan.OpID]*RunningOp{}, queued: map[plan.OpID]bool{}, now: Progress{FormatVersion: EventVersion, Counts: map[Status]int{}}}
}

// Event implements Observer.
func (t *Tracker) Event(e Event) {
	t.take(e)
	if t.Next != nil {
		t.Next.Event(e)
	}
}

func (t *Tracker) take(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Run, t.now.Updated, t.now.Stages = e.Run, e.Time, e.Stages
	switch e.Kind {
	case RunStarted:
		t.now.Plan, t.now.Ops, t.now.Started = e.Plan, e.Ops, e.Time
	case RunPaused, RunContinued:
		t.now.Paused, t.now.Stopping = e.Kind == RunPaused, ""
	case RunYielding:
		t.now.Stopping = ErrYielded.Error()
	case RunStopping:
		t.now.Stopping = e.Error
	case RunFinished:
		t.now.Result = e.Result
	case StageStarted:
		t.now.Stage, t.now.Title = e.Stage, e.Title
	default:
		t.op(e)
	}
}

func (t *Tracker) op(e Event) {
	switch e.Kind {
	case OpQueued:
		t.queued[e.Op] = true
	case OpStarted:
		delete(t.queued, e.Op)
		t.running[e.Op] = &RunningOp{Op: e.Op, Kind: e.OpKind, Target: e.Target, Started: e.Time}
	case OpProgress:
		if o := t.running[e.Op]; o != nil && e.Progress != nil {
			o.Progress = *e.Progress
		}
	case OpEnded:
		delete(t.queued, e.Op)
		delete(t.running, e.Op)
		t.now.Counts[e.Status]++
		if e.Error != "" && len(t.now.Problems) < keepProblems {
			t.now.Problems = append(t.now.Problems, e)
		}
	}
}

// Progress is what is going on now; the longest running op stands first.
func (t *Tracker) Progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.now
	p.Counts = map[Status]int{}
	for k, v := range t.now.Counts {
		p.Counts[k] = v
	}
	p.Problems = slices.Clone(t.now.Problems)
	p.Waiting = len(t.queued)
	p.Running = make([]RunningOp, 0, len(t.running))
	for _, o := range t.running {
		p.Running = append(p.Running, *o)
	}
	slices.SortFunc(p.Running, func(a, b RunningOp) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Op, b.Op))
	})
	return p
}
