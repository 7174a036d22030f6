// Package app is all wiring: each command of nuboctl is a function with an options struct, which opens what it needs, calls the packages below,
// and shows the result. Flags are read in cmd/nuboctl and nowhere else.
package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// Version is set by the linker, else by what Go knows of the commit that a program is built from.
var Version = unknownVersion

const unknownVersion = "unknown"

func init() {
	if b, ok := debug.ReadBuildInfo(); ok && Version == unknownVersion {
		Version = builtFrom(b)
	}
}

// builtFrom is the version of the module, or the commit of the working copy.
func builtFrom(b *debug.BuildInfo) string {
	if v := b.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, changed := unknownVersion, ""
	for _, s := range b.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "-dirty"
		}
	}
	return revision + changed
}

// Exit codes of nuboctl; see docs/operators-guide.md.
const (
	ExitDone        = 0
	ExitError       = 1
	ExitChanges     = 2 // plan --detailed-exitcode
	ExitRefused     = 3
	ExitLocked      = 4
	ExitStale       = 5
	ExitHalted      = 6
	ExitInterrupted = 130
)

// Exit is an error that carries an exit code. Shown tells that the command has already said what there is to say.
type Exit struct {
	Code  int
	Err   error
	Shown bool
}

// Error is the message of the error inside.
func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the error inside.
func (e *Exit) Unwrap() error { return e.Err }

// ExitCode is what the process should end with.
func ExitCode(err error) int {
	var e *Exit
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &e):
		return e.Code
	default:
		return ExitError
	}
}

// Env is what every command gets: where it works, what it may print, and how it looks.
type Env struct {
	Dir      string            // the inventory
	Vars     map[string]string // -var NAME=VALUE
	StateDir string            // empty: Dir/.nubo
	Images   string            // the image store; empty: the user's cache directory
	JSON     bool
	Yes      bool // answer every question with yes
	// Interactive tells that a person is there to be asked and to watch: stdin and stderr are terminals.
	Interactive bool
	In          io.Reader
	Out         io.Writer // results
	Err         io.Writer // progress and diagnostics
	OutStyle    view.Style
	ErrStyle    view.Style
	Now         func() time.Time
	Log         *slog.Logger
}

// again is a command line for a shell which means the same inventory as this call does.
func (e Env) again(words ...string) string {
	line := []string{"nuboctl"}
	if e.Dir != "." && e.Dir != "" {
		line = append(line, "-C", e.Dir)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Vars)) {
		line = append(line, "--var", name+"="+e.Vars[name])
	}
	if e.StateDir != "" {
		line = append(line, "--state", e.StateDir)
	}
	return remote.QuoteAll(append(line, words...))
}

func (e Env) stateDir() string {
	if e.StateDir != "" {
		return e.StateDir
	}
	return filepath.Join(e.Dir, ".nubo")
}

func (e Env) imageDir() (string, error) {
	if e.Images != "" {
		return e.Images, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep images: %w; name a directory with --images", err)
	}
	return filepath.Join(cache, "nuboctl", "images"), nil
}

// note tells a person something on stderr.
func (e Env) note(format string, args ...any) {
	fmt.Fprintf(e.Err, format+"\n", args...)
}
