package run

import (
	"context"
	"errors"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// errKilled is what everything comes to once nuboctl is dead.
var errKilled = errors.New("killed")

// journal is a journal in memory that outlives the processes that write to it. A process dies where the killer says so: before a record is written, or
// behind it; from then on nothing of that process is written.
type journal struct {
	runs     map[string]*state.RunState
	order    []string
	finished map[model.Digest]state.Record
	records  int

	// dies is asked before (written false) and behind each record.
	dies func(r state.Record, written bool) bool
	dead bool
	kill context.CancelCauseFunc
}

func newJournal() *journal {
	return &journal{runs: map[string]*state.RunState{}, finished: map[model.Digest]state.Record{}}
}

// begin starts a process.
func (j *journal) begin(kill context.CancelCauseFunc) { j.dead, j.kill = false, kill }

func (j *journal) die() error {
	j.dead = true
	j.kill(errKilled)
	return errKilled
}

// Append implements engine.Journal.
func (j *journal) Append(_ context.Context, r state.Record) (state.Record, error) {
	if j.dead {
		return r, errKilled
	}
	if j.dies != nil && j.dies(r, false) {
		return r, j.die()
	}
	j.records++
	r.Seq = int64(j.records)
	j.fold(r)
	if j.dies != nil && j.dies(r, true) {
		return r, j.die()
	}
	return r, nil
}

func (j *journal) fold(r state.Record) {
	switch r.Kind {
	case state.KindApproved:
		j.runs[r.Run] = &state.RunState{ID: r.Run, Scope: r.Scope, Plan: r.Plan, By: r.By, Started: r.Time, Ops: map[plan.OpID]state.OpState{}}
		j.order = append(j.order, r.Run)
	case state.KindFinished:
		j.finished[r.Plan] = r
		delete(j.runs, r.Run)
	case state.KindClosed:
		delete(j.runs, r.Run)
	case state.KindIntent:
		j.set(r, &r)
	case state.KindDone, state.KindReset:
		j.set(r, nil)
	case state.KindFailed:
		if run := j.runs[r.Run]; run != nil {
			j.set(r, run.Ops[r.OpID].Intent)
		}
	}
}

func (j *journal) set(r state.Record, intent *state.Record) {
	if run := j.runs[r.Run]; run != nil {
		run.Ops[r.OpID] = state.OpState{Last: r.Kind, Intent: intent}
	}
}

// Runs implements engine.Journal.
func (j *journal) Runs() []state.RunState {
	var out []state.RunState
	for _, id := range j.order {
		if r := j.runs[id]; r != nil {
			c := *r
			c.Ops = make(map[plan.OpID]state.OpState, len(r.Ops))
			for k, v := range r.Ops {
				c.Ops[k] = v
			}
			out = append(out, c)
		}
	}
	return out
}

// Finished implements engine.Journal.
func (j *journal) Finished(p model.Digest) (state.Record, bool) {
	r, ok := j.finished[p]
	return r, ok
}
