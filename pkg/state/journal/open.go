package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/batch"
)

// Options are how a journal is written. The zero value of each is its default.
type Options struct {
	// Epoch is the fencing epoch of the lease under which the journal is opened; every record carries it.
	Epoch int64
	// SegmentBytes is the size at which a new segment is begun; 64 MiB.
	SegmentBytes int64
	// CheckpointEvery is the number of records between checkpoints; 1000.
	CheckpointEvery int64

	// open opens a segment for appending; tests put faults in its place.
	open func(path string, size int64) (file, error)
}

// Journal is a journal open for writing. Only the holder of the lease may open one. It is safe for concurrent use.
type Journal struct {
	dir  string
	opt  Options
	mend int64 // bytes cut off when it was opened

	queue batch.Queue[*request]

	mu   sync.Mutex // guards what follows
	fold Fold

	// Only the caller that is writing uses what follows.
	out   file
	at    cursor
	pos   position
	last  int   // length of the last line
	saved int64 // the sequence number of the checkpoint
	fault error // after a failed sync nothing is known of the file: it takes no more records
}

// Open opens the journal in dir for writing, creating it when there is none. It reads from the checkpoint on, cuts off what a crash left
// behind the last acknowledged record, and refuses with ErrDamaged what was edited, and with ErrFenced an epoch older than the newest
// record's.
func Open(dir string, opt Options) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, state.IOError("create journal", dir, err)
	}
	if opt.SegmentBytes == 0 {
		opt.SegmentBytes = 64 << 20
	}
	if opt.CheckpointEvery == 0 {
		opt.CheckpointEvery = 1000
	}
	if opt.open == nil {
		opt.open = openFile
	}
	j := &Journal{dir: dir, opt: opt}
	if err := j.load(); err != nil {
		return nil, err
	}
	if opt.Epoch < j.pos.Epoch {
		return nil, fmt.Errorf("open journal %s under epoch %d, it has records of epoch %d: %w", dir, opt.Epoch, j.pos.Epoch, state.ErrFenced)
	}
	if j.at.Segment == "" {
		return j, j.rotate()
	}
	var err error
	j.out, err = opt.open(filepath.Join(dir, j.at.Segment), j.at.Offset)
	return j, err
}

// load reads checkpoint and tail.
func (j *Journal) load() error {
	c, _, err := readCheckpoint(j.dir)
	if err != nil {
		return err
	}
	j.fold, j.at, j.pos, j.last, j.saved = c.Fold, c.At, c.Pos, c.Length, c.Pos.Seq
	names, err := segments(j.dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		if name < j.at.Segment {
			continue
		}
		if name != j.at.Segment {
			j.at, j.last = cursor{Segment: name}, 0
		}
		err := scan(j.dir, &j.at, &j.pos, func(r state.Record, n int) bool {
			j.fold.Apply(r)
			j.last = n
			return true
		})
		if err = j.repair(err, i == len(names)-1); err != nil {
			return err
		}
	}
	return nil
}

// repair cuts off a torn tail; every other error it returns.
func (j *Journal) repair(err error, newest bool) error {
	var bad *badLine
	if !errors.As(err, &bad) {
		return err
	}
	ok := false
	if newest {
		var failed error
		if ok, failed = torn(j.dir, bad); failed != nil {
			return failed
		}
	}
	if !ok {
		return fmt.Errorf("%w; restore the journal, or move it away to begin a new one", bad)
	}
	path := filepath.Join(j.dir, bad.at.Segment)
	st, err := os.Stat(path)
	if err != nil {
		return state.IOError("repair journal", path, err)
	}
	j.mend = st.Size() - bad.at.Offset
	return truncate(path, bad.at.Offset)
}

func truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return state.IOError("repair journal", path, err)
	}
	err = errors.Join(f.Truncate(size), f.Sync(), f.Close())
	return state.IOError("repair journal", path, err)
}

// Repaired tells how many bytes of unacknowledged records Open cut off.
func (j *Journal) Repaired() int64 { return j.mend }

// Runs lists the runs that are neither finished nor closed, oldest first.
func (j *Journal) Runs() []state.RunState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fold.Open()
}

// Finished returns the record of the newest run that carried out a plan to its end, if one did.
func (j *Journal) Finished(p model.Digest) (state.Record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.fold.Finished[p]; r != nil {
		return *r, true
	}
	return state.Record{}, false
}
