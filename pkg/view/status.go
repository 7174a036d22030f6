package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// StatusInput is what StatusText shows.
type StatusInput struct {
	Running     bool
	Holder      *state.Holder
	Holders     []state.Holder // when they are several
	Paused      bool
	Run         *engine.Progress
	Interrupted []state.RunState
}

// StatusText tells what is going on, or what was interrupted and what to do.
func StatusText(w io.Writer, s Style, in StatusInput) error {
	var b strings.Builder
	switch {
	case in.Running:
		running(&b, s, in)
	case len(in.Interrupted) == 0:
		b.WriteString("Nothing is going on, and nothing was interrupted.\n")
	default:
		for _, r := range in.Interrupted {
			interrupted(&b, s, r)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func running(b *strings.Builder, s Style, in StatusInput) {
	list := in.Holders
	if len(list) == 0 && in.Holder != nil {
		list = append(list, *in.Holder)
	}
	for _, h := range list {
		fmt.Fprintf(b, "%s is at work: %s@%s, process %d, since %s\n", h.Command, h.User, h.Host, h.PID, h.Since.Format(time.RFC3339))
	}
	if len(list) > 1 {
		b.WriteString("Of one of them: nuboctl status PLACE\n")
		return
	}
	if in.Run == nil || in.Run.Run == "" {
		b.WriteString("It has not begun to carry out a plan, or does not answer.\n")
		return
	}
	p := *in.Run
	p.Paused = in.Paused
	for _, line := range progressLines(p, s, p.Updated, len(p.Running)) {
		fmt.Fprintln(b, line)
	}
}

func interrupted(b *strings.Builder, s Style, r state.RunState) {
	done := 0
	for _, o := range r.Ops {
		if o.Last == state.KindDone {
			done++
		}
	}
	fmt.Fprintf(b, "%s run %s of plan %s, approved by %s at %s: %s done\n", s.paint(ansiYellow, "Interrupted:"), r.ID, r.Plan.Short(), r.By,
		r.Started.Format(time.RFC3339), Plural(done, "op"))
	open := r.Open()
	slices.SortFunc(open, func(x, y state.Record) int { return cmp.Compare(x.OpID, y.OpID) })
	for _, rec := range open {
		fmt.Fprintf(b, "  was under way: %s, since %s\n", rec.OpID, rec.Time.Format(time.RFC3339))
	}
	failed := slices.Collect(maps.Keys(r.Ops))
	failed = slices.DeleteFunc(failed, func(id plan.OpID) bool { return r.Ops[id].Last != state.KindFailed })
	slices.Sort(failed)
	for _, id := range failed {
		fmt.Fprintf(b, "  had failed: %s: %s\n", id, firstLine(r.Ops[id].Error))
	}
	b.WriteString("  nuboctl apply would go on:\n")
	for _, line := range next(open, failed) {
		fmt.Fprintf(b, "    %s\n", line)
	}
}

// next is what apply would do about an interrupted run, in its order.
func next(open []state.Record, failed []plan.OpID) []string {
	var out []string
	for _, rec := range open {
		line := fmt.Sprintf("look whether %s took effect; if it did, go on behind it, if not, do it again", rec.OpID)
		if rec.Op != nil {
			if info, _ := rec.Op.Kind.Info(); info.Destructive {
				line = fmt.Sprintf("look whether %s took effect; if it did, go on behind it, if not, go on with it under the approval it has, at most as often as that allows", rec.OpID)
			}
		}
		out = append(out, line+"; when that cannot be told, leave that target alone and say so")
	}
	for _, id := range failed {
		out = append(out, fmt.Sprintf("look what %s has changed, and try it again", id))
	}
	return append(out, "look at everything else, and do what is still to do; the same saved plan goes on as this run, another one takes its place")
}

// JournalText lists records, one line each, or as JSON lines. Those whose machine's console is kept say so.
func JournalText(w io.Writer, s Style, list []state.Record, consoles map[int64]bool, asJSON bool) error {
	for _, r := range list {
		if asJSON {
			if err := jsonLine(w, r); err != nil {
				return err
			}
			continue
		}
		text := cmp.Or(r.Error, r.Text)
		if r.By != "" {
			text = strings.TrimSpace("by " + r.By + " " + text)
		}
		if text = firstLine(text); consoles[r.Seq] {
			text += fmt.Sprintf(" (console: nuboctl journal console %d)", r.Seq)
		}
		color := map[state.Kind]string{state.KindFailed: ansiRed, state.KindDone: ansiGreen, state.KindUnknown: ansiRed, state.KindInterrupted: ansiYellow}[r.Kind]
		if _, err := fmt.Fprintf(w, "%6d  %s  epoch %-3d %s %s\n", r.Seq, r.Time.UTC().Format(time.RFC3339), r.Epoch,
			s.paint(color, fmt.Sprintf("%-11s", r.Kind)), strings.TrimSpace(cmp.Or(string(r.OpID), r.Run)+"  "+text)); err != nil {
			return err
		}
	}
	return nil
}

// About reports whether a record is about a target: a node's name or path, a subject, or a run.
func About(r state.Record, target string) bool {
	if target == "" {
		return false
	}
	if r.Run == target || string(r.OpID) == target {
		return true
	}
	_, sub, _ := strings.Cut(string(r.OpID), " ")
	_, name, _ := strings.Cut(sub, ":")
	return sub == target || (name != "" && (model.Path(target).Contains(model.Path(name)) || model.Path(name).Name() == target))
}

// ObservedText shows what was seen, one line per node.
func ObservedText(w io.Writer, s Style, o model.Observed) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-14s %-8s %-10s %-10s %s\n", "NODE", "POWER", "ORDER", "HOST", "")
	for _, n := range o.Nodes {
		host, more := "silent", n.Host.Error
		if n.Host.Reachable {
			host, more = cmp.Or(n.Host.Release, "up"), fmt.Sprintf("kernel %s, slot %s, libvirt %s, OVS %s", n.Host.Kernel, n.Host.Slot, cmp.Or(n.Host.Libvirt, "-"), cmp.Or(n.Host.OVSVersion, "-"))
		}
		if !n.Host.Cordoned.IsZero() {
			more = "cordoned until " + n.Host.Cordoned.UTC().Format(time.RFC3339) + ", " + more
		}
		if n.BMC.Error != "" {
			more = n.BMC.Error
		}
		fmt.Fprintf(&b, "%-14s %-8s %-10s %-10s %s\n", n.Path.Name(), cmp.Or(n.BMC.Power, model.PowerUnknown), cmp.Or(n.Order.Phase, "-"), host, s.paint(ansiDim, firstLine(more)))
	}
	for _, vm := range o.VMs {
		fmt.Fprintf(&b, "vm %-14s %s on %s\n", vm.Name, vm.State, vm.Node.Name())
	}
	_, err := io.WriteString(w, b.String())
	return err
}
