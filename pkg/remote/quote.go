package remote

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Quote gives s as one word of a POSIX shell (XCU 2.2.2): unchanged when it holds only safe characters, otherwise single-quoted.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, unsafeRune) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// unsafeRune reports whether a shell might see more in r than the character itself. "=" and "~" are safe only inside words that
// do not start with them, so they are not listed as safe.
func unsafeRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("-_./:,@%+", r)
}

// QuoteAll quotes every word and joins them with spaces.
func QuoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Line gives the command line as it is sent to the host's shell, or an error when the command is not well-formed.
func (c Command) Line() (string, error) {
	front, argv, err := c.words()
	if err != nil {
		return "", err
	}
	front = append(front, c.fence()...)
	line := QuoteAll(append(front, argv...))
	for _, secret := range c.Secrets {
		if secret != "" && (strings.Contains(line, secret) || strings.Contains(strings.Join(argv, " "), secret)) {
			return "", fmt.Errorf("%w: %s", ErrSecretInArgs, c.redact(line))
		}
	}
	return line, nil
}

// words gives the argument vector, and what goes in front of it: sudo and timeout.
func (c Command) words() (front, argv []string, err error) {
	argv = c.Argv
	switch {
	case len(c.Argv) > 0 && c.Script != "":
		return nil, nil, errors.New("command has both arguments and a script: give one of them")
	case c.Script != "":
		argv = []string{"sh", "-euc", c.Script}
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return nil, nil, errors.New("command is empty: give arguments or a script")
	}
	for _, w := range argv {
		if strings.ContainsRune(w, 0) {
			return nil, nil, fmt.Errorf("command has a NUL byte in an argument: %q", c.redact(w))
		}
	}
	if c.Sudo {
		front = append(front, "sudo", "-n", "--")
	}
	if c.Limit > 0 {
		seconds := int64(math.Ceil(c.Limit.Seconds()))
		front = append(front, "timeout", "--kill-after=5", fmt.Sprint(seconds))
	}
	return front, argv, nil
}

// String gives the line for people: redacted, shortened, one line.
func (c Command) String() string {
	front, argv, err := c.words()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	line := c.redact(strings.Join(strings.Fields(QuoteAll(append(front, argv...))), " "))
	const most = 200
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}
