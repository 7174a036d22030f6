package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// LiveOptions say how a run is shown.
type LiveOptions struct {
	// JSON writes every event as one line to the results; nothing else is shown.
	JSON bool
	// Redraw keeps what is under way on the screen and draws it anew; without it there are plain lines.
	Redraw bool
	// Now is the clock for elapsed times; nil: time.Now.
	Now func() time.Time
}

// How often the screen is drawn anew, and a plain line is written about an op that goes on.
const (
	redrawEvery = 500 * time.Millisecond
	repeatEvery = 15 * time.Second
	liveOps     = 20
)

// Live shows a run while it goes on. It is an engine.Observer.
type Live struct {
	out, err io.Writer
	style    Style
	opt      LiveOptions

	mu      sync.Mutex
	tracker *engine.Tracker
	drawn   int // lines on the screen that will be drawn over
	last    map[plan.OpID]said
	text    map[plan.OpID]string // what a running op said of itself last
	failed  error                // the first failure to write results
	stop    chan struct{}
	once    sync.Once
	stopped sync.WaitGroup
}

// said is what a plain line last told of an op.
type said struct {
	text string
	at   time.Time
}

// NewLive begins to show a run: events to out as JSON, or progress to err. Close ends it.
func NewLive(out, err io.Writer, s Style, o LiveOptions) *Live {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Live{out: out, err: err, style: s, opt: o, tracker: engine.NewTracker(nil), last: map[plan.OpID]said{}, text: map[plan.OpID]string{}, stop: make(chan struct{})}
	if o.Redraw && !o.JSON {
		l.stopped.Go(l.tick)
	}
	return l
}

// tick draws anew so that times go on while nothing happens.
func (l *Live) tick() {
	t := time.NewTicker(redrawEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.mu.Lock()
			l.draw()
			l.mu.Unlock()
		case <-l.stop:
			return
		}
	}
}

// Event implements engine.Observer.
func (l *Live) Event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Kind == engine.OpProgress && e.Progress != nil && e.Progress.Text != "" {
		l.text[e.Op] = e.Progress.Text
	}
	l.tracker.Event(e)
	if l.opt.JSON {
		if err := json.NewEncoder(l.out).Encode(e); err != nil && l.failed == nil {
			l.failed = err
		}
		return
	}
	if line := l.line(e); line != "" {
		l.erase()
		fmt.Fprintln(l.err, line)
	}
	l.draw()
}

// Progress is how far the run is.
func (l *Live) Progress() engine.Progress { return l.tracker.Progress() }

// Close stops drawing and leaves what was written. Closing twice is no error.
func (l *Live) Close() {
	l.once.Do(func() { close(l.stop) })
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

// line is what stays on the screen about an event, empty for most.
func (l *Live) line(e engine.Event) string {
	switch e.Kind {
	case engine.RunStarted:
		return strings.TrimSpace(fmt.Sprintf("Run %s: %s %s", e.Run, Plural(e.Ops, "op"), e.Text))
	case engine.RunPaused:
		return l.style.paint(ansiYellow, "Paused"+by(e)+": what runs will finish, nothing new begins. To go on: nuboctl resume")
	case engine.RunYielding:
		return l.style.paint(ansiYellow, "Giving way"+by(e)+": what changes something will finish, then this run stops. Applied again, it goes on")
	case engine.RunContinued:
		return "Going on" + by(e) + "."
	case engine.RunStopping:
		return l.style.paint(ansiYellow, "Stopping: "+e.Error)
	case engine.OpStarted:
		if !l.opt.Redraw {
			info, _ := e.OpKind.Info()
			return fmt.Sprintf("  ...  %-12s %-13s %s", shortSubject(e.Target), e.OpKind, info.Verb)
		}
	case engine.OpProgress:
		return l.plainProgress(e)
	case engine.OpEnded:
		return l.ended(e)
	}
	return ""
}

// by tells who asked for it, where that is known.
func by(e engine.Event) string {
	if e.Text == "" {
		return ""
	}
	return ", as " + e.Text + " asked"
}

// plainProgress tells what changed, and now and then that nothing has.
func (l *Live) plainProgress(e engine.Event) string {
	if l.opt.Redraw || e.Progress == nil {
		return ""
	}
	text := e.Progress.Text + e.Progress.Waiting
	was := l.last[e.Op]
	if text == was.text && e.Time.Sub(was.at) < repeatEvery {
		return ""
	}
	l.last[e.Op] = said{text, e.Time}
	return fmt.Sprintf("       %-12s %-13s %s", shortSubject(e.Target), e.OpKind, progressText(l.style, *e.Progress))
}

func (l *Live) ended(e engine.Event) string {
	mark, color := "done", ansiGreen
	switch e.Status {
	case engine.OpDone:
	case engine.OpHeld:
		mark = "was"
	case engine.OpSkipped:
		mark, color = "skip", ansiDim
	case engine.OpInterrupted:
		mark, color = "stop", ansiYellow
	default:
		mark, color = "FAIL", ansiRed
	}
	took := ""
	if e.ElapsedMs > 0 {
		took = Duration(time.Duration(e.ElapsedMs) * time.Millisecond)
	}
	text := e.Text
	if text == "" && e.Status == engine.OpDone {
		text = l.text[e.Op]
	}
	delete(l.text, e.Op)
	delete(l.last, e.Op)
	if e.Error != "" {
		text = firstLine(e.Error)
	}
	return strings.TrimRight(fmt.Sprintf("%s %-12s %-13s %6s  %s", l.style.paint(color, fmt.Sprintf("%6s", mark)), shortSubject(e.Target), e.OpKind, took, text), " ")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// draw writes what is under way below what stays.
func (l *Live) draw() {
	if !l.opt.Redraw || l.opt.JSON {
		return
	}
	p := l.tracker.Progress()
	if p.Run == "" || p.Result != "" {
		return
	}
	lines := progressLines(p, l.style, l.opt.Now(), liveOps)
	l.erase()
	for _, line := range lines {
		fmt.Fprintln(l.err, clip(line, l.style.Width))
	}
	l.drawn = len(lines)
}

// erase takes what draw wrote off the screen.
func (l *Live) erase() {
	if l.drawn > 0 {
		fmt.Fprintf(l.err, "\x1b[%dA\x1b[J", l.drawn)
		l.drawn = 0
	}
}

// clip keeps a line from wrapping, which would put the next drawing in the wrong place. Colour codes take no room.
func clip(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	var b strings.Builder
	room, escape := width-1, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case room == 0:
			continue
		default:
			room--
		}
		b.WriteRune(r)
	}
	return b.String()
}
