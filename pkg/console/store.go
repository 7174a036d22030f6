package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// The bounds of what is kept. A record of full size has about 100 KiB.
const (
	maxLines   = 400      // of a console
	maxBytes   = 64 << 10 // of a console
	maxRecords = 200      // in all; the oldest go
)

// FormatVersion is that of Record.
const FormatVersion = 1

// Record is what a machine said last before an op on it failed. Seq is the journal's record of that failure.
type Record struct {
	FormatVersion int        `json:"format_version"`
	Seq           int64      `json:"seq"`
	Time          time.Time  `json:"time"`
	Run           string     `json:"run"`
	Node          model.Path `json:"node"`
	Op            plan.OpID  `json:"op"`
	Error         string     `json:"error"`
	// Source says where the console's lines come from; empty: there are none, and Missing says why.
	Source  string   `json:"source,omitempty"`
	Missing string   `json:"missing,omitempty"`
	Console []string `json:"console"`
	Agent   []string `json:"agent,omitempty"` // the installer's own last lines
}

// Store is the directory of the records. It holds what machines have printed, so only its owner can read it.
type Store struct{ Dir string }

// ErrNotFound says that nothing was kept.
var ErrNotFound = errors.New("no console is kept")

// Entry names a record without reading it.
type Entry struct {
	Seq  int64
	Node model.Path
	file string
}

// name is that of a record's file; paths have no underscore.
func name(r Record) string {
	return fmt.Sprintf("%010d-%s.json", r.Seq, strings.ReplaceAll(string(r.Node), "/", "_"))
}

// Put keeps a record, and drops the oldest ones beyond the bound.
func (s Store) Put(r Record) error {
	r.FormatVersion = FormatVersion
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("keep the console of %s: %w", r.Node, err)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("keep the console of %s: %w", r.Node, err)
	}
	tmp, err := os.CreateTemp(s.Dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep the console of %s: %w", r.Node, err)
	}
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(s.Dir, name(r)))
	}
	if err != nil {
		return fmt.Errorf("keep the console of %s: %w", r.Node, errors.Join(err, os.Remove(tmp.Name())))
	}
	return s.prune()
}

func (s Store) prune() error {
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range list[:max(0, len(list)-maxRecords)] {
		if err := os.Remove(filepath.Join(s.Dir, e.file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop an old console: %w", err)
		}
	}
	return nil
}

// List names all records, oldest first.
func (s Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("consoles that are kept: %w", err)
	}
	var out []Entry
	for _, f := range files {
		var e Entry
		var node string
		base, ok := strings.CutSuffix(f.Name(), ".json")
		if n, err := fmt.Sscanf(base, "%d-%s", &e.Seq, &node); !ok || err != nil || n != 2 {
			continue
		}
		e.Node, e.file = model.Path(strings.ReplaceAll(node, "_", "/")), f.Name()
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return int(a.Seq - b.Seq) })
	return out, nil
}

// Read reads a record.
func (s Store) Read(e Entry) (Record, error) {
	var r Record
	text, err := os.ReadFile(filepath.Join(s.Dir, e.file))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && r.FormatVersion != FormatVersion {
		err = fmt.Errorf("format_version %d, this program knows %d", r.FormatVersion, FormatVersion)
	}
	if err != nil {
		return r, fmt.Errorf("console %s: %w", e.file, err)
	}
	return r, nil
}

// Newest is the newest record of a node, or the one of a journal record when seq is not 0. Errors wrap ErrNotFound.
func (s Store) Newest(node func(model.Path) bool, seq int64) (Record, error) {
	list, err := s.List()
	if err != nil {
		return Record{}, err
	}
	for _, e := range slices.Backward(list) {
		if seq == e.Seq || seq == 0 && node(e.Node) {
			return s.Read(e)
		}
	}
	return Record{}, ErrNotFound
}
