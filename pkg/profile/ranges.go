package profile

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// lineRange is the text of a line of the author's file, without its indentation.
func lineRange(s Source, line int) diag.Range { return columnRange(s, line, 0) }

// columnRange goes from a column (in bytes, from 1) to the end of its line. A column outside of the line means all of it, and a line outside of
// the file its first.
func columnRange(s Source, line, column int) diag.Range {
	lines := bytes.Split(s.Text, []byte("\n"))
	if line < 1 || line > len(lines) {
		line, column = 1, 0
	}
	text := bytes.TrimRight(lines[line-1], " \t\r")
	if column < 1 || column > len(text)+1 {
		column = len(text) - len(bytes.TrimLeft(text, " \t")) + 1
	}
	start := 0
	for _, l := range lines[:line-1] {
		start += len(l) + 1
	}
	return diag.Range{File: s.Name,
		Start: diag.Pos{Line: line, Column: column, Byte: start + column - 1},
		End:   diag.Pos{Line: line, Column: len(text) + 1, Byte: start + len(text)}}
}

// byteRange goes from an offset to the end of its line.
func byteRange(s Source, offset int) diag.Range {
	offset = min(max(offset, 0), len(s.Text))
	before := s.Text[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	return columnRange(s, line, offset-bytes.LastIndexByte(before, '\n'))
}

// placeOf is a position that Butane reports, in the author's file. A line with placeholders has other columns there: all of it is meant then.
func placeOf(s Source, line, column int) diag.Range {
	r := lineRange(s, line)
	if strings.Contains(string(s.Text[r.Start.Byte:r.End.Byte]), "{{") {
		return r
	}
	return columnRange(s, line, column)
}

var numbered = regexp.MustCompile(`line ([0-9]+)`)

// yamlLine finds the line number in an error of the YAML parser; 1 when there is none.
func yamlLine(message string) int {
	if m := numbered.FindStringSubmatch(message); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 1
}

// lineOf finds the line number in an error of text/template: "template: NAME:LINE: …".
func lineOf(message, name string) int {
	rest := strings.TrimPrefix(message, "template: "+name+":")
	n, _ := strconv.Atoi(rest[:max(0, strings.IndexAny(rest, ":"))])
	return n
}

func afterName(message, name string) string {
	rest := strings.TrimPrefix(message, "template: "+name+":")
	if _, after, ok := strings.Cut(rest, ": "); ok {
		return after
	}
	return rest
}
