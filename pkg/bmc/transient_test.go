package bmc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestWhatMayPassByItself says of each kind of failure whether it is worth waiting, and how it is told.
func TestWhatMayPassByItself(t *testing.T) {
	for kind, want := range map[error]bool{
		ErrUnreachable: true, ErrBusy: true, ErrAuth: false, ErrUntrusted: false, ErrIdentity: false, ErrReverted: false, ErrUnsupported: false, ErrInvalid: false,
	} {
		if got := fault(kind, "x").Transient(); got != want {
			t.Errorf("%v: %v, want %v", kind, got, want)
		}
	}
	c := &client{addr: Address{Protocol: Redfish, Host: "bmc"}}
	for want, err := range map[string]error{
		"is busy (HTTP 503)":                   fault(ErrBusy, "HTTP 503"),
		"is unreachable (connection refused)":  errors.New("connection refused"),
		"is unreachable (no cause is known)":   &Error{Kind: ErrUnreachable},
		"has not done what it accepted (x: y)": &Error{Kind: ErrReverted, Cause: fmt.Errorf("x: %w", errors.New("y")), again: true},
	} {
		var e *Error
		if !errors.As(c.wrap("log in", err), &e) || !e.Transient() || e.Brief() != want {
			t.Errorf("%v is told as %q, want %q", err, e.Brief(), want)
		}
	}
	if long := fault(ErrBusy, "%s", strings.Repeat("ü", 500)).Brief(); len([]rune(long)) > 120 {
		t.Errorf("what is told in brief has %d characters", len([]rune(long)))
	}
}
