package app

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// How often a step that says nothing is shown again: on a terminal the line is redrawn, elsewhere a line is added.
const (
	redrawEvery = 500 * time.Millisecond
	remindEvery = 20 * time.Second
)

// imageProgress shows how building or reading an image goes on: one line that is redrawn on a terminal, a line for each step elsewhere.
type imageProgress struct {
	w       io.Writer
	width   int
	redraw  bool
	now     func() time.Time
	name    string
	started time.Time
	stop    chan struct{}
	stopped sync.WaitGroup

	mu      sync.Mutex
	last    image.Event
	printed string
	hit     bool // it was in the store
}

func newImageProgress(e Env, name string) *imageProgress {
	p := &imageProgress{w: e.Err, width: e.ErrStyle.Width, redraw: e.Interactive, now: e.Now, name: name, started: e.Now(), stop: make(chan struct{})}
	every := remindEvery
	if p.redraw {
		every = redrawEvery
	}
	p.stopped.Go(func() { p.keepShowing(every) })
	return p
}

// keepShowing shows that work goes on while no step begins.
func (p *imageProgress) keepShowing(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw(true)
			p.mu.Unlock()
		}
	}
}

// tell is the image.Progress.
func (p *imageProgress) tell(ev image.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = ev
	if ev.Step == "cached" {
		p.hit = true
	}
	if !p.redraw {
		p.draw(false)
	}
}

// draw shows the last event; in plain text one that was shown already is only repeated as a reminder. p.mu is held.
func (p *imageProgress) draw(remind bool) {
	if p.last.Step == "" || p.last.Step == "done" || p.last.Step == "cached" {
		return
	}
	took := view.Duration(p.now().Sub(p.started))
	if p.redraw {
		fmt.Fprint(p.w, "\r\x1b[K"+clipRunes(fmt.Sprintf("%s  %s  %s", p.name, took, eventText(p.last)), p.width))
		return
	}
	if key := p.last.Step + p.last.Text; key != p.printed || remind {
		p.printed = key
		fmt.Fprintf(p.w, "%s: %6s  %s\n", p.name, took, eventText(p.last))
	}
}

// end takes the line off a terminal; nothing is shown afterwards.
func (p *imageProgress) end() {
	close(p.stop)
	p.stopped.Wait()
	if p.redraw {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *imageProgress) cached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

func eventText(ev image.Event) string {
	parts := []string{ev.Step + ":", ev.Text}
	switch {
	case ev.Total > 0:
		parts = append(parts, fmt.Sprintf("%s of %s", view.Bytes(ev.Done), view.Bytes(ev.Total)))
	case ev.Done > 0:
		parts = append(parts, view.Bytes(ev.Done))
	}
	return strings.Join(parts, " ")
}

func clipRunes(text string, width int) string {
	runes := []rune(text)
	if width <= 0 || len(runes) < width {
		return text
	}
	return string(runes[:width-1])
}
