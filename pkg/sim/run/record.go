package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// chunk is how many rollouts a line of a record is about.
const chunk = 50

// Settings are what all rollouts of a record have in common beside their seeds.
type Settings struct {
	FormatVersion int    `json:"format_version"`
	Program       string `json:"program"` // the version of nuboctl
	Fleet         string `json:"fleet"`
	// Inventory is the digest of what the fleet was made from; empty where it is generated.
	Inventory model.Digest `json:"inventory,omitempty"`
	Policy    string       `json:"policy"`
	Faults    string       `json:"faults"`
	Without   []string     `json:"without,omitempty"`
	Only      []model.Path `json:"only,omitempty"`
	Method    string       `json:"method,omitempty"`
}

// Record is a file of finished chunks of seeds: its settings in the first line, then a tally a line, each written at once and synced. What was cut off
// when a process died is a last line without an end, and is dropped. One process at a time writes to it.
type Record struct {
	file *os.File
	done map[uint64]Tally // by first seed
}

// OpenRecord opens a record, or begins it. It refuses one of other settings.
func OpenRecord(name string, s Settings) (*Record, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	r := &Record{file: file, done: map[uint64]Tally{}}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("record %s: another process writes to it: %w", name, err), file.Close())
	}
	if err := r.read(s); err != nil {
		return nil, errors.Join(fmt.Errorf("record %s: %w", name, err), file.Close())
	}
	return r, nil
}

// Close closes the file.
func (r *Record) Close() error { return r.file.Close() }

func (r *Record) read(s Settings) error {
	s.FormatVersion = FormatVersion
	all, err := io.ReadAll(r.file)
	if err != nil {
		return err
	}
	whole := all[:bytes.LastIndexByte(all, '\n')+1]
	if err := r.file.Truncate(int64(len(whole))); err != nil {
		return err
	}
	if _, err := r.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if len(whole) == 0 {
		return r.line(s)
	}
	want, err := json.Marshal(s)
	if err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	if !bytes.Equal(lines[0], want) {
		return fmt.Errorf("it is of %s, and this would be of %s; name another file", lines[0], want)
	}
	for i, l := range lines[1:] {
		var t Tally
		if err := json.Unmarshal(l, &t); err != nil {
			return fmt.Errorf("line %d: %w", i+2, err)
		}
		r.done[t.First] = t
	}
	return nil
}

// line appends a value, and sees to it that it stays.
func (r *Record) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := r.file.Write(append(text, '\n')); err != nil {
		return err
	}
	return r.file.Sync()
}

// Recorded carries out a set as Many does, chunk by chunk, and leaves out the chunks that the record has. What it gives is the same as without a record,
// however often it was interrupted. When ctx ends, it is of the chunks that are whole.
func Recorded(ctx context.Context, s Set, r *Record) (Tally, error) {
	out := Tally{First: s.Seed}
	for left := s.Rollouts; left > 0; left -= chunk {
		part := s
		part.Seed, part.Rollouts = s.Seed+uint64(s.Rollouts-left), min(left, chunk)
		t, ok := r.done[part.Seed]
		if !ok || t.Rollouts != part.Rollouts {
			if t = Many(ctx, part); t.Rollouts != part.Rollouts {
				return out, ctx.Err()
			}
			if err := r.line(t); err != nil {
				return out, fmt.Errorf("record %s: %w", r.file.Name(), err)
			}
		}
		out.join(t)
	}
	return out, nil
}
