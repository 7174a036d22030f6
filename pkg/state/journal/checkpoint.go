package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const checkpointName = "checkpoint.json"

// checkpoint is where reading may begin: the fold of every record up to Pos, whose line ends at At. It is never newer than the records
// on disk, and losing it costs only time.
type checkpoint struct {
	FormatVersion int      `json:"format_version"`
	At            cursor   `json:"at"`
	Length        int      `json:"length"` // of the line that ends at At
	Pos           position `json:"pos"`
	Fold          Fold     `json:"fold"`
	Sum           string   `json:"sum,omitempty"`
}

// sum covers everything but itself.
func (c checkpoint) sum() (string, error) {
	c.Sum = ""
	data, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode journal checkpoint: %w", err)
	}
	return digest(data), nil
}

func (c checkpoint) write(dir string) error {
	var err error
	c.FormatVersion = FormatVersion
	if c.Sum, err = c.sum(); err != nil {
		return err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode journal checkpoint: %w", err)
	}
	return writeFile(dir, checkpointName, append(data, '\n'))
}

// readCheckpoint returns the checkpoint, and false when there is none that can be used, so that everything must be read.
func readCheckpoint(dir string) (checkpoint, bool, error) {
	var c checkpoint
	path := filepath.Join(dir, checkpointName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, state.IOError("read journal checkpoint", path, err)
	}
	if json.Unmarshal(data, &c) != nil || c.FormatVersion != FormatVersion {
		return checkpoint{}, false, nil
	}
	if sum, err := c.sum(); err != nil || sum != c.Sum {
		return checkpoint{}, false, err
	}
	return c, true, c.verify(dir)
}

// verify checks that the record the checkpoint ends with is where it says: otherwise records that were safe are gone.
func (c checkpoint) verify(dir string) error {
	if c.Pos.Seq == 0 {
		return nil
	}
	path := filepath.Join(dir, c.At.Segment)
	f, err := os.Open(path)
	if err != nil {
		return c.missing(path, err)
	}
	defer f.Close()
	line := make([]byte, c.Length)
	if _, err := f.ReadAt(line, c.At.Offset-int64(c.Length)); err != nil {
		return c.missing(path, err)
	}
	r, err := Decode(line[:len(line)-1])
	if err == nil && r.Hash != c.Pos.Hash {
		err = fmt.Errorf("it holds record %d: %w", r.Seq, state.ErrDamaged)
	}
	if err != nil {
		return c.missing(path, err)
	}
	return nil
}

func (c checkpoint) missing(path string, err error) error {
	return fmt.Errorf("journal %s: record %d, which was safely on disk, is not there: %w (%w); restore the journal, or move it away to begin a new one",
		path, c.Pos.Seq, state.ErrDamaged, err)
}
