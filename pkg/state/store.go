package state

import (
	"context"
	"time"
)

// Store is the port of every driver. Reading needs no lease and never waits for a writer; writing needs the fence of a lease that is held.
// A driver is safe for concurrent use. state/statetest holds its conformance suite.
type Store interface {
	// Get returns one entry; an absent key is ErrNotFound.
	Get(ctx context.Context, bucket, key string) (Entry, error)
	// List returns the entries whose keys begin with prefix, sorted by key.
	List(ctx context.Context, bucket, prefix string) ([]Entry, error)
	// Commit makes all writes or none. It fails with ErrFenced when the fence is no longer the newest of its scope or was never
	// acquired, with ErrConflict when a write's condition does not hold, and with ErrFull when there is no room.
	Commit(ctx context.Context, f Fence, writes ...Write) error
	// Acquire takes the lease of a scope (a place; "" is everything) without waiting. ErrLocked, as a *LockedError, names who has it.
	// Scopes that contain one another exclude each other.
	Acquire(ctx context.Context, scope string, by Holder) (Lease, error)
	// Close gives up every lease taken through this handle and frees what it uses.
	Close() error
}

// Entry is one key with its value. Rev changes with every write of the key, grows, and is never 0.
type Entry struct {
	Key   string
	Value []byte
	Rev   int64
}

// Write is one change of one key. A nil Value removes it.
type Write struct {
	Bucket string
	Key    string
	Value  []byte
	// If is the condition under which the write is made.
	If Condition
}

// Condition guards a write; the zero value allows it always.
type Condition struct {
	// Absent asks that the key is not there.
	Absent bool
	// Rev, unless 0, asks that the key is at this revision.
	Rev int64
}

// Fence proves a lease: the newest acquisition of a scope has the highest epoch, and every older one is refused from then on.
type Fence struct {
	Scope string `json:"scope"`
	Epoch int64  `json:"epoch"`
}

// Holder is who has a lease.
type Holder struct {
	User    string    `json:"user"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Lease is held from Acquire until Release, loss, or the end of the process.
type Lease interface {
	// Fence is what writes made under the lease carry.
	Fence() Fence
	// Lost is closed when the lease can no longer be relied on, early enough for acts that are under way to stop before another holder
	// may begin. It is closed by Release as well.
	Lost() <-chan struct{}
	// Release gives the lease up. Releasing twice is no error.
	Release() error
}
