package view

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// PlanHTML writes a plan as one page that refers to nothing outside of itself: the zones' rollouts over time, what each batch moves and what is left
// meanwhile, the tree of places with each host's batch, and the notes. Only rollouts have such a page.
func PlanHTML(w io.Writer, p plan.Plan) error {
	if p.Certificate == nil {
		return fmt.Errorf("the page shows rollouts, and this plan (goal %s) takes nothing out of service in batches", p.Goal)
	}
	return pageTemplate.Execute(w, newPage(p))
}

// page is what the template shows. Lengths are in the units of the drawing.
type page struct {
	Title, Headline, Grade, Survive, Meaning, Digest string
	Rollout                                          Rollout
	Zones                                            []pageZone
	Batches                                          []pageBatch
	Tree                                             []pageSite
	Notes                                            []string
	Gantt                                            gantt
	Moves                                            bars
}

type pageZone struct {
	RolloutZone
	Predicted, AtLeast, GradeText string
	Falls                         []string
}

type pageBatch struct {
	Number                                            int
	Zone                                              model.Path
	Hosts, Predicted, Begins, Grade                   string
	Count, Moves, Stops, PGsDown, PGsAtMin, Displaced int
	Quorum                                            string
}

type pageSite struct {
	Path  model.Path
	Zones []pageRacks
}

type pageRacks struct {
	Path  model.Path
	Racks []pageRack
}

type pageRack struct {
	Name  string
	Hosts []pageHost
}

type pageHost struct {
	Name, Title, Class string
	Batch              int // counted from 1; 0: it stays
}

// gantt is the rollout over time: one row for each zone, one bar for each batch.
type gantt struct {
	Width, Height int
	Rows          []ganttRow
	Ticks         []tick
}

type ganttRow struct {
	Y    int
	Zone model.Path
	Bars []block
}

type block struct {
	X, Y, W, H float64
	Title      string
	Class      string
}

type tick struct {
	X    float64
	Text string
}

// bars are quantities by batch.
type bars struct {
	Width, Height int
	Bars          []block
	Most          string
}

func newPage(p plan.Plan) page {
	c := p.Certificate
	r := RolloutOf(c)
	g := page{
		Title: "Rollout of " + Plural(r.Hosts, "host"), Headline: r.headline(), Grade: gradeText(c.Grade), Survive: gradeText(c.Policy.Survive),
		Meaning: gradeMeaning(c.Grade), Digest: p.Digest().Short(), Rollout: r, Notes: append(leftText(p.Left), p.Notes...),
	}
	for _, z := range r.Zones {
		g.Zones = append(g.Zones, pageZone{RolloutZone: z, Predicted: seconds(z.PredictedSeconds), AtLeast: seconds(z.SecondsLowerBound), GradeText: gradeText(z.Grade), Falls: falls(z)})
	}
	begins := int64(0)
	for i, b := range c.Batches {
		quorum := "–"
		if b.Counts.QuorumSpare >= 0 {
			quorum = fmt.Sprint(b.Counts.QuorumSpare)
		}
		g.Batches = append(g.Batches, pageBatch{Number: i + 1, Zone: b.Zone, Hosts: rangeOf(&c.Fleet, b), Count: len(b.Hosts), Moves: len(b.Moves.VM), Stops: len(b.Stops),
			PGsDown: b.Counts.PGsDown, PGsAtMin: b.Counts.PGsAtMin, Displaced: b.Counts.Displaced, Quorum: quorum, Predicted: seconds(b.Seconds), Begins: seconds(begins), Grade: gradeText(b.Grade)})
		begins += b.Seconds
	}
	g.Gantt, g.Moves = drawGantt(c, r), drawMoves(c)
	g.Tree = tree(c)
	return g
}

// falls gives, for each letter that a zone's grade lacks, the first reason.
func falls(z RolloutZone) []string {
	var out []string
	for _, letter := range []string{"A", "B", "C"} {
		if strings.Contains(string(z.Grade), letter) {
			continue
		}
		if i := slices.IndexFunc(z.Short, func(t string) bool { return strings.HasPrefix(t, letter) }); i >= 0 {
			out = append(out, z.Short[i])
		}
	}
	return out
}

// The drawing's measures.
const (
	drawWidth, drawLabel, drawMargin = 1200, 200, 45 // the margin holds the last tick's text
	rowHeight, barHeight             = 22, 14
)

func drawGantt(c *plan.Certificate, r Rollout) gantt {
	g := gantt{Width: drawWidth, Height: len(r.Zones)*rowHeight + 20}
	total := float64(max(r.PredictedSeconds, 1))
	scale := float64(drawWidth-drawLabel-drawMargin) / total
	rows := map[model.Path]*ganttRow{}
	g.Rows = make([]ganttRow, len(r.Zones))
	for i, z := range r.Zones {
		g.Rows[i] = ganttRow{Y: i*rowHeight + 4, Zone: z.Zone}
		rows[z.Zone] = &g.Rows[i]
	}
	var at int64
	for i, b := range c.Batches {
		row := rows[b.Zone]
		row.Bars = append(row.Bars, block{X: drawLabel + float64(at)*scale, Y: float64(row.Y), W: max(float64(b.Seconds)*scale-0.5, 0.5), H: barHeight, Class: "b" + fmt.Sprint(i%2),
			Title: fmt.Sprintf("batch %d: %s; %s, %s; begins after %s, takes %s", i+1, rangeOf(&c.Fleet, b), Plural(len(b.Hosts), "host"), Plural(len(b.Moves.VM), "migration"), seconds(at), seconds(b.Seconds))})
		at += b.Seconds
	}
	step := tickStep(total)
	for t := 0.0; t <= total; t += step {
		g.Ticks = append(g.Ticks, tick{X: drawLabel + t*scale, Text: seconds(int64(t))})
	}
	return g
}

