package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// maxPlanBytes bounds what a plan file may unpack to, so that a broken or hostile file cannot fill the memory.
const maxPlanBytes = 1 << 30

// ErrFormat says that a file is no plan of a version this program knows.
var ErrFormat = errors.New("not a plan file")

// Encode gives the plan's file: canonical JSON in one zstd frame. The same plan always gives the same bytes.
func Encode(p Plan) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return w.EncodeAll(text, nil), nil
}

// Decode reads a plan file. It refuses unknown fields, other versions and files that are not in canonical form, and validates the plan.
func Decode(file []byte) (Plan, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPlanBytes), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Plan{}, fmt.Errorf("decode plan: %w", err)
	}
	defer r.Close()
	text, err := r.DecodeAll(file, nil)
	if err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var version struct {
		FormatVersion int `json:"format_version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if version.FormatVersion != FormatVersion {
		return Plan{}, fmt.Errorf("%w: format_version %d, this program knows %d; use the nuboctl that wrote it", ErrFormat, version.FormatVersion, FormatVersion)
	}
	var p Plan
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	again, err := json.Marshal(p)
	if err != nil || !bytes.Equal(again, text) {
		return Plan{}, fmt.Errorf("%w: it is not in canonical form, so it was not written by nuboctl", ErrFormat)
	}
	return p, Validate(p)
}
