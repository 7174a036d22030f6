package view

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
)

// Summary tells how a run ended: how long each part took, and for everything that went wrong what was tried, what came back and what to do.
// As JSON there is nothing to add: the events have told it.
func (l *Live) Summary(r engine.Result) error {
	if l.opt.JSON {
		return l.failed
	}
	var b strings.Builder
	s := l.style
	for _, o := range r.With(engine.OpFailed, engine.OpStale, engine.OpUnknown, engine.OpInterrupted) {
		failure(&b, s, o)
	}
	if n := len(r.With(engine.OpSkipped)); n > 0 {
		fmt.Fprintf(&b, "%s not begun, because something before failed or the run stopped.\n", Plural(n, "op"))
	}
	fmt.Fprintf(&b, "\n%s\n", endText(s, r))
	_, err := fmt.Fprint(l.err, b.String())
	return err
}

func endText(s Style, r engine.Result) string {
	took := Duration(r.Ended.Sub(r.Started).Round(time.Millisecond))
	done, held := len(r.With(engine.OpDone)), len(r.With(engine.OpHeld))
	counts := fmt.Sprintf("%d done", done)
	if held > 0 {
		counts += fmt.Sprintf(", %d were so already", held)
	}
	counts += " in " + took
	switch r.Kind {
	case engine.Done:
		return s.paint(ansiBold+ansiGreen, "Done.") + " " + Plural(len(r.Ops), "op") + ": " + counts + "."
	case engine.Interrupted:
		return s.paint(ansiBold+ansiYellow, "Interrupted.") + " " + counts + ". Apply again to go on where this stopped."
	case engine.Halted:
		return s.paint(ansiBold+ansiYellow, "Halted by a gate.") + " " + counts + ". Apply again to go on."
	case engine.Stale:
		return s.paint(ansiBold+ansiRed, "Stale.") + " " + counts + ". The world has moved since the plan was made: plan again."
	case engine.Aborted:
		return s.paint(ansiBold+ansiRed, "Aborted.") + " " + counts + ". The next plan begins from what is there."
	default:
		text := s.paint(ansiBold+ansiRed, "Failed.") + " " + counts + ". Apply again when the cause is mended: what is done is not done again."
		if r.Err != nil {
			text += "\n" + r.Err.Error()
		}
		return text
	}
}

func failure(b *strings.Builder, s Style, o engine.OpResult) {
	fmt.Fprintf(b, "\n%s %s\n", s.paint(ansiBold+ansiRed, map[engine.Status]string{
		engine.OpFailed: "Failed:", engine.OpStale: "Stale:", engine.OpUnknown: "Not known:", engine.OpInterrupted: "Interrupted:"}[o.Status]),
		s.paint(ansiBold, o.Op.String()))
	if o.Err == nil {
		return
	}
	fmt.Fprintf(b, "%s\n", indent("  ", o.Err.Error()))
	var log interface{ Log() []string }
	if errors.As(o.Err, &log) && len(log.Log()) > 0 {
		fmt.Fprintf(b, "  Its last lines:\n%s\n", indent("    │ ", strings.Join(log.Log(), "\n")))
	}
	var remedy interface{ Remedy() string }
	if errors.As(o.Err, &remedy) && remedy.Remedy() != "" {
		fmt.Fprintf(b, "%s\n", indent("  ", s.paint(ansiCyan, "What to do: ")+remedy.Remedy()))
	}
}