// tickStep divides a time into six to a dozen parts of a length that people count in.
func tickStep(total float64) float64 {
	for _, s := range []float64{60, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 2 * 24 * 3600} {
		if total/s <= 12 {
			return s
		}
	}
	return total / 10
}

func drawMoves(c *plan.Certificate) bars {
	g := bars{Width: drawWidth, Height: 110}
	most := 1
	for _, b := range c.Batches {
		most = max(most, len(b.Moves.VM))
	}
	g.Most = Plural(most, "migration")
	w := float64(drawWidth-drawLabel-drawMargin) / float64(max(len(c.Batches), 1))
	for i, b := range c.Batches {
		h := 90 * float64(len(b.Moves.VM)) / float64(most)
		g.Bars = append(g.Bars, block{X: drawLabel + float64(i)*w, Y: 100 - h, W: max(w-1, 0.5), H: h, Class: "m", Title: fmt.Sprintf("batch %d: %s", i+1, Plural(len(b.Moves.VM), "migration"))})
	}
	return g
}

// tree lays the hosts out by site, zone and rack, each with its batch.
func tree(c *plan.Certificate) []pageSite {
	batch := make([]int, len(c.Fleet.Hosts))
	for i, b := range c.Batches {
		for _, h := range b.Hosts {
			batch[h] = i + 1
		}
	}
	var out []pageSite
	for i, h := range c.Fleet.Hosts {
		if n := len(out); n == 0 || out[n-1].Path != h.Path.Site() {
			out = append(out, pageSite{Path: h.Path.Site()})
		}
		s := &out[len(out)-1]
		if n := len(s.Zones); n == 0 || s.Zones[n-1].Path != h.Path.Zone() {
			s.Zones = append(s.Zones, pageRacks{Path: h.Path.Zone()})
		}
		z := &s.Zones[len(s.Zones)-1]
		if n := len(z.Racks); n == 0 || z.Racks[n-1].Name != h.Path.Rack().Name() {
			z.Racks = append(z.Racks, pageRack{Name: h.Path.Rack().Name()})
		}
		rack := &z.Racks[len(z.Racks)-1]
		rack.Hosts = append(rack.Hosts, hostCell(h, batch[i]))
	}
	return out
}

func hostCell(h plan.Host, batch int) pageHost {
	cell := pageHost{Name: h.Path.Name(), Batch: batch, Class: "stay", Title: string(h.Path) + ": stays as it is"}
	switch {
	case h.Down:
		cell.Class, cell.Title = "down", string(h.Path)+": lost or not known"
	case batch > 0:
		cell.Class, cell.Title = "h"+fmt.Sprint(batch%6), fmt.Sprintf("%s: batch %d", h.Path, batch)
	}
	return cell
}

// SimulationPage is what the page of a simulation shows: how many runs ended how, and how long they took in simulated time.
type SimulationPage struct {
	Title      string
	Rollouts   int
	Completed  int
	Halted     int
	Violations []SimulatedViolation
	Refused    int // no safe plan exists
	Kills      int // of nuboctl, in all
	// Makespans are the times in seconds of the runs that were completed, in any order.
	Makespans []float64
	// Means over the runs that were begun.
	Rounds, RoundsLowerBound, SecondsLowerBound float64
}

// SimulatedViolation is an invariant that did not hold at some moment of some run.
type SimulatedViolation struct {
	Seed      uint64
	Time      string
	Invariant string
	Detail    string
}

//go:embed simulation.html
var simulationText string

var simulationTemplate = template.Must(template.New("simulation").Parse(simulationText))

// SimulationHTML writes the page of a simulation, which refers to nothing outside of itself.
func SimulationHTML(w io.Writer, s SimulationPage) error {
	return simulationTemplate.Execute(w, struct {
		SimulationPage
		Histogram           bars
		P50, P95, LeastTime string
		Ticks               []tick
	}{s, histogram(s.Makespans), seconds(int64(quantile(s.Makespans, 0.5))), seconds(int64(quantile(s.Makespans, 0.95))), seconds(int64(s.SecondsLowerBound)), histogramTicks(s.Makespans)})
}

// quantile is the value that a part q of the list does not exceed; 0 of an empty list.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

const histogramBins = 40

// histogram counts the runs by their time.
func histogram(list []float64) bars {
	g := bars{Width: drawWidth, Height: 180}
	if len(list) == 0 {
		return g
	}
	low, high := slices.Min(list), slices.Max(list)
	width := cmp.Or((high-low)/histogramBins, 1)
	counts := make([]int, histogramBins)
	for _, v := range list {
		counts[min(int((v-low)/width), histogramBins-1)]++
	}
	most := slices.Max(counts)
	g.Most = Plural(most, "run")
	w := float64(drawWidth-drawLabel-drawMargin) / histogramBins
	for i, n := range counts {
		h := 150 * float64(n) / float64(most)
		g.Bars = append(g.Bars, block{X: drawLabel + float64(i)*w, Y: 160 - h, W: w - 1, H: h, Class: "m", Title: fmt.Sprintf("%s took %s to %s", Plural(n, "run"), seconds(int64(low+float64(i)*width)), seconds(int64(low+float64(i+1)*width)))})
	}
	return g
}

func histogramTicks(list []float64) []tick {
	if len(list) == 0 {
		return nil
	}
	low, high := slices.Min(list), slices.Max(list)
	var out []tick
	for i := range 6 {
		part := float64(i) / 5
		out = append(out, tick{X: drawLabel + part*float64(drawWidth-drawLabel-drawMargin), Text: seconds(int64(low + part*(high-low)))})
	}
	return out
}
