package state

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// What a store or a journal can refuse.
var (
	// ErrNotFound: the key is not there.
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else changed the key in between.
	ErrConflict = errors.New("changed in between")
	// ErrFenced: the lease under which this was tried has been given up or taken over.
	ErrFenced = errors.New("lease is no longer held")
	// ErrLocked: another process holds the lease; the error is a *LockedError.
	ErrLocked = errors.New("locked by someone else")
	// ErrFull: there is no room on the disk. What was acknowledged before is kept.
	ErrFull = errors.New("no space left on the disk")
	// ErrDamaged: a file is not what was written; nothing is overwritten when this is found.
	ErrDamaged = errors.New("damaged or edited")
)

// LockedError says who holds a lease, since when, and how to take over.
type LockedError struct {
	Scope  string
	Holder Holder
	// Remedy is what to do to get the lease.
	Remedy string
}

// Error names holder, time and remedy in one line.
func (e *LockedError) Error() string {
	h := e.Holder
	who := "another process"
	if h.PID != 0 {
		who = fmt.Sprintf("%s@%s, process %d (%s), since %s", h.User, h.Host, h.PID, h.Command, h.Since.Format(time.RFC3339))
	}
	what := "the state"
	if e.Scope != "" {
		what = e.Scope
	}
	return fmt.Sprintf("%s is %s: held by %s; %s", what, ErrLocked, who, e.Remedy)
}

// Unwrap makes errors.Is(err, ErrLocked) hold.
func (e *LockedError) Unwrap() error { return ErrLocked }

// IOError wraps an error of reading or writing a file: what was tried, on what. A full disk becomes ErrFull with what to do.
func IOError(tried, path string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s %s: %w (%w); free some and run the command again", tried, path, ErrFull, err)
	}
	return fmt.Errorf("%s %s: %w", tried, path, err)
}
