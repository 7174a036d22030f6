package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Bounds of a plan file, so that a broken or hostile one cannot fill the memory: 10,000 blades with 500,000 virtual machines are 14 MiB, which
// unpack to 95 MiB, seven times as much.
const (
	maxFileBytes = 256 << 20
	maxPlanBytes = 512 << 20
	maxRatio     = 1000
	smallPlan    = 1 << 20 // below this the ratio does not matter, nor that the header tells no size
)

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
	size, err := unpackedSize(file)
	if err != nil {
		return Plan{}, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(max(uint64(size), smallPlan)), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Plan{}, "", fmt.Errorf("decode plan: %w", err)
	}
	defer r.Close()
	text, err := r.DecodeAll(file, make([]byte, 0, size))
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

// unpackedSize is what the frame's header says that it unpacks to, before anything is unpacked. Where it says nothing, as in files of some bytes, it
// is a bound.
func unpackedSize(file []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(file); err != nil {
		return 0, err
	}
	switch {
	case !h.HasFCS:
		return smallPlan, nil
	case h.FrameContentSize > maxPlanBytes:
		return 0, fmt.Errorf("it would unpack to %d MiB: %w", h.FrameContentSize>>20, zstd.ErrDecoderSizeExceeded)
	case h.FrameContentSize > smallPlan && h.FrameContentSize/maxRatio > uint64(len(file)):
		return 0, fmt.Errorf("it would unpack to more than %d times its size: %w", maxRatio, zstd.ErrDecoderSizeExceeded)
	}
	return int(h.FrameContentSize), nil
}

// ReadFile reads a plan's file, and no more of it than a plan can have: what is given may be a device or a disk's image.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := fmt.Errorf("read %s: %w: it is larger than %d MiB", name, ErrFormat, maxFileBytes>>20)
	if info, err := f.Stat(); err == nil && info.Size() > maxFileBytes {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1)) // a device or a pipe has no size
	if err == nil && len(b) > maxFileBytes {
		err = tooLarge
	}
	return b, err
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
