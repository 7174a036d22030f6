package inventory

import (
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// place turns HCL's range into ours; both count bytes from 0, lines and columns from 1.
func place(r hcl.Range) diag.Range {
	return diag.Range{
		File:  r.Filename,
		Start: diag.Pos{Line: r.Start.Line, Column: r.Start.Column, Byte: r.Start.Byte},
		End:   diag.Pos{Line: r.End.Line, Column: r.End.Column, Byte: r.End.Byte},
	}
}

// remedies for what HCL itself finds, by its summary.
var remedies = map[string]string{
	"Invalid function argument":                "correct the argument; the functions are listed in the language reference",
	"Error in function call":                   "correct the arguments; the functions are listed in the language reference",
	"Call to unknown function":                 "correct the name; the functions are listed in the language reference",
	"Not enough function arguments":            "give the missing arguments; the functions are listed in the language reference",
	"Too many function arguments":              "remove the superfluous arguments",
	"Unsupported attribute":                    "name an attribute that this value has",
	"Invalid index":                            "use an index or key that exists, or lookup(MAP, KEY, DEFAULT)",
	"Invalid operand":                          "convert the operand, for example with tonumber() or tostring()",
	"Invalid template interpolation value":     "only text, numbers and bools fit into a string; a secret never does",
	"Attribute redefined":                      "keep one of the two",
	"Unclosed configuration block":             "add the closing brace",
	"Missing newline after block definition":   "start a new line after the closing brace",
	"Missing newline after argument":           "one attribute per line",
	"Invalid single-argument block definition": "a block on one line holds one attribute; write the others on lines of their own",
	"Invalid expression":                       "write a value: text in quotes, a number, true, false, a list or a reference",
	tooManySummary:                             "go through less: each for expression inside another multiplies",
	"Unterminated template string":             "close the quotes on the same line",
}

// addHCL adds HCL's own diagnostics.
func (l *loader) addHCL(diags hcl.Diagnostics) {
	for _, d := range diags {
		out := diag.Diagnostic{Severity: diag.Error, Summary: d.Summary, Detail: strings.TrimSpace(withoutTrace(d.Detail)), Remedy: remedies[d.Summary]}
		if d.Severity == hcl.DiagWarning {
			out.Severity = diag.Warning
		}
		if d.Subject != nil {
			out.Subject = place(*d.Subject)
		}
		if out.Remedy == "" {
			out.Remedy = "correct the expression; the language reference shows what may stand here"
		}
		l.diags = append(l.diags, out)
	}
}
