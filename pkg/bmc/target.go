package bmc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"slices"
	"time"
)

// Target describes one BMC and what is expected behind it.
type Target struct {
	// Address is in metal3's grammar: see ParseAddress.
	Address string
	// Credentials log in.
	Credentials Credentials
	// Trust says how the BMC proves who it is.
	Trust Trust
	// Expect is compared with the machine when the session is opened.
	Expect Expect
	// Firmware is asked for with every boot override when it is set.
	Firmware Firmware
	// Settle is how long a write may take to be read back, power excepted; 10 seconds when zero.
	Settle time.Duration
	// Repeat is how long a switch of power may show nothing before it is asked for once more; 30 seconds when zero.
	Repeat time.Duration
	// Log receives retries and fallbacks; nil discards.
	Log *slog.Logger
}

// Credentials are a user and a password. They print without the password.
type Credentials struct {
	// User is the account's name.
	User string
	// Password is its secret; at most 20 bytes over IPMI.
	Password string
}

// String hides the password.
func (c Credentials) String() string { return c.User + ":[redacted]" }

// GoString hides the password.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the password.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText refuses: credentials are written nowhere.
func (c Credentials) MarshalText() ([]byte, error) {
	return nil, errors.New("BMC credentials are not written anywhere")
}

// forms are the ways in which the password may come back from a BMC, the longest first.
func (c Credentials) forms() []string {
	if c.Password == "" {
		return nil
	}
	list := []string{
		c.Password, url.QueryEscape(c.Password), url.PathEscape(c.Password),
		base64.StdEncoding.EncodeToString([]byte(c.User + ":" + c.Password)), html.EscapeString(c.Password),
	}
	if quoted, err := json.Marshal(c.Password); err == nil {
		list = append(list, string(quoted[1:len(quoted)-1]))
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// Expect is what the machine behind the BMC must be.
type Expect struct {
	// Serial is its serial number; empty expects nothing. Case and spaces around it do not matter.
	Serial string
	// AllowUnknown lets Open succeed when the BMC tells no serial number at all; the caller
	// sees that in an empty Identity.Serial and decides. Otherwise that is ErrIdentity.
	AllowUnknown bool
}

func (t Target) settle() time.Duration {
	if t.Settle > 0 {
		return t.Settle
	}
	return 10 * time.Second
}

func (t Target) repeat() time.Duration {
	if t.Repeat > 0 {
		return t.Repeat
	}
	return 30 * time.Second
}

func (t Target) logger() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.New(slog.DiscardHandler)
}

// check finds what is wrong with a target before anything is sent.
func (t Target) check(a Address) error {
	if t.Credentials.User == "" || t.Credentials.Password == "" {
		return errors.New("user and password are required")
	}
	if a.Protocol == IPMI && (len(t.Credentials.User) > 16 || len(t.Credentials.Password) > 20) {
		return errors.New("IPMI 2.0 takes at most 16 bytes of user name and 20 bytes of password")
	}
	switch t.Firmware {
	case "", UEFI, BIOS:
	default:
		return fmt.Errorf("firmware %q is not known: %s or %s", t.Firmware, UEFI, BIOS)
	}
	return t.Trust.check(a)
}
