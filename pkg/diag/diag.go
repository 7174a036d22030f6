// Package diag collects mistakes instead of stopping at the first: each diagnostic has a severity, a summary, a detail that
// says what to do, and, where one exists, the range in the author's file. Every part that reads what people write reports through it.
package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Severity tells whether a diagnostic stops the command.
type Severity string

// The severities, in the order in which they matter.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Pos is a place in a file: Line and Column count from 1, Byte from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Range is a half-open span of a file. A zero Range means that no place is known.
type Range struct {
	File  string `json:"file"`
	Start Pos    `json:"start"`
	End   Pos    `json:"end"`
}

// IsZero reports whether the range names no place.
func (r Range) IsZero() bool { return r.File == "" }

// String gives FILE:LINE,COLUMN as editors and terminals recognise it.
func (r Range) String() string {
	if r.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s:%d,%d", r.File, r.Start.Line, r.Start.Column)
}

// Diagnostic is one mistake or warning.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"` // why, in the author's terms
	Remedy   string   `json:"remedy,omitempty"` // what to do about it
	Subject  Range    `json:"subject,omitzero"`
	// Sensitive tells that the author may have written a secret at this place: its text must not be shown.
	Sensitive bool `json:"sensitive,omitempty"`
}

// String gives the diagnostic on one line, without the source.
func (d Diagnostic) String() string {
	var b strings.Builder
	if !d.Subject.IsZero() {
		b.WriteString(d.Subject.String() + ": ")
	}
	b.WriteString(string(d.Severity) + ": " + d.Summary)
	for _, more := range []string{d.Detail, d.Remedy} {
		if more != "" {
			b.WriteString("; " + more)
		}
	}
	return b.String()
}

// List is what a reader returns beside its result. The zero value is empty and ready for use.
type List []Diagnostic

// Errorf adds an error at a place; the remedy may be empty.
func (l *List) Errorf(at Range, remedy, format string, args ...any) {
	*l = append(*l, Diagnostic{Severity: Error, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Subject: at})
}

// Sensitivef adds an error at a place whose text may hold a secret.
func (l *List) Sensitivef(at Range, remedy, format string, args ...any) {
	*l = append(*l, Diagnostic{Severity: Error, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Subject: at, Sensitive: true})
}

// Warnf adds a warning at a place; the remedy may be empty.
func (l *List) Warnf(at Range, remedy, format string, args ...any) {
	*l = append(*l, Diagnostic{Severity: Warning, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Subject: at})
}

// HasErrors reports whether any entry stops the command.
func (l List) HasErrors() bool {
	for _, d := range l {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Sorted returns a copy ordered by file and place, entries without a place last.
func (l List) Sorted() List {
	out := append(List(nil), l...)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Subject, out[j].Subject
		switch {
		case a.IsZero() != b.IsZero():
			return b.IsZero()
		case a.File != b.File:
			return a.File < b.File
		case a.Start.Line != b.Start.Line:
			return a.Start.Line < b.Start.Line
		default:
			return a.Start.Column < b.Start.Column
		}
	})
	return out
}

// Err turns the errors of the list into one error, nil when there is none. The list can be had back with errors.As.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return &ListError{List: l.Sorted()}
}

// ListError carries a list through code that speaks error.
type ListError struct{ List List }

// Error gives one line per diagnostic.
func (e *ListError) Error() string {
	lines := make([]string, len(e.List))
	for i, d := range e.List {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// FromError returns the diagnostics that err carries, also those of several errors that were joined. What carries none becomes one, made of
// its text.
func FromError(err error) List {
	if err == nil {
		return nil
	}
	var le *ListError
	if !errors.As(err, &le) {
		return List{{Severity: Error, Summary: err.Error()}}
	}
	switch x := err.(type) {
	case *ListError:
		return x.List
	case interface{ Unwrap() []error }:
		var out List
		for _, e := range x.Unwrap() {
			out = append(out, FromError(e)...)
		}
		return out
	case interface{ Unwrap() error }:
		return FromError(x.Unwrap())
	default:
		return le.List
	}
}
