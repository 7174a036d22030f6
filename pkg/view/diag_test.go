package view_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/view"
)

const source = "cloud \"demo\" {\n\tdomain = 12\n  größe = \"ü\" # drei\n}\r\nlast"

func span(line, from, to int) diag.Range {
	return diag.Range{File: "main.hcl", Start: diag.Pos{Line: line, Column: from}, End: diag.Pos{Line: line, Column: to}}
}

func TestDiagnostics(t *testing.T) {
	var l diag.List
	l.Errorf(span(2, 11, 13), "write a name", "domain must be text")
	l.Errorf(span(3, 11, 14), "", "behind letters of two bytes")
	l.Warnf(span(1, 1, 6), "", "a word at the beginning")
	l.Errorf(diag.Range{File: "main.hcl", Start: diag.Pos{Line: 1, Column: 14}, End: diag.Pos{Line: 4, Column: 2}}, "", "several lines: the first to its end")
	l.Errorf(span(4, 2, 2), "", "the end of a line that ends with CR LF, and no width")
	l.Errorf(span(5, 5, 6), "", "the end of the file")
	l.Errorf(span(5, 40, 50), "", "a column behind the line")
	l.Errorf(span(9, 1, 2), "", "a line that is not there")
	l.Errorf(diag.Range{File: "gone.hcl", Start: diag.Pos{Line: 1, Column: 1}, End: diag.Pos{Line: 1, Column: 5}}, "", "a file that is not at hand")
	l = append(l, diag.Diagnostic{Severity: diag.Error, Summary: "nowhere", Detail: "first line\nsecond line", Remedy: "do this"})
	l = append(l, diag.Diagnostic{Severity: diag.Error, Summary: "a secret", Subject: span(2, 11, 13), Sensitive: true})
	src := func(file string) []byte {
		if file == "main.hcl" {
			return []byte(source)
		}
		return nil
	}
	golden(t, "diagnostics", plainToo(t, func(b *bytes.Buffer, s view.Style) error { return view.Diagnostics(b, s, l, src) }))
	plainToo(t, func(b *bytes.Buffer, s view.Style) error { return view.Diagnostics(b, s, l, nil) })
}

func TestDiagnosticsJSON(t *testing.T) {
	var l diag.List
	l.Warnf(span(1, 1, 2), "", "odd")
	for _, tc := range []struct {
		list  diag.List
		valid bool
	}{{nil, true}, {l, true}, {append(l, diag.Diagnostic{Severity: diag.Error, Summary: "<wrong>"}), false}} {
		var b bytes.Buffer
		if err := view.DiagnosticsJSON(&b, tc.list); err != nil {
			t.Fatal(err)
		}
		var got struct {
			FormatVersion int
			Valid         bool
			Diagnostics   *diag.List
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Valid != tc.valid || got.Diagnostics == nil || len(*got.Diagnostics) != len(tc.list) {
			t.Errorf("%v: %s", err, &b)
		}
	}
}
