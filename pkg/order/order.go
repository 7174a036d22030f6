// Package order holds what relay and agent say to each other about one install of one machine: the signed order, its nonce, and the
// reports that come back. The provisioning network is trusted to carry, not to be true: an order is verified against a key that is
// inside the ramdisk before a byte of it is parsed, and nothing in it is secret.
package order

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// FormatVersion is the version of the order and of the reports.
const FormatVersion = 1

// Goal says what an order lets the agent do.
type Goal string

// The goals: Install lays everything down on an empty or consented root disk; Reinstall lays the slots of the node's own root disk down anew, and
// keeps its state partition and every other disk; Slot lets the agent of the running host write its idle slot, and boots no machine.
const (
	Install   Goal = "install"
	Reinstall Goal = "reinstall"
	Slot      Goal = "slot"
)

// Order is the instruction for one install of one machine.
type Order struct {
	FormatVersion int        `json:"format_version"`
	ID            string     `json:"id"`
	Goal          Goal       `json:"goal"`
	Node          model.Path `json:"node"`
	Hostname      string     `json:"hostname"`
	Machine       Machine    `json:"machine"`
	// Nonce is used once: consumed when the first disk is first written. Hexadecimal, 32 digits.
	Nonce       string    `json:"nonce"`
	IssuedAt    time.Time `json:"issued_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	MaxAttempts int       `json:"max_attempts"` // continuations on a disk that carries this nonce, the first attempt included
	Epoch       int64     `json:"epoch"`        // fencing epoch of the lease under which it was issued
	// Spec is the digest of what is installed (image, configuration, disks), by which an observer recognises the result.
	Spec  model.Digest   `json:"spec"`
	Image model.ImageRef `json:"image"` // digest of the signed manifest
	Disks Disks          `json:"disks"`
	// Config is Ignition, spec 3.3.0, byte for byte: its digest is how the configuration is recognised.
	Config []byte `json:"config"`
	// KernelArgs are added to the installed system's kernel command line.
	KernelArgs []string `json:"kernel_args,omitempty"`
}

// Machine is who the order is for. Serial is compared where it is set; at least one MAC must be present on the machine.
type Machine struct {
	Serial string   `json:"serial,omitempty"`
	MACs   []string `json:"macs"`
	// Cables are where its cards are to be connected, as far as that is known.
	Cables []Cable `json:"cables,omitempty"`
}

// Disks says what the agent may write.
type Disks struct {
	Root model.DeviceHints `json:"root"`
	// SlotGiB is the size of each root slot; 0 lets the installer choose.
	SlotGiB int `json:"slot_gib,omitempty"`
	// Consent lists serials of disks whose foreign content may be destroyed; journaled by the issuer.
	Consent []string `json:"consent,omitempty"`
	// Unfinished are nonces of earlier orders for the same node that did not come to their end: a root disk that carries one of them holds
	// nothing but the beginning of an install.
	Unfinished []string `json:"unfinished,omitempty"`
	// Keep are the nonces under which the node's root disk may carry the node's state: that of its last finished install, and those of orders
	// begun since. The state partition of such a disk is kept, whatever the goal is; a disk of any other nonce is laid down anew.
	Keep   []string `json:"keep,omitempty"`
	LUKS   bool     `json:"luks,omitempty"`
	MDRAID bool     `json:"mdraid,omitempty"`
}

// Signed is an order's bytes and their minisign signature. Payload must not be parsed before Verify accepted it.
type Signed struct {
	Payload   []byte `json:"payload"`
	Signature string `json:"signature"` // minisign text form
}

// The ways in which an order is refused.
var (
	ErrSignature = errors.New("signature does not verify")
	ErrExpired   = errors.New("order has expired")
	ErrMachine   = errors.New("order is for another machine")
	ErrConsumed  = errors.New("nonce was used before")
	ErrMalformed = errors.New("order is malformed")
)

// NewNonce returns a fresh nonce.
func NewNonce() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("nonce: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Parse reads the payload of a verified order; unknown fields are refused, since an agent that does not know a field cannot honour it.
func Parse(payload []byte) (Order, error) {
	var o Order
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return Order{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Order{}, fmt.Errorf("%w: more than one value", ErrMalformed)
	}
	return o, o.Validate()
}

// Validate checks the order's form, without regard to time or machine. All mistakes are reported.
func (o Order) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...))
	}
	if o.FormatVersion != FormatVersion {
		wrong("format_version %d, this program knows %d", o.FormatVersion, FormatVersion)
	}
	if o.Goal != Install && o.Goal != Reinstall && o.Goal != Slot {
		wrong("goal %q", o.Goal)
	}
	if o.ID == "" || o.Hostname == "" || o.Node == "" {
		wrong("id, node and hostname must be set")
	}
	if b, err := hex.DecodeString(o.Nonce); err != nil || len(b) != 16 {
		wrong("nonce must be 32 hexadecimal digits")
	}
	if len(o.Machine.MACs) == 0 {
		wrong("no MAC address")
	}
	if !o.Image.Digest.Valid() || !o.Spec.Valid() {
		wrong("image and spec must carry digests")
	}
	if !o.ExpiresAt.After(o.IssuedAt) {
		wrong("expires before it is issued")
	}
	if o.MaxAttempts < 1 {
		wrong("max_attempts must be at least 1")
	}
	if o.Disks.Root.IsZero() {
		wrong("no hint for the root disk")
	}
	return errors.Join(errs...)
}

// CheckTime refuses an order that is not valid at now.
func (o Order) CheckTime(now time.Time) error {
	if now.After(o.ExpiresAt) {
		return fmt.Errorf("%w: at %s, it is %s", ErrExpired, o.ExpiresAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// CheckMachine refuses an order that was written for another machine.
func (o Order) CheckMachine(serial string, macs []string) error {
	if o.Machine.Serial != "" && o.Machine.Serial != serial {
		return fmt.Errorf("%w: serial number %q, the order names %q", ErrMachine, serial, o.Machine.Serial)
	}
	for _, want := range o.Machine.MACs {
		for _, have := range macs {
			if want == have {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: none of %v is on this machine, which has %v", ErrMachine, o.Machine.MACs, macs)
}
