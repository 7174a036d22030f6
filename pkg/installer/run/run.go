// Package run starts the machine's own tools (sfdisk, mkfs, mount, chroot) for the installer: one port, its real implementation, and
// errors that say what was tried and what came back. Nothing goes through a shell.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Cmd is one command. Stdin may be nil: the tool then reads an empty input.
type Cmd struct {
	Name  string
	Args  []string
	Stdin []byte
}

// New returns a command without input.
func New(name string, args ...string) Cmd { return Cmd{Name: name, Args: args} }

// Chroot returns the command run with root as its root directory.
func Chroot(root string, args ...string) Cmd {
	return Cmd{Name: "chroot", Args: append([]string{root}, args...)}
}

// String is the command as a person would type it; arguments with blanks are quoted.
func (c Cmd) String() string {
	words := []string{c.Name}
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\n\"'") {
			a = fmt.Sprintf("%q", a)
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Runner runs one command to its end and returns its standard output. The error names the command, its exit status and the end of its
// standard error.
type Runner interface {
	Run(ctx context.Context, c Cmd) ([]byte, error)
}

// Exec runs commands on this machine. Log, where set, gets each command before it starts.
type Exec struct {
	Log func(line string)
}

// Run implements Runner.
func (e Exec) Run(ctx context.Context, c Cmd) ([]byte, error) {
	if e.Log != nil {
		e.Log("+ " + c.String())
	}
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), &out, &errs
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive")
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	said := tail(strings.TrimSpace(errs.String()+"\n"+out.String()), 600)
	return out.Bytes(), fmt.Errorf("%s: %w: %s", c, err, said)
}

// ExitCode is the exit status inside an error of Exec, or -1 when the command did not run to its end.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// tail keeps the last n bytes, from a line's beginning where there is one.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < len(s)-1 {
		s = s[i+1:]
	}
	return "…" + s
}
