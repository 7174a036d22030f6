package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Action is what a plan does to one subject as a whole.
type Action string

// The actions, with their glyphs.
const (
	Create  Action = "create"  // +
	Update  Action = "update"  // ~
	Delete  Action = "delete"  // -
	Replace Action = "replace" // -/+
)

var glyphs = map[Action]string{Create: "+", Update: "~", Delete: "-", Replace: "-/+"}
var actionColors = map[Action]string{Create: ansiGreen, Update: ansiYellow, Delete: ansiRed, Replace: ansiRed}

// SubjectChange is what a plan does to one subject.
type SubjectChange struct {
	Subject plan.Subject  `json:"subject"`
	Action  Action        `json:"action"`
	Changes []plan.Change `json:"changes"`
	Ops     []plan.OpID   `json:"ops"`
}

// Summary counts what a plan does.
type Summary struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Delete  int `json:"delete"`
	Replace int `json:"replace"`
	Stages  int `json:"stages"`
	Ops     int `json:"ops"`
	OneWay  int `json:"one_way"`
	Left    int `json:"left"` // nodes that differ and stay as they are
}

// Changes lists what a plan does, by subject: nodes first, then virtual machines.
func Changes(p plan.Plan) []SubjectChange {
	ops := map[plan.Subject][]plan.Op{}
	for _, s := range p.Stages {
		for _, o := range s.Order() {
			ops[o.Target] = append(ops[o.Target], o)
		}
	}
	bySubject := map[plan.Subject][]plan.Change{}
	for _, c := range plan.Diff(p.Initial, p.Final()) {
		bySubject[c.Subject] = append(bySubject[c.Subject], c)
	}
	out := make([]SubjectChange, 0, len(ops))
	for sub, list := range ops {
		sc := SubjectChange{Subject: sub, Changes: bySubject[sub], Action: actionOf(p, sub, list)}
		for _, o := range list {
			sc.Ops = append(sc.Ops, o.ID)
		}
		out = append(out, sc)
	}
	slices.SortFunc(out, func(a, b SubjectChange) int { return cmp.Compare(a.Subject, b.Subject) })
	return out
}

func actionOf(p plan.Plan, sub plan.Subject, ops []plan.Op) Action {
	if _, ok := sub.VM(); ok {
		if p.Initial.Get(sub, plan.AttrVM) == "" {
			return Create
		}
		return Update
	}
	if _, ok := sub.Ceph(); ok {
		if p.Initial.Get(sub, plan.AttrCluster) == "" {
			return Create
		}
		return Update
	}
	if p.Goal == plan.GoalDecommission {
		return Delete
	}
	installs := slices.ContainsFunc(ops, func(o plan.Op) bool { return o.Kind == plan.InstallWait })
	switch {
	case installs && p.Initial.Get(sub, plan.AttrHost) != "":
		return Replace
	case installs, p.Initial.Get(sub, plan.AttrHost) == "":
		return Create
	default:
		return Update
	}
}

// Summarize counts.
func Summarize(p plan.Plan) Summary {
	s := Summary{Stages: len(p.Stages), Ops: p.Ops(), OneWay: len(p.OneWay()), Left: len(p.Left)}
	for _, c := range Changes(p) {
		switch c.Action {
		case Create:
			s.Create++
		case Update:
			s.Update++
		case Delete:
			s.Delete++
		case Replace:
			s.Replace++
		}
	}
	return s
}

// maxSubjects is how many subjects are shown op by op; of more, only one line each is printed, and the plan file has the rest.
const maxSubjects = 40

// PlanOptions say how much of a plan is shown.
type PlanOptions struct {
	// All lists every batch of a rollout, and every subject op by op.
	All bool
}

