package plan

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// maxPlanBytes bounds what a plan file may unpack to, so that a broken or hostile file cannot fill the memory.
const maxPlanBytes = 1 << 30

// ErrFormat says that a file is no plan of a version this program knows.
var ErrFormat = errors.New("not a plan file")

// Encode gives the plan's file: canonical JSON in one zstd frame. The same plan always gives the same bytes.
func Encode(p Plan) ([]byte, error) {
	file, _, err := EncodeDigest(p)
	return file, err
}

// EncodeDigest is Encode with the plan's digest, for which a large plan would have to be written a second time.
func EncodeDigest(p Plan) ([]byte, model.Digest, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, "", fmt.Errorf("encode plan: %w", err)
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, "", fmt.Errorf("encode plan: %w", err)
	}
	return w.EncodeAll(text, nil), model.DigestBytes(text), nil
}

// Decode reads a plan file. It refuses unknown fields, other versions and files that are not in canonical form, and validates the plan.
func Decode(file []byte) (Plan, error) {
	p, _, err := Parse(file)
	if err != nil {
		return Plan{}, err
	}
	return p, Validate(p)
}

// Parse is Decode without Validate, for who validates anyway; it also tells the plan's digest, which it has at hand.
func Parse(file []byte) (Plan, model.Digest, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPlanBytes), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Plan{}, "", fmt.Errorf("decode plan: %w", err)
	}
	defer r.Close()
	text, err := r.DecodeAll(file, nil)
	if err != nil {
		return Plan{}, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var p Plan
	err = readCanonical(string(text), &p)
	if err == nil && p.FormatVersion == FormatVersion {
		return p, model.DigestBytes(text), nil
	}
	return Plan{}, "", whyNot(text, err)
}

// whyNot explains why a text is no plan: it is no JSON, of another version, or not as nuboctl writes it.
func whyNot(text []byte, fault error) error {
	var version struct {
		FormatVersion int `json:"format_version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if version.FormatVersion != FormatVersion {
		return fmt.Errorf("%w: format_version %d, this program knows %d; use the nuboctl that wrote it", ErrFormat, version.FormatVersion, FormatVersion)
	}
	return fmt.Errorf("%w: it is not in canonical form, so it was not written by nuboctl: %w", ErrFormat, fault)
}
