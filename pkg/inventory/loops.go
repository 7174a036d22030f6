package inventory

import (
	"cmp"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Bounds of what the for expressions of an inventory go through: one attribute's together, which bounds memory, and all of them, which bounds time. Those of ten
// thousand blades go through some hundred thousand elements.
const (
	maxElements    = 1_000_000
	maxAllElements = 20_000_000
)

// laps counts the elements that for expressions go through: those of one attribute, of which there may be most, and all.
type laps struct{ one, all, most int }

// tooMany ends an evaluation that would not come to its end. HCL itself goes on with the next element after an error, however many there are, so it is thrown, and
// caught by value.
type tooMany struct{ at hcl.Range }

// counted is the part of a for expression that is evaluated for each element. It stands in parentheses, so that HCL finds what is in it.
type counted struct {
	*hclsyntax.ParenthesesExpr
	laps *laps
	loop hcl.Range
}

// Value implements hclsyntax.Expression.
func (c counted) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	c.laps.one++
	c.laps.all++
	if c.laps.one > c.laps.most || c.laps.all > maxAllElements {
		panic(tooMany{c.loop})
	}
	return c.ParenthesesExpr.Value(ctx)
}

// countLoops has the elements of all for expressions in a file counted.
func (l *loader) countLoops(body *hclsyntax.Body) {
	var loops []*hclsyntax.ForExpr
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		if f, ok := n.(*hclsyntax.ForExpr); ok {
			loops = append(loops, f)
		}
		return nil
	})
	for _, f := range loops {
		each := &f.ValExpr
		if f.CondExpr != nil {
			each = &f.CondExpr
		}
		*each = counted{&hclsyntax.ParenthesesExpr{Expression: *each, SrcRange: (*each).Range()}, &l.laps, f.Range()}
	}
}

// value evaluates the expression of one attribute.
func (l *loader) value(expr hcl.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	l.laps.one, l.laps.most = 0, cmp.Or(l.opts.elements, maxElements)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case tooMany:
			text := fmt.Sprintf("One attribute may go through %d elements, and all of an inventory through %d.", l.laps.most, maxAllElements)
			v, diags = cty.NilVal, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: tooManySummary, Detail: text, Subject: &p.at}}
		default:
			panic(p)
		}
	}()
	return expr.Value(ctx)
}

const tooManySummary = "this for expression goes through too many elements"