// PlanText explains a plan. A rollout is explained by its certificate; its ops are shown only when all is asked for.
func PlanText(w io.Writer, s Style, p plan.Plan, o PlanOptions) error {
	var b strings.Builder
	if p.Certificate != nil {
		rolloutText(&b, s, p.Certificate, o.All)
	}
	if p.Certificate == nil || o.All {
		changesText(&b, s, p, o.All)
	}
	for _, n := range append(leftText(p.Left), p.Notes...) {
		fmt.Fprintf(&b, "%s %s\n", s.paint(ansiYellow, "Note:"), n)
	}
	b.WriteString(SummaryText(p) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func changesText(b *strings.Builder, s Style, p plan.Plan, all bool) {
	changes := Changes(p)
	index := map[plan.OpID]plan.Op{}
	for _, st := range p.Stages {
		for _, o := range st.Ops {
			index[o.ID] = o
		}
	}
	for _, c := range changes {
		fmt.Fprintf(b, "%s %s\n", s.paint(ansiBold+actionColors[c.Action], fmt.Sprintf("%3s", glyphs[c.Action])), s.paint(ansiBold, SubjectText(c.Subject)))
		if len(changes) > maxSubjects && !all {
			continue
		}
		for _, id := range c.Ops {
			opLine(b, s, index[id])
		}
		b.WriteByte('\n')
	}
}

// maxLeft is how many of the nodes that are left as they are are named.
const maxLeft = 10

// leftText tells of the nodes that differ and are left as they are, with what would change that.
func leftText(left []plan.Left) []string {
	out := make([]string, 0, maxLeft+1)
	for _, l := range left[:min(len(left), maxLeft)] {
		out = append(out, fmt.Sprintf("%s is left as it is: %s; %s", l.Node, l.Text, l.Remedy))
	}
	if more := len(left) - maxLeft; more > 0 {
		out = append(out, fmt.Sprintf("%s are left as they are, for reasons like these: --json and the plan file name them", Plural(more, "more node")))
	}
	return out
}

func opLine(b *strings.Builder, s Style, o plan.Op) {
	info, _ := o.Kind.Info()
	mark := ""
	if !info.Reversible {
		mark = s.paint(ansiRed, "  one-way")
	}
	fmt.Fprintf(b, "      %-13s %s%s%s\n", o.Kind, info.Verb, s.paint(ansiDim, argText(o)), mark)
}

// argText shows the arguments worth reading.
func argText(o plan.Op) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(o.Args)) {
		v := o.Args[k]
		if o.Kind == plan.PackagesInstall && k != "snapshot" { // the notes tell what changes where
			continue
		}
		if v == "" || (k == "image" && o.Args["image_name"] != "") {
			continue
		}
		if d := model.Digest(v); d.Valid() {
			v = d.Short()
		}
		if k == "image_name" {
			k = "image"
			if d := model.Digest(o.Args["image"]); d.Valid() {
				v += "@" + d.Short()
			}
		}
		parts = append(parts, strings.ReplaceAll(k, "_", " ")+" "+v)
	}
	if len(parts) == 0 {
		return ""
	}
	return "  (" + strings.Join(parts, "; ") + ")"
}

// SubjectText names a subject for people.
func SubjectText(sub plan.Subject) string {
	if p, ok := sub.Node(); ok {
		return fmt.Sprintf("%s  (%s)", p.Name(), p)
	}
	if n, ok := sub.VM(); ok {
		return "virtual machine " + n
	}
	if r, ok := sub.Ceph(); ok {
		return "Ceph cluster of " + string(r)
	}
	return string(sub)
}

// SummaryText is the plan's last line.
func SummaryText(p plan.Plan) string {
	if p.AsDesired() {
		return "No changes. What is there is what the inventory asks for."
	}
	s := Summarize(p)
	if p.Empty() {
		return "Nothing to do. " + differText(s.Left) + "."
	}
	if p.Certificate != nil {
		return rolloutSummary(p)
	}
	text := fmt.Sprintf("Plan: %d to create, %d to change, %d to replace, %d to remove; %s in %s",
		s.Create, s.Update, s.Replace, s.Delete, Plural(s.Ops, "op"), Plural(s.Stages, "stage"))
	if s.OneWay > 0 {
		text += fmt.Sprintf(", %d of them one-way", s.OneWay)
	}
	if s.Left > 0 {
		text += ". " + differText(s.Left)
	}
	return text + "."
}

// differText counts nodes that are left as they are.
func differText(n int) string {
	if n == 1 {
		return "1 node is not as the inventory asks for, and is left as it is"
	}
	return fmt.Sprintf("%d nodes are not as the inventory asks for, and are left as they are", n)
}

// PlanJSON writes what PlanText tells, and the plan itself.
func PlanJSON(w io.Writer, p plan.Plan) error {
	changes := Changes(p)
	if changes == nil {
		changes = []SubjectChange{}
	}
	var r *Rollout
	if p.Certificate != nil {
		x := RolloutOf(p.Certificate)
		r = &x
	}
	return JSON(w, struct {
		FormatVersion int          `json:"format_version"`
		Digest        model.Digest `json:"digest"`
		Summary       Summary      `json:"summary"`
		*Rollout
		Changes []SubjectChange `json:"changes"`
		Plan    plan.Plan       `json:"plan"`
	}{1, p.Digest(), Summarize(p), r, changes, p})
}
