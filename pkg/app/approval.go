package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// signers are the keys that the inventory trusts to sign plans.
func signers(d model.Desired) ([]minisign.PublicKey, error) {
	out := make([]minisign.PublicKey, len(d.Rollout.SignedBy))
	for i, text := range d.Rollout.SignedBy {
		if err := out[i].UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("rollout.signed_by: %w", err)
		}
	}
	return out, nil
}

// readApproved reads the saved plan of an apply, once. Where the inventory names who signs plans, its bytes are verified before anything looks into
// them, and an apply that has no file is refused.
func (s *session) readApproved(o *ApplyOptions) error {
	trusted, err := signers(s.desired)
	if err != nil {
		return err
	}
	if o.Plan.Sign.wanted() && o.SaveTo == "" {
		return errors.New("--sign: only a saved plan can be signed: add -o FILE")
	}
	if o.File == "" && (o.SaveTo != "" || len(trusted) == 0) {
		return nil
	}
	if o.File == "" {
		return errors.New("this inventory has plans signed (rollout.signed_by), so none is made and applied at once; nothing was done: " +
			"save it (plan -o FILE, or upgrade and reinstall with -o FILE), have it reviewed and signed (nuboctl sign FILE), then nuboctl apply FILE")
	}
	file, err := plan.ReadFile(o.File)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if len(trusted) > 0 {
		by, err := approval(o.File, file, trusted)
		if err != nil {
			return err
		}
		s.approver = fmt.Sprintf("%s, plan signed by key %s", whoAmI(), by.KeyID)
		s.env.note("The plan is signed by %s.", by)
	}
	if o.saved, err = plan.Decode(file); err != nil {
		return fmt.Errorf("plan %s: %w", o.File, err)
	}
	return nil
}

// maxSignatureBytes is more than any minisign signature has.
const maxSignatureBytes = 1 << 16

// readSignature reads the signature beside a plan file. Errors wrap fs.ErrNotExist when there is none.
func readSignature(name string) ([]byte, error) {
	f, err := os.Open(name + plan.SignatureSuffix)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSignatureBytes))
}

// approval verifies the signature of a plan that is to be applied.
func approval(name string, file []byte, trusted []minisign.PublicKey) (plan.Signature, error) {
	refused := func(err error) error {
		return fmt.Errorf("plan %s is refused, and was not looked into: %w; one of the keys in rollout.signed_by must sign it: review it (nuboctl show %s), then nuboctl sign %s --key FILE",
			name, err, name, name)
	}
	signature, err := readSignature(name)
	if errors.Is(err, fs.ErrNotExist) {
		return plan.Signature{}, refused(fmt.Errorf("%w: there is no %s", plan.ErrSignature, name+plan.SignatureSuffix))
	}
	if err != nil {
		return plan.Signature{}, refused(err)
	}
	by, err := plan.CheckSignature(file, signature, trusted)
	if err != nil {
		return plan.Signature{}, refused(err)
	}
	return by, nil
}

// signer is who signed a plan, as show and verify tell it. What is not verified was signed with a key that is not known here.
type signer struct {
	plan.Signature
	Verified bool `json:"verified"`
	// Trusted tells that the inventory names the key in rollout.signed_by.
	Trusted bool `json:"trusted"`
}

// String is a sentence.
func (s signer) String() string {
	switch {
	case s.Trusted:
		return fmt.Sprintf("Signed by %s, which this inventory trusts (rollout.signed_by).", s.Signature)
	case s.Verified:
		return fmt.Sprintf("Signed by %s.", s.Signature)
	}
	return fmt.Sprintf("There is a signature of key %s, which is not known here, so it was not checked: name the key with verify --signed-by RW….", s.KeyID)
}

// signedBy verifies the signature beside a plan file by the keys that are known: those given, those that the inventory names and this cloud's own. It
// is an error when a known key is said to have signed and did not, and when none of the keys given has; nil when there is no signature.
func (e Env) signedBy(name string, file []byte, given []string) (*signer, error) {
	wanted, err := signers(model.Desired{Rollout: model.Rollout{SignedBy: given}})
	if err != nil {
		return nil, fmt.Errorf("--signed-by: %w", errors.Unwrap(err))
	}
	signature, err := readSignature(name)
	if errors.Is(err, fs.ErrNotExist) && len(wanted) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w: %w", name, plan.ErrSignature, err)
	}
	trusted := e.trustedSigners()
	known := slices.Concat(wanted, trusted)
	if own, err := minisign.PublicKeyFromFile(filepath.Join(e.stateDir(), "keys", "sign.pub")); err == nil {
		known = append(known, own)
	}
	if len(wanted) > 0 {
		known = wanted
	}
	by, err := plan.CheckSignature(file, signature, known)
	s := &signer{Signature: by, Verified: err == nil}
	s.Trusted = s.Verified && slices.ContainsFunc(trusted, func(k minisign.PublicKey) bool { return k.String() == by.Key })
	if err != nil && (len(wanted) > 0 || !errors.Is(err, plan.ErrUnknownKey)) {
		return nil, fmt.Errorf("plan %s was not looked into: %w", name, err)
	}
	return s, nil
}

// trustedSigners are those of the inventory where there is one; a plan can be read without.
func (e Env) trustedSigners() []minisign.PublicKey {
	if there, _ := filepath.Glob(filepath.Join(e.Dir, "*.hcl")); len(there) == 0 {
		return nil
	}
	inv, list := inventory.Load(e.Dir, inventory.Options{Vars: e.Vars, Env: environment()})
	if list.HasErrors() {
		return nil
	}
	keys, err := signers(inv.Desired)
	if err != nil {
		return nil
	}
	return keys
}
