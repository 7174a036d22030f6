package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// JournalOptions are those of Journal. Empty ones do not filter.
type JournalOptions struct {
	Target string // anything: a node's name or path, a place, a run, an op
	Node   string // a node's name or path, or a place
	Kinds  []string
	Run    string
	Since  string // a time (RFC 3339, or a date) or how long ago
	Last   int
}

// Journal shows what happened.
func Journal(ctx context.Context, e Env, o JournalOptions) (err error) {
	keep, err := o.filter(e.Now())
	if err != nil {
		return err
	}
	s, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var list []state.Record
	for r, err := range s.Records(ctx) {
		if err != nil {
			return err
		}
		if !keep(r) {
			continue
		}
		if list = append(list, r); o.Last > 0 && len(list) > 2*o.Last {
			list = append(list[:0], list[len(list)-o.Last:]...)
		}
	}
	if o.Last > 0 && len(list) > o.Last {
		list = list[len(list)-o.Last:]
	}
	if len(list) == 0 && !e.JSON {
		e.note("Nothing of that is in the journal of %s.", s.Where())
	}
	return view.JournalText(e.Out, e.OutStyle, list, e.keptConsoles(), e.JSON)
}

// keptConsoles are the numbers of the records whose machine's last words are kept here. What cannot be listed is not told of: the journal is what
// was asked for.
func (e Env) keptConsoles() map[int64]bool {
	list, _ := e.consoles().List()
	out := make(map[int64]bool, len(list))
	for _, c := range list {
		out[c.Seq] = true
	}
	return out
}

// filter makes the options one question.
func (o JournalOptions) filter(now time.Time) (func(state.Record) bool, error) {
	var since time.Time
	var errs []error
	if o.Since != "" {
		var err error
		since, err = sinceWhen(o.Since, now)
		errs = append(errs, err)
	}
	kinds := map[state.Kind]bool{}
	for _, k := range o.Kinds {
		if _, op := plan.Kind(k).Info(); !op && !state.Kind(k).Valid() {
			errs = append(errs, fmt.Errorf("--kind %q is neither a kind of record nor of op; records: %s", k, joined(state.Kinds())))
		}
		kinds[state.Kind(k)] = true
	}
	return func(r state.Record) bool {
		op, _, _ := strings.Cut(string(r.OpID), " ")
		return (o.Target == "" || view.About(r, o.Target)) && (o.Node == "" || view.About(r, o.Node)) && (o.Run == "" || r.Run == o.Run) &&
			(len(kinds) == 0 || kinds[r.Kind] || kinds[state.Kind(op)]) && !r.Time.Before(since)
	}, errors.Join(errs...)
}

// sinceWhen reads a moment, or how long ago it was.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, text, time.UTC); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--since %q: write 2026-01-31, 2026-01-31T14:00:00Z, or how long ago: 90m", text)
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// JournalVerify reads the whole journal and checks that no record was changed or lost.
func JournalVerify(ctx context.Context, e Env) (err error) {
	s, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	rep, err := s.Verify(ctx)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, rep)
	}
	_, err = fmt.Fprintf(e.Out, "The journal is whole: %d records, the last has hash %s.\n", rep.Records, rep.Hash)
	return err
}
