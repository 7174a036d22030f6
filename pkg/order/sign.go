package order

import (
	"encoding/json"
	"fmt"

	"aead.dev/minisign"
)

// Sign validates the order and signs its bytes.
func Sign(o Order, key minisign.PrivateKey) (Signed, error) {
	if err := o.Validate(); err != nil {
		return Signed{}, err
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return Signed{}, fmt.Errorf("order %s: %w", o.ID, err)
	}
	return Signed{Payload: payload, Signature: string(minisign.Sign(key, payload))}, nil
}

// Open verifies the signature against the trusted keys and only then parses. The error wraps ErrSignature or ErrMalformed.
func Open(s Signed, trusted ...minisign.PublicKey) (Order, error) {
	for _, key := range trusted {
		if minisign.Verify(key, s.Payload, []byte(s.Signature)) {
			return Parse(s.Payload)
		}
	}
	return Order{}, fmt.Errorf("order: %w against any of %d trusted keys", ErrSignature, len(trusted))
}
