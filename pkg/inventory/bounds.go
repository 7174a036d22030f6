package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// Bounds of what a file may hold, far above what anybody writes. HCL's parser and evaluation recurse: beyond some depth the process would end
// without a word of where.
const (
	maxFileBytes = 16 << 20
	maxNesting   = 200    // brackets, braces, parentheses and templates that are open at once
	maxOperators = 10_000 // operators of one expression
)

// bounded reports, before a source is parsed, what would end the process while it is. Of each source it reports one place.
func (l *loader) bounded(name string, src []byte) bool {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	open := []nest{{}}
	var before hclsyntax.TokenType
	for _, t := range tokens {
		in := &open[len(open)-1]
		switch {
		case opens(t.Type):
			if t.Type == hclsyntax.TokenOBrack && (before == hclsyntax.TokenCBrack || before == hclsyntax.TokenCParen || before == hclsyntax.TokenIdent) {
				in.operators++ // an index is evaluated as an operator is
			}
			open = append(open, nest{by: t.Type})
		case closes(t.Type) && len(open) > 1:
			open = open[:len(open)-1]
		case t.Type == hclsyntax.TokenComma, t.Type == hclsyntax.TokenEqual, t.Type == hclsyntax.TokenNewline && (len(open) == 1 || in.by == hclsyntax.TokenOBrace):
			in.operators = 0
		case operates(t.Type):
			in.operators++
		}
		before = t.Type
		switch {
		case len(open) > maxNesting:
			l.diags.Errorf(place(t.Range), "take it apart with locals", "more than %d brackets, braces or parentheses are open here", maxNesting)
			return false
		case in.operators > maxOperators:
			l.diags.Errorf(place(t.Range), "take it apart with locals", "an expression has more than %d operators", maxOperators)
			return false
		}
	}
	return true
}

// nest is a bracket, brace, parenthesis or template that is open, with the operators since the last thing in it began.
type nest struct {
	by        hclsyntax.TokenType
	operators int
}

func opens(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return true
	}
	return false
}

func closes(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
		return true
	}
	return false
}

func operates(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenPercent, hclsyntax.TokenBang,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenQuestion, hclsyntax.TokenDot:
		return true
	}
	return false
}

// checkText finds what is no text before HCL complains of each of its bytes.
func (l *loader) checkText(name string, src []byte) bool {
	if !utf8.Valid(src) || bytes.IndexByte(src, 0) >= 0 {
		l.diags.Errorf(diag.Range{File: name, Start: diag.Pos{Line: 1, Column: 1}, End: diag.Pos{Line: 1, Column: 1}},
			"save it as UTF-8, or move it out of the inventory's directory", "%s is no text in UTF-8", name)
		return false
	}
	return true
}

// Bounds of what functions make of their arguments: a slip of the pen must not take all memory of the workstation.
const (
	maxIndent = 1_000
	maxWidth  = 4 // digits of a width or precision in format()
)

// guarded is a function that refuses some arguments before it begins.
func guarded(f function.Function, check func(args []cty.Value) error) function.Function {
	return function.New(&function.Spec{Params: f.Params(), VarParam: f.VarParam(), Type: f.ReturnTypeForValues,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if err := check(args); err != nil {
				return cty.NilVal, err
			}
			return f.Call(args)
		}})
}

func checkIndent(args []cty.Value) error {
	if n, err := wholeNumber(args[0]); err != nil || n < 0 || n > maxIndent {
		return fmt.Errorf("a line can be indented by 0 to %d", maxIndent)
	}
	return nil
}

func checkProduct(args []cty.Value) error {
	n := 1
	for _, a := range args {
		if n *= a.LengthInt(); n > maxRange {
			return fmt.Errorf("the product would have more than %d elements", maxRange)
		}
	}
	return nil
}

// checkFormat refuses widths and precisions that only use up memory.
func checkFormat(args []cty.Value) error {
	digits, verb := 0, false
	for _, c := range args[0].AsString() {
		switch {
		case c == '%':
			verb, digits = !verb, 0
		case verb && c >= '0' && c <= '9':
			digits++
		case verb && c != '.' && c != '-' && c != '+' && c != ' ' && c != '#' && c != '[' && c != ']' && c != '*':
			verb = false
		default:
			digits = 0
		}
		if digits > maxWidth {
			return errors.New("a width or precision of five digits would only use up memory")
		}
	}
	return nil
}

// panicText begins what the library says of a function that gave up, in front of a stack trace that tells an author nothing.
const panicText = "panic in function implementation: "

// withoutTrace is a detail of HCL's without a stack trace.
func withoutTrace(detail string) string {
	before, after, found := strings.Cut(detail, panicText)
	if !found {
		return detail
	}
	reason, _, _ := strings.Cut(after, "\n")
	return before + "these arguments make no sense (" + reason + ")"
}
