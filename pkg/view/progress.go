package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// lines draws the progress: one line for the run, one for every op that is under way, at most limit of them.
func progressLines(p engine.Progress, s Style, now time.Time, limit int) []string {
	head := fmt.Sprintf("Stage %d of %d, %s: %d of %d ops done", p.Stage, p.Stages, p.Title, p.Counts[engine.OpDone]+p.Counts[engine.OpHeld], p.Ops)
	if failed := p.Counts[engine.OpFailed] + p.Counts[engine.OpStale] + p.Counts[engine.OpUnknown]; failed > 0 {
		head += ", " + s.paint(ansiRed, fmt.Sprintf("%d failed", failed))
	}
	if p.Waiting > 0 {
		head += fmt.Sprintf(", %d waiting for their turn", p.Waiting)
	}
	if p.Stopping != "" {
		head += ", " + s.paint(ansiYellow, "stopping")
	}
	if p.Paused {
		head += ", " + s.paint(ansiYellow, "paused")
	}
	out := []string{s.paint(ansiBold, head) + "  " + Duration(now.Sub(p.Started))}
	for i, a := range p.Running {
		if i == limit {
			out = append(out, fmt.Sprintf("  … and %d more", len(p.Running)-limit))
			break
		}
		out = append(out, "  "+opProgress(s, a, now))
	}
	return out
}

func opProgress(s Style, a engine.RunningOp, now time.Time) string {
	return fmt.Sprintf("%-12s %-13s %6s  %s", shortSubject(a.Target), a.Kind, Duration(now.Sub(a.Started)), progressText(s, a.Progress))
}

func progressText(s Style, p plan.Progress) string {
	var parts []string
	if p.Text != "" {
		parts = append(parts, p.Text)
	}
	if p.Total > 0 {
		parts = append(parts, fmt.Sprintf("%s %3d%%  %s of %s", bar(p.Done, p.Total), 100*p.Done/p.Total, Bytes(p.Done), Bytes(p.Total)))
	}
	if p.Waiting != "" {
		parts = append(parts, s.paint(ansiDim, "waiting for "+strings.ReplaceAll(p.Waiting, "\n", "; ")))
	}
	return strings.Join(parts, "  ")
}

const barWidth = 20

func bar(done, total int64) string {
	n := int(min(max(done*barWidth/total, 0), barWidth))
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
}

// shortSubject is a subject's own name.
func shortSubject(sub plan.Subject) string {
	if p, ok := sub.Node(); ok {
		return p.Name()
	}
	if n, ok := sub.VM(); ok {
		return "vm " + n
	}
	return strings.ReplaceAll(string(sub), ":", " ")
}
