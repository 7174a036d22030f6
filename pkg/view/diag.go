package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// Sources gives the text of a file that a diagnostic points into, nil when it is not at hand.
type Sources func(file string) []byte

// Diagnostics writes every diagnostic with its source line and a caret, sorted by place, and a count at the end.
func Diagnostics(w io.Writer, s Style, list diag.List, src Sources) error {
	var b strings.Builder
	errors, warnings := 0, 0
	for _, d := range list.Sorted() {
		if d.Severity == diag.Warning {
			warnings++
		} else {
			errors++
		}
		diagnostic(&b, s, d, src)
	}
	if errors+warnings > 1 {
		fmt.Fprintf(&b, "%s, %s\n", Plural(errors, "error"), Plural(warnings, "warning"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Warnings writes warnings in one line each, for commands whose subject they are not; validate shows them in full.
func Warnings(w io.Writer, s Style, list diag.List) error {
	var b strings.Builder
	for _, d := range list.Sorted() {
		fmt.Fprintf(&b, "%s: %s", s.paint(ansiBold+ansiYellow, "Warning"), d.Summary)
		if !d.Subject.IsZero() {
			fmt.Fprintf(&b, " %s", s.paint(ansiDim, fmt.Sprintf("(%s:%d)", d.Subject.File, d.Subject.Start.Line)))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func diagnostic(b *strings.Builder, s Style, d diag.Diagnostic, src Sources) {
	head := s.paint(ansiBold+ansiRed, "Error")
	if d.Severity == diag.Warning {
		head = s.paint(ansiBold+ansiYellow, "Warning")
	}
	fmt.Fprintf(b, "%s: %s\n", head, s.paint(ansiBold, d.Summary))
	if !d.Subject.IsZero() {
		fmt.Fprintf(b, "  on %s line %d, column %d\n", d.Subject.File, d.Subject.Start.Line, d.Subject.Start.Column)
		if d.Sensitive {
			b.WriteString("  (the line may hold a secret, so it is not shown)\n")
		} else {
			snippet(b, s, d.Subject, src)
		}
	}
	if d.Detail != "" {
		fmt.Fprintf(b, "%s\n", indent("  ", d.Detail))
	}
	if d.Remedy != "" {
		fmt.Fprintf(b, "%s\n", indent("  ", s.paint(ansiCyan, "What to do: ")+d.Remedy))
	}
	b.WriteByte('\n')
}

// snippet writes the line that the range begins on, and a caret under what is meant.
func snippet(b *strings.Builder, s Style, r diag.Range, src Sources) {
	if src == nil {
		return
	}
	text := src(r.File)
	lines := bytes.Split(text, []byte("\n"))
	if text == nil || r.Start.Line < 1 || r.Start.Line > len(lines) {
		return
	}
	line := strings.ToValidUTF8(strings.TrimSuffix(string(lines[r.Start.Line-1]), "\r"), "?")
	runes := []rune(line)
	from := min(max(r.Start.Column-1, 0), len(runes))
	to := len(runes)
	if r.End.Line == r.Start.Line {
		to = min(max(r.End.Column-1, from+1), max(len(runes), from+1))
	}
	pad := make([]rune, from)
	for i := range pad {
		pad[i] = ' '
		if runes[i] == '\t' {
			pad[i] = '\t'
		}
	}
	number := fmt.Sprintf("%5d", r.Start.Line)
	fmt.Fprintf(b, "  %s │ %s\n", s.paint(ansiDim, number), line)
	fmt.Fprintf(b, "  %s │ %s%s\n", strings.Repeat(" ", utf8.RuneCountInString(number)), string(pad),
		s.paint(ansiRed, strings.Repeat("^", cmp.Or(to-from, 1))))
}

// DiagnosticsJSON writes the diagnostics as one JSON value.
func DiagnosticsJSON(w io.Writer, list diag.List) error {
	out := struct {
		FormatVersion int       `json:"format_version"`
		Valid         bool      `json:"valid"`
		Diagnostics   diag.List `json:"diagnostics"`
	}{1, !list.HasErrors(), list.Sorted()}
	if out.Diagnostics == nil {
		out.Diagnostics = diag.List{}
	}
	return JSON(w, out)
}

// JSON writes one indented JSON value and a newline.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
