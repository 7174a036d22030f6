package kvm

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// Secret is the key of a Ceph user as libvirt keeps it. Its value is in none of the types of this package: it goes to libvirt through its own
// protocol, inside the SSH connection, and cannot be read back from there.
type Secret struct {
	UUID  string `json:"uuid"`
	Usage string `json:"usage"` // unique on the host, such as "client.vms of lab/r1"
	// Scope says what the key opens, in the caller's words without ';'.
	Scope string `json:"scope,omitempty"`
	// Print is the start of the value's SHA-256, which tells whether the value is another one; empty when libvirt has none.
	Print string `json:"print,omitempty"`
}

// printOf tells values apart. A Ceph key has 128 random bits, so its digest gives nothing away.
func printOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:6])
}

// secretPrefix begins the description of a secret that was made here: print and scope follow.
const secretPrefix = "nuboctl; "

// Secrets are those that this package made, sorted by UUID.
func (c *Conn) Secrets(ctx context.Context) ([]Secret, error) {
	var texts []string
	err := c.call(ctx, "list secrets", func() error {
		list, _, err := c.lib.ConnectListAllSecrets(1, 0)
		for _, s := range list {
			text, err := c.lib.SecretGetXMLDesc(s, 0)
			if libvirt.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Secret
	for _, text := range texts {
		var x libvirtxml.Secret
		if err := x.Unmarshal(text); err != nil {
			return nil, fmt.Errorf("libvirt's description of a secret: %w", err)
		}
		if rest, ours := strings.CutPrefix(x.Description, secretPrefix); ours && x.Usage != nil {
			print, scope, _ := strings.Cut(rest, "; ")
			out = append(out, Secret{UUID: x.UUID, Usage: x.Usage.Name, Print: print, Scope: scope})
		}
	}
	slices.SortFunc(out, func(a, b Secret) int { return strings.Compare(a.UUID, b.UUID) })
	return out, nil
}

// EnsureSecret gives libvirt the key of a Ceph user, base64 as Ceph writes it, under a UUID and a usage. It reports whether anything changed.
func (c *Conn) EnsureSecret(ctx context.Context, want Secret, value []byte) (changed bool, err error) {
	id, err := parseUUID(want.UUID)
	if err != nil {
		return false, fmt.Errorf("secret %q: its UUID %q: %w", want.Usage, want.UUID, err)
	}
	// Libvirt wants the bytes, and hands them to QEMU in base64 again.
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(value)))
	n, err := base64.StdEncoding.Decode(raw, value)
	if err != nil || n == 0 || want.Usage == "" {
		return false, fmt.Errorf("secret %s: a usage and a value in base64 are needed", want.UUID) // the error would show the value
	}
	have, err := c.Secrets(ctx)
	if err != nil {
		return false, err
	}
	want.Print = printOf(value)
	if slices.Contains(have, want) {
		return false, nil
	}
	// The value first, the description that vouches for it last: what breaks between is done again.
	blank := want
	blank.Print = ""
	define := func(s Secret) func() error {
		return func() error {
			text, err := s.xml()
			if err != nil {
				return err
			}
			_, err = c.lib.SecretDefineXML(text, 0)
			return err
		}
	}
	err = c.call(ctx, "define a secret", define(blank))
	if err == nil {
		err = c.call(ctx, "set a secret", func() error {
			return c.lib.SecretSetValue(libvirt.Secret{UUID: id, UsageType: int32(libvirt.SecretUsageTypeCeph), UsageID: want.Usage}, raw[:n], 0)
		})
	}
	if err == nil {
		err = c.call(ctx, "define a secret", define(want))
	}
	if err != nil {
		return false, fmt.Errorf("secret %s (%s): %w", want.UUID, want.Usage, err)
	}
	return true, nil
}

func (s Secret) xml() (string, error) {
	x := libvirtxml.Secret{Ephemeral: "no", Private: "yes", UUID: s.UUID, Description: secretPrefix + s.Print + "; " + s.Scope, Usage: &libvirtxml.SecretUsage{Type: "ceph", Name: s.Usage}}
	text, err := x.Marshal()
	if err != nil {
		return "", fmt.Errorf("describe a secret to libvirt: %w", err)
	}
	return text, nil
}

// RemoveSecret forgets a secret that was made here; no error when there is none.
func (c *Conn) RemoveSecret(ctx context.Context, id string) error {
	have, err := c.Secrets(ctx)
	if err != nil || !slices.ContainsFunc(have, func(s Secret) bool { return s.UUID == id }) {
		return err
	}
	u, err := parseUUID(id)
	if err != nil {
		return fmt.Errorf("secret %q: %w", id, err)
	}
	err = c.call(ctx, "undefine a secret", func() error { return c.lib.SecretUndefine(libvirt.Secret{UUID: u}) })
	if errors.Is(err, ErrNoDomain) {
		return nil
	}
	return err
}

// parseUUID reads the usual form of a UUID (RFC 9562, section 4).
func parseUUID(text string) (id libvirt.UUID, err error) {
	digits := strings.ReplaceAll(text, "-", "")
	if len(text) != 36 || len(digits) != 32 {
		return id, errors.New("it is not 8-4-4-4-12 hexadecimal digits")
	}
	_, err = hex.Decode(id[:], []byte(digits))
	return id, err
}
