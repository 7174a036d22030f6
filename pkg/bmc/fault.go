package bmc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The kinds of failure, for errors.Is.
var (
	// ErrUnreachable: no answer, or none that makes sense, in the time there was.
	ErrUnreachable = errors.New("unreachable")
	// ErrBusy: the BMC answers but has no room at the moment, for example no free session.
	ErrBusy = errors.New("busy")
	// ErrAuth: the user name or password is wrong, or the account may not do this.
	ErrAuth = errors.New("not authorised")
	// ErrUntrusted: the BMC did not prove who it is. No credential has left.
	ErrUntrusted = errors.New("not trusted")
	// ErrIdentity: another machine stands behind the address. Nothing was changed.
	ErrIdentity = errors.New("another machine")
	// ErrReverted: the BMC accepted a write, and reads back something else.
	ErrReverted = errors.New("accepted but not kept")
	// ErrUnsupported: the protocol, the BMC or this package does not have the operation.
	ErrUnsupported = errors.New("not supported")
	// ErrInvalid: the target's description is wrong; nothing was sent.
	ErrInvalid = errors.New("invalid target")
)

// remedies is what to do about each kind when nothing better is known.
var remedies = map[error]string{
	ErrUnreachable: "check that the BMC has power and network and that the address and port are its own",
	ErrBusy:        "close other sessions on the BMC (its web page counts), or try again later",
	ErrAuth:        "check the credentials in the inventory and the account's role on the BMC; some BMCs lock an account after a few failures",
	ErrUntrusted:   "compare the certificate with the one on the BMC itself; if it was replaced on purpose, put its pin or authority into the inventory",
	ErrIdentity:    "correct the address or the serial number in the inventory",
	ErrReverted:    "look at the BMC's log; a reset of the BMC or newer firmware often helps",
	ErrUnsupported: "do this step by hand on the BMC, or use another protocol for this machine",
	ErrInvalid:     "correct the machine's bmc block in the inventory",
}

// Error is how every operation of this package fails.
type Error struct {
	// Op is what was tried, for example "set boot device pxe".
	Op string
	// Address is the BMC, without credentials.
	Address string
	// Kind is one of the Err… values.
	Kind error
	// Cause is what came back; may be nil. It holds no password.
	Cause error
	// Remedy is what to do.
	Remedy string

	// pause is for how long the BMC asked to be left alone.
	pause time.Duration
	// again is true of an act that is seen not to have taken effect, and may be asked for again.
	again bool
}

// Transient reports whether it may pass by itself, so that a patient caller tries again: a BMC that is busy or does not answer, and a switch that it has accepted
// and that is seen not to have happened. A wrong password, another machine, a certificate that is not proven and what is not supported do not pass.
func (e *Error) Transient() bool { return e.again || transient(e) }

// Brief is what is the matter, in a few words to be read behind the machine's name.
func (e *Error) Brief() string {
	const most = 100
	text := map[bool]string{false: "is " + e.Kind.Error(), true: "has not done what it accepted"}[e.again]
	if e.Cause == nil {
		return text
	}
	cause := []rune(strings.Join(strings.Fields(e.Cause.Error()), " "))
	if len(cause) > most {
		cause = append(cause[:most], '…')
	}
	return text + " (" + string(cause) + ")"
}

// Error implements error in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "BMC %s: %s: %v", e.Address, e.Op, e.Kind)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", e.Remedy)
	}
	return b.String()
}

// Unwrap gives kind and cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// fault makes an error of a kind; driver code fills in cause, the client op and address.
func fault(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Cause: fmt.Errorf(format, args...), Remedy: remedies[kind]}
}

// advise sets a remedy that fits better than the kind's.
func (e *Error) advise(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

// plain is a cause whose text is cleaned and flat. Of what it came from, only the context's
// errors stay visible: the rest may carry what the BMC sent back, the password among it.
type plain struct {
	text string
	ctx  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.ctx }

// clean makes a plain cause of err, in one line, with the password and other secrets taken out.
func clean(err error, login Credentials, secrets ...string) *plain {
	if err == nil {
		return &plain{text: "no cause is known"}
	}
	text := err.Error()
	for _, form := range append(login.forms(), secrets...) {
		if form != "" {
			text = strings.ReplaceAll(text, form, "[redacted]")
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	text = strings.Join(lines, "; ")
	const most = 600
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return (&plain{text: text}).endedBy(err)
}

// endedBy makes the context's error visible when err holds one.
func (p *plain) endedBy(err error) *plain {
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, ended) {
			p.ctx = ended
		}
	}
	return p
}
