package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// FormatVersion is the version of the record. A reader refuses every other.
const FormatVersion = 1

const (
	hashKey = `,"hash":"`
	// hashTail is the length of `,"hash":"` + 64 digits + `"}`.
	hashTail = len(hashKey) + 64 + 2
)

// Encode gives the record's line, newline included, and fills in its hash.
func Encode(r *state.Record) ([]byte, error) {
	r.Hash = ""
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode journal record: %w", err)
	}
	r.Hash = digest(body)
	line := make([]byte, 0, len(body)+hashTail)
	line = append(line, body[:len(body)-1]...)
	line = append(line, hashKey...)
	line = append(line, r.Hash...)
	return append(line, '"', '}', '\n'), nil
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Decode reads one line without its newline; an error means that it is not what encode wrote.
func Decode(line []byte) (state.Record, error) {
	var r state.Record
	cut := len(line) - hashTail
	if cut < 1 || !bytes.HasPrefix(line[cut:], []byte(hashKey)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return r, fmt.Errorf("record without a hash: %w", state.ErrDamaged)
	}
	body := append(bytes.Clone(line[:cut]), '}')
	if digest(body) != string(line[cut+len(hashKey):len(line)-2]) {
		return r, fmt.Errorf("record does not match its hash: %w", state.ErrDamaged)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("%w: %w", state.ErrDamaged, err)
	}
	if r.FormatVersion != FormatVersion {
		return r, fmt.Errorf("record has format_version %d, this program knows %d; use the nuboctl that wrote it", r.FormatVersion, FormatVersion)
	}
	return r, nil
}

// position is the end of the chain so far.
type position struct {
	Seq   int64  `json:"seq"`
	Hash  string `json:"hash"`
	Epoch int64  `json:"epoch"`
}

// follows checks that r is the record right behind the position.
func (p position) follows(r state.Record) error {
	switch {
	case r.Seq != p.Seq+1:
		return fmt.Errorf("record %d where %d belongs: %w", r.Seq, p.Seq+1, state.ErrDamaged)
	case r.Prev != p.Hash:
		return fmt.Errorf("record %d does not continue record %d: %w", r.Seq, p.Seq, state.ErrDamaged)
	}
	return nil
}

// advance goes on behind r. The epoch is the newest so far: holders of different regions may have written in turns, in a store that they share.
func (p *position) advance(r state.Record) {
	*p = position{Seq: r.Seq, Hash: r.Hash, Epoch: max(p.Epoch, r.Epoch)}
}
