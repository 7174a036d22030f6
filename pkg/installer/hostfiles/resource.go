package hostfiles

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"
	"github.com/vincent-petithory/dataurl"
)

// maxFile bounds one decompressed file, in bytes: a config is small, and a gzip bomb is not.
const maxFile = 64 << 20

// contents decodes a data: URL (RFC 2397), decompresses it where the config says gzip, and checks its hash where one is given.
func contents(r types.Resource) ([]byte, error) {
	if r.Source == nil || *r.Source == "" {
		return nil, nil
	}
	if err := embedded(r); err != nil {
		return nil, err
	}
	u, err := dataurl.DecodeString(*r.Source)
	if err != nil {
		return nil, fmt.Errorf("contents: %w", err)
	}
	if r.Compression == nil || *r.Compression == "" {
		return u.Data, checkHash(r.Verification, u.Data)
	}
	if *r.Compression != "gzip" {
		return nil, fmt.Errorf("%w: compression %q", ErrUnsupported, *r.Compression)
	}
	z, err := gzip.NewReader(bytes.NewReader(u.Data))
	if err != nil {
		return nil, fmt.Errorf("contents: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("contents: %w", err)
	}
	if len(out) > maxFile {
		return nil, fmt.Errorf("contents: more than %d bytes after decompression", maxFile)
	}
	return out, checkHash(r.Verification, out)
}

// checkHash verifies "sha256-HEX" or "sha512-HEX" over the decompressed contents, as the spec says.
func checkHash(v types.Verification, b []byte) error {
	if v.Hash == nil || *v.Hash == "" {
		return nil
	}
	kind, want, _ := strings.Cut(*v.Hash, "-")
	var got string
	switch kind {
	case "sha256":
		sum := sha256.Sum256(b)
		got = hex.EncodeToString(sum[:])
	case "sha512":
		sum := sha512.Sum512(b)
		got = hex.EncodeToString(sum[:])
	default:
		return fmt.Errorf("%w: hash of kind %q", ErrUnsupported, kind)
	}
	if !strings.EqualFold(got, want) {
		return fmt.Errorf("contents: %s is %s, the config says %s", kind, got, want)
	}
	return nil
}
