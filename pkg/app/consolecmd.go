package app

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/console"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// consoles is where this workstation keeps what failed machines said last: beside the journal, or, where that is shared, beside the keys.
func (e Env) consoles() console.Store {
	return console.Store{Dir: filepath.Join(e.stateDir(), "consoles")}
}

// keepConsoles makes what listens to the consoles of a run.
func (s *session) keepConsoles() *console.Keeper {
	return console.New(s.env.consoles(), s.machines, s.desired.Nodes, s.env.Log)
}

// JournalConsole shows what a failed machine said last: the newest record of a node, given by name or path, or that of a journal record, given by its
// number. With neither, it lists what is kept.
func JournalConsole(e Env, which string) error {
	if which == "" {
		return e.listConsoles()
	}
	seq, err := strconv.ParseInt(which, 10, 64)
	if err != nil {
		seq = 0
	}
	node := strings.Trim(which, "/")
	r, err := e.consoles().Newest(func(p model.Path) bool { return p.Name() == node || string(p) == node }, seq)
	if errors.Is(err, console.ErrNotFound) {
		return fmt.Errorf("of %s %w on this workstation; nuboctl journal console lists what there is, and nuboctl bmc console opens one", which, err)
	}
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, r)
	}
	_, err = io.WriteString(e.Out, consoleText(r))
	return err
}

func consoleText(r console.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, journal record %d, %s: %s failed\n  %s\n", r.Node, r.Seq, r.Time.UTC().Format(time.RFC3339), r.Op, strings.ReplaceAll(r.Error, "\n", "\n  "))
	part := func(title string, lines []string) {
		fmt.Fprintf(&b, "\n%s:\n", title)
		for _, line := range lines {
			fmt.Fprintf(&b, "  │ %s\n", line)
		}
	}
	if len(r.Agent) > 0 {
		part("The installer's last lines", r.Agent)
	}
	if r.Source != "" {
		part("The last lines of its console ("+r.Source+")", r.Console)
	} else {
		fmt.Fprintf(&b, "\nOf its console nothing is kept: %s\n", r.Missing)
	}
	return b.String()
}

func (e Env) listConsoles() error {
	if !e.somewhere() {
		return e.errNoSite()
	}
	list, err := e.consoles().List()
	if err != nil {
		return err
	}
	out := struct {
		FormatVersion int              `json:"format_version"`
		Consoles      []console.Record `json:"consoles"`
	}{1, []console.Record{}}
	for _, entry := range list {
		r, err := e.consoles().Read(entry)
		if err != nil {
			return err
		}
		out.Consoles = append(out.Consoles, r)
	}
	if e.JSON {
		for i := range out.Consoles { // the lines are in the record itself
			out.Consoles[i].Console, out.Consoles[i].Agent = []string{}, nil
		}
		return view.JSON(e.Out, out)
	}
	for _, r := range out.Consoles {
		if _, err := fmt.Fprintf(e.Out, "%6d  %s  %-14s %-14s %4d lines  %s\n", r.Seq, r.Time.UTC().Format(time.RFC3339), r.Node.Name(),
			strings.SplitN(string(r.Op), " ", 2)[0], len(r.Console)+len(r.Agent), firstOf(r.Source, r.Missing)); err != nil {
			return err
		}
	}
	if len(out.Consoles) == 0 {
		e.note("Nothing is kept: no machine has failed in an apply of this workstation.")
	}
	return nil
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			line, _, _ := strings.Cut(w, "\n")
			return line
		}
	}
	return ""
}
