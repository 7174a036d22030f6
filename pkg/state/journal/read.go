package journal

import (
	"errors"
	"fmt"
	"iter"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Read yields every record in dir, oldest first, each checked against the chain, without any lock: also while a journal is being written.
// A record at the end that is not complete ends it silently; one that was edited ends it with ErrDamaged.
func Read(dir string) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		names, err := segments(dir)
		if err != nil {
			yield(state.Record{}, err)
			return
		}
		var pos position
		for i, name := range names {
			on := true
			err := scan(dir, &cursor{Segment: name}, &pos, func(r state.Record, _ int) bool {
				on = yield(r, nil)
				return on
			})
			if !on {
				return
			}
			var bad *badLine
			if errors.As(err, &bad) && i == len(names)-1 && !bad.complete() {
				return
			}
			if err != nil {
				yield(state.Record{}, err)
				return
			}
		}
	}
}

// Report is what Verify found.
type Report struct {
	Records int64  `json:"records"`
	Hash    string `json:"hash"` // of the last record
}

// Verify reads everything in dir and checks every record, the chain, and that it reaches the record of the checkpoint. ErrDamaged says
// where it is broken.
func Verify(dir string) (Report, error) {
	var rep Report
	c, have, err := readCheckpoint(dir)
	if err != nil {
		return rep, err
	}
	for r, err := range Read(dir) {
		if err != nil {
			return rep, err
		}
		rep = Report{Records: r.Seq, Hash: r.Hash}
		if have && r.Seq == c.Pos.Seq && r.Hash != c.Pos.Hash {
			return rep, fmt.Errorf("journal %s: record %d is not the one the checkpoint knows: %w", dir, r.Seq, state.ErrDamaged)
		}
	}
	if have && rep.Records < c.Pos.Seq {
		return rep, c.missing(dir, fmt.Errorf("the chain ends with record %d", rep.Records))
	}
	return rep, nil
}

// Load folds the journal in dir as Open would, but changes nothing and needs no lease: what `status` shows of an interrupted run.
func Load(dir string) ([]state.RunState, error) {
	c, _, err := readCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	at, pos := c.At, c.Pos
	for _, name := range names {
		if name < at.Segment {
			continue
		}
		if name != at.Segment {
			at = cursor{Segment: name}
		}
		err := scan(dir, &at, &pos, func(r state.Record, _ int) bool {
			c.Fold.Apply(r)
			return true
		})
		var bad *badLine
		if err != nil && !errors.As(err, &bad) {
			return nil, err
		}
	}
	return c.Fold.Open(), nil
}
