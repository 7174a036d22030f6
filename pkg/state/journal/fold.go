package journal

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// keepFinished is how many finished plans are remembered without reading back.
const keepFinished = 1000

// Fold is what the records read so far come to: the runs under way, and which plans were carried out.
type Fold struct {
	Runs     map[string]*state.RunState     `json:"runs,omitempty"`
	Finished map[model.Digest]*state.Record `json:"finished,omitempty"`
}

// Apply folds one more record in.
func (f *Fold) Apply(r state.Record) {
	switch r.Kind {
	case state.KindApproved:
		if f.Runs == nil {
			f.Runs = map[string]*state.RunState{}
		}
		f.Runs[r.Run] = &state.RunState{ID: r.Run, Scope: r.Scope, Plan: r.Plan, By: r.By, Started: r.Time, Ops: map[plan.OpID]state.OpState{}}
	case state.KindFinished:
		f.finish(r)
		delete(f.Runs, r.Run)
	case state.KindClosed:
		delete(f.Runs, r.Run)
	case state.KindIntent, state.KindDone, state.KindFailed, state.KindReset:
		f.op(r)
	}
}

func (f *Fold) op(r state.Record) {
	run := f.Runs[r.Run]
	if run == nil {
		return
	}
	if run.Ops == nil {
		run.Ops = map[plan.OpID]state.OpState{}
	}
	s := state.OpState{Last: r.Kind}
	switch r.Kind {
	case state.KindIntent:
		s.Intent = &r
	case state.KindFailed:
		s.Intent, s.Error = run.Ops[r.OpID].Intent, r.Error
	}
	run.Ops[r.OpID] = s
}

func (f *Fold) finish(r state.Record) {
	if f.Finished == nil {
		f.Finished = map[model.Digest]*state.Record{}
	}
	f.Finished[r.Plan] = &r
	if len(f.Finished) <= keepFinished {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Values(f.Finished)), func(a, b *state.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	delete(f.Finished, oldest.Plan)
}

// Clone is a copy that later records do not change; the records themselves are never changed.
func (f *Fold) Clone() Fold {
	out := Fold{Runs: make(map[string]*state.RunState, len(f.Runs)), Finished: maps.Clone(f.Finished)}
	for id, r := range f.Runs {
		c := *r
		c.Ops = maps.Clone(r.Ops)
		out.Runs[id] = &c
	}
	return out
}

// Open lists the open runs, oldest first, as copies.
func (f *Fold) Open() []state.RunState {
	out := make([]state.RunState, 0, len(f.Runs))
	for _, r := range f.Runs {
		c := *r
		c.Ops = maps.Clone(r.Ops)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b state.RunState) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return out
}
