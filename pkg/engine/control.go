package engine

import "sync"

// Control pauses, continues and aborts a run from outside. It is safe for concurrent use, before and after a run as well.
type Control struct {
	mu      sync.Mutex
	paused  bool
	aborted bool
	changed chan struct{}
}

// NewControl makes a control that lets everything go on.
func NewControl() *Control { return &Control{changed: make(chan struct{})} }

// Pause lets what runs finish, and begins nothing until Resume.
func (c *Control) Pause() { c.set(func() { c.paused = true }) }

// Resume goes on after Pause.
func (c *Control) Resume() { c.set(func() { c.paused = false }) }

// Abort stops what runs and ends the run for good.
func (c *Control) Abort() { c.set(func() { c.aborted = true }) }

func (c *Control) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// State tells what was asked for.
func (c *Control) State() (paused, aborted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused, c.aborted
}

// watch returns the state, and a channel that is closed when it changes.
func (c *Control) watch() (paused, aborted bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused, c.aborted, c.changed
}
