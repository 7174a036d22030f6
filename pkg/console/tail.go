package console

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// maxLine is how long a line is kept, in characters; a screen that is painted anew gives none longer.
const maxLine = 400

// Tail keeps the end of what is written to it. Safe for concurrent use.
type Tail struct {
	max int

	mu   sync.Mutex
	text []byte
}

// NewTail makes a tail of at most so many bytes.
func NewTail(max int) *Tail { return &Tail{max: max} }

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 2*t.max { // cut now and then, not at each write
		t.text = append(t.text[:0], t.text[len(t.text)-t.max:]...)
	}
	return len(p), nil
}

// Lines are the last lines, at most n.
func (t *Tail) Lines(n int) []string {
	t.mu.Lock()
	text := string(t.text[max(0, len(t.text)-t.max):])
	t.mu.Unlock()
	return last(Readable(text), n)
}

func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

// What a terminal obeys and a reader does not want (ECMA-48): a move of the cursor begins another line, all else goes.
var (
	cursor  = regexp.MustCompile(`\x1b\[[0-9;]*[HfEFABd]`)
	control = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]`)
)

// Readable makes lines of what a serial console sent: without control sequences and control characters, without runs of empty lines, each of a
// bounded length.
func Readable(text string) []string {
	text = cursor.ReplaceAllString(strings.ToValidUTF8(text, "?"), "\n")
	text = control.ReplaceAllString(text, "")
	var out []string
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimRightFunc(strings.Map(printable, line), unicode.IsSpace)
		if line == "" {
			continue
		}
		if r := []rune(line); len(r) > maxLine {
			line = string(r[:maxLine]) + "…"
		}
		out = append(out, line)
	}
	return out
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return -1
}
