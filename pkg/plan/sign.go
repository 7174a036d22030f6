package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// SignatureSuffix is what minisign puts behind a file's name for its detached signature (https://jedisct1.github.io/minisign).
const SignatureSuffix = ".minisig"

// ErrSignature says that a plan file is not signed by anybody who is trusted here.
var ErrSignature = errors.New("no valid signature")

// ErrUnknownKey says, beside ErrSignature, that the key which is said to have signed is not known here, so that nothing was checked.
var ErrUnknownKey = errors.New("the key is not known here")

// Signature is what a verified signature tells. KeyID is written as minisign writes it.
type Signature struct {
	KeyID   string `json:"key_id"`
	Key     string `json:"public_key"`
	Comment string `json:"trusted_comment"`
}

// String is the signature in a few words.
func (s Signature) String() string { return fmt.Sprintf("key %s, %q", s.KeyID, s.Comment) }

// Sign gives the detached signature of a plan file. It signs nothing but plans that are well formed; the trusted comment names the plan, its goal
// and the time.
func Sign(file []byte, key minisign.PrivateKey, at time.Time) ([]byte, model.Digest, error) {
	p, digest, err := Parse(file)
	if err == nil {
		err = Validate(p)
	}
	if err != nil {
		return nil, "", fmt.Errorf("will not sign: %w", err)
	}
	comment := fmt.Sprintf("nubo plan %s %s, signed %s", p.Goal, digest, at.UTC().Format(time.RFC3339))
	return minisign.SignWithComments(key, file, comment, "nubo plan"), digest, nil
}

// CheckSignature verifies that one of the trusted keys signed exactly these bytes, which it does not look into. Errors wrap ErrSignature.
func CheckSignature(file, signature []byte, trusted []minisign.PublicKey) (Signature, error) {
	s, err := ReadSignature(signature)
	if err != nil {
		return Signature{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	known := false
	for _, key := range trusted {
		known = known || keyID(key.ID()) == s.KeyID
		if minisign.Verify(key, file, signature) {
			s.Key = key.String()
			return s, nil
		}
	}
	if known {
		return s, fmt.Errorf("%w: key %s is trusted and did not sign these bytes: the plan or its signature was changed", ErrSignature, s.KeyID)
	}
	return s, unknownKey{s.KeyID, len(trusted)}
}

type unknownKey struct {
	id      string
	trusted int
}

func (e unknownKey) Error() string {
	return fmt.Sprintf("%s: key %s signed it, which is none of the trusted ones (%d)", ErrSignature, e.id, e.trusted)
}

func (e unknownKey) Is(target error) bool { return target == ErrSignature || target == ErrUnknownKey }

// ReadSignature reads who claims to have signed. Nothing of it is proven.
func ReadSignature(signature []byte) (Signature, error) {
	var m minisign.Signature
	if err := m.UnmarshalText(signature); err != nil {
		return Signature{}, fmt.Errorf("not a minisign signature: %w", err)
	}
	return Signature{KeyID: keyID(m.KeyID), Comment: m.TrustedComment}, nil
}

func keyID(id uint64) string { return strings.ToUpper(fmt.Sprintf("%016x", id)) }
