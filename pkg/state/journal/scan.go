package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// cursor is a place between two records: a segment file and a byte offset in it.
type cursor struct {
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
}

// badLine is a line that is not the next record. Whether it may be cut off depends on where it stands and on what follows.
type badLine struct {
	at    cursor
	after position
	line  []byte // with its newline, if it has one
	err   error
}

func (b *badLine) Error() string {
	return fmt.Sprintf("journal %s, byte %d, behind record %d: %v", b.at.Segment, b.at.Offset, b.after.Seq, b.err)
}

func (b *badLine) Unwrap() error { return b.err }

// complete reports whether the line has its newline. One without is what a crash, or a writer at work, leaves.
func (b *badLine) complete() bool { return bytes.HasSuffix(b.line, []byte{'\n'}) }

// scan reads the records of one segment from an offset on, each checked against the chain, until its end, fn's end or a *badLine.
func scan(dir string, at *cursor, pos *position, fn func(state.Record, int) bool) error {
	path := filepath.Join(dir, at.Segment)
	f, err := os.Open(path)
	if err != nil {
		return state.IOError("read journal", path, err)
	}
	defer f.Close()
	if _, err := f.Seek(at.Offset, io.SeekStart); err != nil {
		return state.IOError("read journal", path, err)
	}
	in := bufio.NewReaderSize(f, 1<<18)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return state.IOError("read journal", path, err)
		}
		r, bad := next(line, *pos)
		if bad != nil {
			return &badLine{at: *at, after: *pos, line: line, err: bad}
		}
		pos.advance(r)
		at.Offset += int64(len(line))
		if !fn(r, len(line)) {
			return nil
		}
	}
}

func next(line []byte, pos position) (state.Record, error) {
	body, ok := bytes.CutSuffix(line, []byte{'\n'})
	if !ok {
		return state.Record{}, fmt.Errorf("record has no end: %w", state.ErrDamaged)
	}
	r, err := Decode(body)
	if err != nil {
		return r, err
	}
	return r, pos.follows(r)
}

// torn reports whether a bad line at the end of the newest segment is what a crash left of records that nobody was told were safe. It is
// not when the line is whole JSON, since a crash cuts or leaves holes but does not edit; nor when a later record says that it was safe.
func torn(dir string, b *badLine) (bool, error) {
	if b.complete() && (json.Valid(b.line) || safe(b.line, b.after.Seq)) {
		return false, nil
	}
	path := filepath.Join(dir, b.at.Segment)
	f, err := os.Open(path)
	if err != nil {
		return false, state.IOError("read journal", path, err)
	}
	defer f.Close()
	in := bufio.NewReader(io.NewSectionReader(f, b.at.Offset+int64(len(b.line)), 1<<62))
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, state.IOError("read journal", path, err)
		}
		if safe(line, b.after.Seq) {
			return false, nil
		}
	}
}

// safe reports whether a line, whatever it begins with, ends with a whole record that says that a record behind seq was safe.
func safe(line []byte, seq int64) bool {
	i := bytes.LastIndex(line, []byte(`{"format_version":`))
	if i < 0 {
		return false
	}
	r, err := Decode(bytes.TrimSuffix(line[i:], []byte{'\n'}))
	return err == nil && r.Ack > seq
}
