package manifest

import (
	"encoding/json"
	"fmt"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Signed is a manifest as it travels: its canonical bytes and a minisign signature over them (https://jedisct1.github.io/minisign,
// the text of a .minisig file). As JSON the payload is base64.
type Signed struct {
	Payload   []byte `json:"payload"`
	Signature string `json:"signature"`
}

// Sign signs a manifest's canonical bytes. The trusted comment names the image for whoever reads the signature.
func Sign(payload []byte, key minisign.PrivateKey) (Signed, error) {
	m, err := Parse(payload)
	if err != nil {
		return Signed{}, fmt.Errorf("will not sign: %w", err)
	}
	comment := fmt.Sprintf("nubo image %s %s %s", m.Name, m.Version, Digest(payload))
	signature := minisign.SignWithComments(key, payload, comment, "nubo image manifest")
	return Signed{Payload: payload, Signature: string(signature)}, nil
}

// Verify reports, by nil, that one of the trusted keys signed exactly these bytes. It does not look into them. Errors wrap
// ErrSignature.
func Verify(payload []byte, signature string, trusted ...minisign.PublicKey) error {
	for _, key := range trusted {
		if minisign.Verify(key, payload, []byte(signature)) {
			return nil
		}
	}
	return fmt.Errorf("image manifest: %w against any of %d trusted keys; sign the image with a key that is trusted here, or trust its key",
		ErrSignature, len(trusted))
}

// Open verifies the signature, then that the bytes are the image asked for, and only then parses. An empty want accepts any
// digest.
func Open(s Signed, want model.Digest, trusted ...minisign.PublicKey) (*Manifest, error) {
	if err := Verify(s.Payload, s.Signature, trusted...); err != nil {
		return nil, err
	}
	if got := Digest(s.Payload); want != "" && got != want {
		return nil, fmt.Errorf("%w: asked for image %s, got %s", ErrMalformed, want, got)
	}
	return Parse(s.Payload)
}

// DecodeSigned reads the envelope; what is inside is not looked at. Errors wrap ErrMalformed.
func DecodeSigned(envelope []byte) (Signed, error) {
	var s Signed
	if len(envelope) > 2*MaxBytes {
		return s, fmt.Errorf("%w: envelope of %d bytes", ErrMalformed, len(envelope))
	}
	if err := json.Unmarshal(envelope, &s); err != nil {
		return s, fmt.Errorf("%w: envelope: %w", ErrMalformed, err)
	}
	return s, nil
}
