package engine

import (
	"log/slog"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// EventVersion is the version of the events' form.
const EventVersion = 1

// EventKind is what happened.
type EventKind string

// The kinds. Of one op: queued, perhaps waiting, started, progress…, then one of done, held, failed, stale, unknown, interrupted; or
// skipped, without having started.
const (
	RunStarted    EventKind = "run.started"
	RunPaused     EventKind = "run.paused"   // Text says who asked, as with the next two
	RunYielding   EventKind = "run.yielding" // it stops when what changes something has ended
	RunContinued  EventKind = "run.continued"
	RunStopping   EventKind = "run.stopping" // interrupted, aborted, or nothing can be recorded; Error says which
	RunFinished   EventKind = "run.finished"
	StageStarted  EventKind = "stage.started"
	StageFinished EventKind = "stage.finished"
	OpQueued      EventKind = "op.queued"  // its needs are met
	OpWaiting     EventKind = "op.waiting" // for a share of what Text names
	OpStarted     EventKind = "op.started"
	OpProgress    EventKind = "op.progress"
	OpEnded       EventKind = "op.ended" // Status says how
)

// Event is one thing that happened, for views. Stage counts from 1.
type Event struct {
	FormatVersion int            `json:"format_version"`
	Time          time.Time      `json:"time"`
	Kind          EventKind      `json:"kind"`
	Run           string         `json:"run"`
	Plan          model.Digest   `json:"plan,omitempty"`
	Stage         int            `json:"stage,omitempty"`
	Stages        int            `json:"stages,omitempty"`
	Title         string         `json:"title,omitempty"` // of the stage
	Ops           int            `json:"ops,omitempty"`   // in the stage or the run
	Op            plan.OpID      `json:"op,omitempty"`
	OpKind        plan.Kind      `json:"op_kind,omitempty"`
	Target        plan.Subject   `json:"target,omitempty"`
	Status        Status         `json:"status,omitempty"`
	Result        Kind           `json:"result,omitempty"`
	Progress      *plan.Progress `json:"progress,omitempty"`
	ElapsedMs     int64          `json:"elapsed_ms,omitempty"` // of the op, stage or run
	Text          string         `json:"text,omitempty"`
	Error         string         `json:"error,omitempty"`
	Remedy        string         `json:"remedy,omitempty"`
	Log           []string       `json:"log,omitempty"` // the last lines of the console or the agent
}

// emit completes an event and hands it on; observers see one at a time.
func (r *run) emit(e Event) {
	e.FormatVersion, e.Run, e.Stages = EventVersion, r.name, len(r.plan.Stages)
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	e.Time = r.opt.Clock.Now()
	r.log(e)
	if r.opt.Observer != nil {
		r.opt.Observer.Event(e)
	}
}

func (r *run) log(e Event) {
	level := slog.LevelInfo
	switch {
	case e.Kind == OpProgress || e.Kind == OpQueued || e.Kind == OpWaiting:
		level = slog.LevelDebug
	case e.Error != "":
		level = slog.LevelWarn
	}
	if !r.opt.Log.Enabled(r.ctx, level) {
		return
	}
	args := []any{"run", e.Run}
	for _, a := range [][2]string{{"op", string(e.Op)}, {"status", string(e.Status)}, {"title", e.Title}, {"text", e.Text}, {"error", e.Error}, {"result", string(e.Result)}} {
		if a[1] != "" {
			args = append(args, a[0], a[1])
		}
	}
	r.opt.Log.Log(r.ctx, level, string(e.Kind), args...)
}

// opEvent is an event about an op.
func opEvent(k EventKind, stage int, op plan.Op) Event {
	return Event{Kind: k, Stage: stage + 1, Op: op.ID, OpKind: op.Kind, Target: op.Target}
}

// withError adds what an error says.
func (e Event) withError(err error) Event {
	if err != nil {
		e.Error, e.Remedy, e.Log = err.Error(), remedy(err), lastLines(err)
	}
	return e
}
