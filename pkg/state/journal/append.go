package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// request is one record that waits to be written.
type request struct {
	rec  state.Record
	line []byte
	err  error
}

// errClosed says that the journal was closed before the record was written.
var errClosed = errors.New("journal is closed")

// Append writes a record and returns it, complete, when it is safely on disk. The context is looked at before, not during: a record that
// has begun to be written is written. ErrFull leaves the journal as it was; when the disk is full, records that begin something are
// refused first, while room is kept for the outcomes of what has begun.
func (j *Journal) Append(ctx context.Context, r state.Record) (state.Record, error) {
	if err := ctx.Err(); err != nil {
		return r, err
	}
	q := &request{rec: r}
	if err := j.queue.Do(q, j.write); err != nil {
		return r, errClosed
	}
	return q.rec, q.err
}

// write makes one batch durable and folds it in.
func (j *Journal) write(batch []*request) {
	if err := j.ready(); err != nil {
		fail(batch, err)
		return
	}
	room := j.out.reserve(j.at.Offset)
	pos, kept := j.pos, batch[:0:0]
	var data []byte
	for _, q := range batch {
		end := j.at.Offset + int64(len(data)) + maxLine
		if room >= 0 && end+outcomeRoom > room {
			room = j.out.reserve(end)
		}
		if room >= 0 && end+outcomeRoom > room && !q.rec.Kind.Outcome() {
			q.err = fmt.Errorf("write journal %s: %w; free some and run the command again", j.dir, state.ErrFull)
			continue
		}
		if q.err = j.fill(q, pos); q.err != nil {
			continue
		}
		pos.advance(q.rec)
		data = append(data, q.line...)
		kept = append(kept, q)
	}
	if len(kept) == 0 {
		return
	}
	if err := j.flush(data); err != nil {
		fail(kept, err)
		return
	}
	j.pos, j.last = pos, len(kept[len(kept)-1].line)
	j.at.Offset += int64(len(data))
	j.mu.Lock()
	for _, q := range kept {
		j.fold.Apply(q.rec)
	}
	j.mu.Unlock()
	if j.pos.Seq-j.saved >= j.opt.CheckpointEvery {
		_ = j.checkpoint() // it only saves time; Close reports when it fails for good
	}
}

func fail(batch []*request, err error) {
	for _, q := range batch {
		q.err = err
	}
}

// fill completes the record behind pos and encodes it.
func (j *Journal) fill(q *request, pos position) error {
	q.rec.FormatVersion, q.rec.Seq, q.rec.Ack = FormatVersion, pos.Seq+1, j.pos.Seq
	q.rec.Epoch, q.rec.Prev = j.opt.Epoch, pos.Hash
	var err error
	q.line, err = Encode(&q.rec)
	if err == nil && len(q.line) > maxLine {
		err = fmt.Errorf("journal record of %d bytes, at most %d are possible", len(q.line), maxLine)
	}
	return err
}

// flush writes and syncs. When that fails, what was written is taken back; when that fails too, the journal takes no more records until it
// is opened again.
func (j *Journal) flush(data []byte) error {
	_, err := j.out.Write(data)
	if err == nil {
		err = j.out.Sync()
	}
	if err == nil {
		return nil
	}
	err = state.IOError("write journal", filepath.Join(j.dir, j.at.Segment), err)
	if back := errors.Join(j.out.Truncate(j.at.Offset), j.out.Sync()); back != nil {
		j.fault = fmt.Errorf("journal takes no records after a failed write; run the command again: %w", errors.Join(err, back))
		return j.fault
	}
	return err
}

// ready begins a new segment when the one in use is large enough.
func (j *Journal) ready() error {
	if j.fault != nil || j.at.Offset < j.opt.SegmentBytes {
		return j.fault
	}
	return j.rotate()
}

// rotate begins a segment. The one before is complete and synced.
func (j *Journal) rotate() error {
	name := segmentName(j.pos.Seq + 1)
	path := filepath.Join(j.dir, name)
	f, err := j.opt.open(path, 0)
	if err != nil {
		return err
	}
	if err := syncDir(j.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if j.out != nil {
		err = errors.Join(j.out.Truncate(j.at.Offset), j.out.Close())
	}
	j.out, j.at = f, cursor{Segment: name}
	j.last = 0
	return err
}

func (j *Journal) checkpoint() error {
	if j.last == 0 || j.pos.Seq == j.saved {
		return nil
	}
	j.mu.Lock()
	c := checkpoint{At: j.at, Length: j.last, Pos: j.pos, Fold: j.fold.Clone()}
	j.mu.Unlock()
	if err := c.write(j.dir); err != nil {
		return err
	}
	j.saved = j.pos.Seq
	return nil
}

// Close waits for the records under way, writes a checkpoint and closes the file. Nothing can be appended afterwards.
func (j *Journal) Close() error {
	if !j.queue.Close() {
		return nil
	}
	if j.fault != nil {
		return errors.Join(j.fault, j.out.Close())
	}
	return errors.Join(j.checkpoint(), j.out.Truncate(j.at.Offset), j.out.Close())
}
