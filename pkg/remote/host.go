package remote

import (
	"context"
	"io"
	"io/fs"
	"net"
	"time"
)

// Host is a machine on which things can be run. Implementations are safe for use by several goroutines.
type Host interface {
	// Run executes the command and waits for its end. A command that ends with a status other than 0 gives an *ExitError beside the
	// output. When ctx ends first, its error is returned; the process is killed where the server allows it (see Command.Limit).
	Run(ctx context.Context, cmd Command) (Result, error)
	// Write replaces a file in one step: a reader sees the old content or all of the new one, also after a crash.
	Write(ctx context.Context, file File) error
	// Dial connects from the host to one of its own addresses: network is "unix" or "tcp". The connection may outlive ctx.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Command is one thing to run: either Argv or Script, never both.
type Command struct {
	// Argv is the program and its arguments; quoting is done here and nowhere else.
	Argv []string
	// Script is text for `sh -eu`. The kernel limits it to 128 KiB.
	Script string
	// Stdin is what the command reads; nil means nothing (/dev/null).
	Stdin io.Reader
	// Stdout and Stderr, where set, get the output as it comes, instead of Result. What is written there is not redacted.
	Stdout, Stderr io.Writer
	// Sudo runs it as root by `sudo -n`, which fails where a password would be asked for.
	Sudo bool
	// Limit, where set, ends the command on the host itself (coreutils timeout, exit code 124), whatever becomes of the connection.
	// It is rounded up to seconds.
	Limit time.Duration
	// Epoch, where set, is the fencing epoch of the caller's lease: the host refuses one older than the newest it has seen. Set by Fenced.
	Epoch int64
	// EpochFile is where the host keeps the newest; empty: FenceFile.
	EpochFile string
	// Secrets are values that must not be shown: they are taken out of every error, and refused in Argv and Script.
	Secrets []string
}

// Result is what a command printed; at most MaxOutput of each.
type Result struct {
	Stdout, Stderr []byte
}

// MaxOutput bounds what is kept of a command's stdout and of its stderr, in bytes; a longer output is an error (ErrTooMuchOutput).
const MaxOutput = 32 << 20

// File is a file to be written on a host.
type File struct {
	// Path is absolute; its directory must exist.
	Path string
	// Mode holds permission bits; 0 means 0644.
	Mode fs.FileMode
	// Owner is "user" or "user:group" as chown takes it; empty means whoever writes.
	Owner string
	// Content is read twice (digest, then bytes), from its start.
	Content io.ReadSeeker
	// Sudo writes as root.
	Sudo bool
}
