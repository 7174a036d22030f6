package remote

import (
	"errors"
	"fmt"
	"strings"
)

// What can go wrong with a host, for errors.Is. Only ErrUnreachable may pass by itself, so only it is worth trying again.
var (
	// ErrUnreachable: no connection, or it broke. Whether a command that was under way has ended is not known.
	ErrUnreachable = errors.New("host cannot be reached")
	// ErrAuth: the host refused the user's key or certificate.
	ErrAuth = errors.New("host refused the login")
	// ErrHostKey: the host showed another key than the one known, or none is known. Nothing was sent to it.
	ErrHostKey = errors.New("host key is not the known one")
	// ErrRefused: the host answered, but would not open the channel: nothing listens at the address, or sshd forbids it.
	ErrRefused = errors.New("host refused the channel")
	// ErrSecretInArgs: a secret value is in the command line, which other users of the host can read.
	ErrSecretInArgs = errors.New("secret value in a command line: pass it by stdin or file")
	// ErrTooMuchOutput: the command printed more than MaxOutput.
	ErrTooMuchOutput = errors.New("command printed more than can be kept")
)

// Error tells what was tried on which host, and what to do. It wraps one of the sentinels above.
type Error struct {
	Host   string // the target's name and address
	Op     string // what was tried
	Remedy string // what to do; may be empty
	Err    error
}

// Error gives "HOST: OP: what came back; remedy".
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s: %s", e.Host, e.Op, Redact(e.Err.Error()))
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitError is a command that ran and did not end with status 0.
type ExitError struct {
	Host    string
	Command string // redacted
	Code    int    // exit status; -1 when a signal ended it
	Signal  string // without SIG; empty when it exited
	Stderr  string // redacted, last lines only
}

// Error gives host, command, status and the end of stderr.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != "" {
		how = "killed by signal " + e.Signal
	}
	text := fmt.Sprintf("%s: %s: %s", e.Host, e.Command, how)
	if e.Stderr != "" {
		text += ": " + strings.ReplaceAll(e.Stderr, "\n", " | ")
	}
	return text
}

// ExitCode gives the status of a command that ran: 0 for nil, the code of an ExitError, and false when err is something else.
func ExitCode(err error) (int, bool) {
	var exit *ExitError
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, &exit):
		return exit.Code, true
	}
	return 0, false
}

// lastLines keeps the end of what a command wrote to stderr.
func lastLines(text string, lines, bytes int) string {
	text = strings.TrimSpace(text)
	if all := strings.Split(text, "\n"); len(all) > lines {
		text = strings.Join(all[len(all)-lines:], "\n")
	}
	if len(text) > bytes {
		text = "…" + strings.ToValidUTF8(text[len(text)-bytes:], "")
	}
	return text
}

// exitError makes an ExitError with everything in it redacted.
func (c Command) exitError(host string, code int, signal string, stderr []byte) *ExitError {
	return &ExitError{
		Host: host, Command: c.String(), Code: code, Signal: signal,
		Stderr: lastLines(c.redact(string(stderr)), 10, 2000),
	}
}
