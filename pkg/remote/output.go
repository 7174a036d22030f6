package remote

import (
	"bytes"
	"io"
	"sync"
)

// capture keeps output up to MaxOutput, or hands it on to the command's own writer.
type capture struct {
	mu   sync.Mutex
	to   io.Writer
	kept bytes.Buffer
	over bool
}

// Write never fails for too much output: the command is to end by itself, and the fault is told afterwards.
func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to != nil {
		if _, err := c.to.Write(p); err != nil {
			return 0, err
		}
	}
	if c.to != nil {
		c.kept.Write(p)
		if extra := c.kept.Len() - tailBytes; extra > tailBytes {
			c.kept.Next(extra)
		}
		return len(p), nil
	}
	room := min(max(MaxOutput-c.kept.Len(), 0), len(p))
	c.kept.Write(p[:room])
	c.over = c.over || room < len(p)
	return len(p), nil
}

// tailBytes is what is kept, at least, of the end of a stream that goes elsewhere: enough for an error message.
const tailBytes = 64 << 10

// bytes gives what was kept; a copy, because the other side may still write after a cancelled command.
func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.kept.Bytes())
}

func (c *capture) overflowed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// outputs are the two streams of one running command.
type outputs struct{ stdout, stderr capture }

func newOutputs(cmd Command) *outputs {
	return &outputs{stdout: capture{to: cmd.Stdout}, stderr: capture{to: cmd.Stderr}}
}

// result gives what goes back to the caller: streams that went elsewhere are left out.
func (o *outputs) result(cmd Command) Result {
	var r Result
	if cmd.Stdout == nil {
		r.Stdout = o.stdout.bytes()
	}
	if cmd.Stderr == nil {
		r.Stderr = o.stderr.bytes()
	}
	return r
}

func (o *outputs) overflowed() bool { return o.stdout.overflowed() || o.stderr.overflowed() }
