package view

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// shownBatches is how many batches are listed from the beginning and from the end.
const shownBatches = 5

// rolloutText explains a certificate: the whole, each zone, what the grade falls short of, and the first and last batches or all of them.
func rolloutText(b *strings.Builder, s Style, c *plan.Certificate, all bool) {
	r := RolloutOf(c)
	fmt.Fprintf(b, "%s %s.\n", s.paint(ansiBold, "Rollout:"), r.headline())
	fmt.Fprintf(b, "%s %s; %s is asked for. %s\n\n", s.paint(ansiBold, "Grade"), s.paint(ansiBold+ansiGreen, gradeText(c.Grade)), gradeText(c.Policy.Survive), gradeMeaning(c.Grade))
	zoneTable(b, r)
	shortText(b, s, r)
	batchTable(b, c, all)
}

func gradeMeaning(g plan.Grade) string {
	var parts []string
	for _, m := range []struct{ letter, text string }{
		{"A", "I/O and virtual machines go on in every batch"}, {"B", "also while one more failure domain is lost"},
		{"C", "no data is lost if one more failure domain is lost"},
	} {
		if strings.Contains(string(g), m.letter) {
			parts = append(parts, m.text)
		}
	}
	if len(parts) == 0 {
		return "Nothing is promised."
	}
	return strings.ToUpper(parts[0][:1]) + strings.Join(parts, "; ")[1:] + "."
}

func zoneTable(b *strings.Builder, r Rollout) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  zone\thosts\tbatches\tat least\ttime\tat least\tmigrations\tgrade\twhat binds\n")
	for _, z := range r.Zones {
		fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%s\t%s\t%d\t%s\t%s\n", z.Zone, z.Hosts, z.Rounds, z.RoundsLowerBound, seconds(z.PredictedSeconds), seconds(z.SecondsLowerBound), z.Moves, gradeText(z.Grade), z.BindingConstraint)
	}
	_ = w.Flush() // into a strings.Builder
	b.WriteByte('\n')
}

// shortText says what the grade falls short of: one reason for each letter of each zone is enough to act on.
func shortText(b *strings.Builder, s Style, r Rollout) {
	var lines []string
	for _, z := range r.Zones {
		for _, letter := range []string{"B", "C"} {
			if strings.Contains(string(z.Grade), letter) {
				continue
			}
			if i := slices.IndexFunc(z.Short, func(t string) bool { return strings.HasPrefix(t, letter) }); i >= 0 {
				lines = append(lines, fmt.Sprintf("  %s: %s", z.Zone, z.Short[i]))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(b, s.paint(ansiYellow, "Falls short of:"))
	const most = 16
	for _, l := range lines[:min(len(lines), most)] {
		fmt.Fprintln(b, l)
	}
	if n := len(lines) - most; n > 0 {
		fmt.Fprintf(b, "  and %d more; --json has all\n", n)
	}
	b.WriteByte('\n')
}

func batchTable(b *strings.Builder, c *plan.Certificate, all bool) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  batch\tzone\thosts\tmigrations\tPGs short\tat min_size\ttime\tgrade\n")
	for i, x := range c.Batches {
		if !all && i >= shownBatches && i < len(c.Batches)-shownBatches {
			if i == shownBatches {
				fmt.Fprintf(w, "  …\t…\t%d more: --all\t…\t…\t…\t…\t…\n", len(c.Batches)-2*shownBatches)
			}
			continue
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", i+1, x.Zone, rangeOf(&c.Fleet, x), len(x.Moves.VM), x.Counts.PGsDown, x.Counts.PGsAtMin, seconds(x.Seconds), gradeText(x.Grade))
	}
	_ = w.Flush() // into a strings.Builder
	b.WriteByte('\n')
}

// rolloutSummary is a rollout's last line.
func rolloutSummary(p plan.Plan) string {
	prepare, bring := 0, 0
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			switch o.Kind {
			case plan.SlotWrite:
				prepare++
			case plan.PackagesFetch:
				bring++
			}
		}
	}
	r := RolloutOf(p.Certificate)
	text := fmt.Sprintf("Plan: %s to change in %s", Plural(r.Hosts, "host"), batches(r.Rounds))
	if prepare > 0 {
		text += fmt.Sprintf(", %s written before while everything runs", Plural(prepare, "idle slot"))
	}
	if bring > 0 {
		text += fmt.Sprintf(", packages brought to %s before while everything runs", Plural(bring, "host"))
	}
	return text + fmt.Sprintf("; %s in %s.", Plural(p.Ops(), "op"), Plural(len(p.Stages), "stage"))
}
