package view

import (
	"encoding/json"
	"fmt"
	"io"
)

// Counter shows how many of many things are done, on one line of a terminal; elsewhere it is silent.
type Counter struct {
	w      io.Writer
	style  Style
	what   string
	redraw bool
	shown  bool
}

// NewCounter makes a counter. Step may be called from one goroutine at a time.
func NewCounter(w io.Writer, s Style, what string, redraw bool) *Counter {
	return &Counter{w: w, style: s, what: what, redraw: redraw}
}

// Step tells that one more is done.
func (c *Counter) Step(done, total int, name string) {
	if !c.redraw {
		return
	}
	c.shown = true
	fmt.Fprintf(c.w, "\r\x1b[K%s", clip(fmt.Sprintf("%s: %d of %d  %s", c.what, done, total, c.style.paint(ansiDim, name)), c.style.Width))
}

// Done takes the line off the screen.
func (c *Counter) Done() {
	if c.shown {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
}

func jsonLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
