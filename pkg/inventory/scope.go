package inventory

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// variable is a declared input.
type variable struct {
	node  *blockNode
	typ   cty.Type
	value cty.Value
}

// local is a named expression; busy marks it while it is being evaluated, which is how cycles are found.
type local struct {
	attr  *attrNode
	value cty.Value
	done  bool
	busy  bool
}

// openScope evaluates variables, locals and what else is global, and checks every reference of the tree.
func (l *loader) openScope(nodes []*blockNode) {
	l.root = &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: l.functions()}
	l.declare(nodes)
	for _, v := range l.vars {
		l.evalVariable(v)
	}
	l.unknownVars()
	l.root.Variables["var"] = cty.ObjectVal(valuesOf(l.vars, func(v *variable) cty.Value { return v.value }))
	for _, name := range keysOf(l.locals) {
		l.checkReference(l.locals[name].attr, scope{})
	}
	for _, name := range keysOf(l.locals) {
		l.evalLocal(name, nil)
	}
	l.root.Variables["local"] = cty.ObjectVal(valuesOf(l.locals, func(v *local) cty.Value { return v.value }))
	for _, n := range nodes {
		if n.spec.typ != "variable" && n.spec.typ != "locals" {
			l.checkReferences(n, scope{})
		}
	}
}

func valuesOf[V any](m map[string]V, get func(V) cty.Value) map[string]cty.Value {
	out := make(map[string]cty.Value, len(m))
	for k, v := range m {
		out[k] = get(v)
	}
	return out
}

// declare collects the names of variables, locals and networks, and reports those that occur twice.
func (l *loader) declare(nodes []*blockNode) {
	l.vars, l.locals, l.networks = map[string]*variable{}, map[string]*local{}, map[string]bool{}
	for _, n := range nodes {
		switch n.spec.typ {
		case "variable":
			if first, dup := l.vars[n.label]; dup {
				l.diags.Errorf(place(n.block.DefRange()), "remove one", "variable %q is declared twice; the first is at %s", n.label, place(first.node.block.DefRange()))
				continue
			}
			l.vars[n.label] = &variable{node: n, typ: cty.DynamicPseudoType, value: unknown}
		case "locals":
			l.declareLocals(n)
		case "network":
			if n.forEach != nil || n.name != nil {
				l.networks = nil
			} else if l.networks != nil {
				l.networks[n.label] = true
			}
		}
	}
}

func (l *loader) declareLocals(n *blockNode) {
	for _, a := range sortedAttributes(n.block.Body) {
		if first, dup := l.locals[a.Name]; dup {
			l.diags.Errorf(place(a.NameRange), "rename or remove one", "local %q is defined twice; the first is at %s", a.Name, place(first.attr.at))
			continue
		}
		l.locals[a.Name] = &local{attr: &attrNode{name: a.Name, expr: a.Expr, at: a.NameRange, spec: opt(kAny, "")}, value: unknown}
	}
}

func (l *loader) evalVariable(v *variable) {
	var given *attrNode
	for _, a := range v.node.attrs {
		switch a.name {
		case "type":
			t, diags := typeexpr.TypeConstraint(a.expr)
			if l.addHCL(diags); !diags.HasErrors() {
				v.typ = t
			}
		case "default":
			given = a
		}
	}
	name, at := v.node.label, place(v.node.block.DefRange())
	raw, ok := l.opts.Vars[name]
	if !ok {
		raw, ok = l.opts.Env["NUBO_VAR_"+name]
	}
	switch {
	case ok:
		v.value = l.parseVar(v, raw)
	case given != nil:
		value, diags := l.value(given.expr, &hcl.EvalContext{Functions: l.root.Functions})
		l.addHCL(diags)
		if !diags.HasErrors() {
			v.value = l.convertVar(v, value, place(given.expr.Range()))
		}
	default:
		l.diags.Errorf(at, fmt.Sprintf("give it with -var %s=VALUE or NUBO_VAR_%s, or add a default", name, name), "variable %q has no value", name)
	}
}

// parseVar reads a value from the command line: text where the variable is text, otherwise an expression without references.
func (l *loader) parseVar(v *variable, raw string) cty.Value {
	at := place(v.node.block.DefRange())
	if v.typ == cty.String {
		return cty.StringVal(raw)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(raw), "-var "+v.node.label, hcl.InitialPos)
	if !diags.HasErrors() && len(expr.Variables()) == 0 {
		if value, diags := expr.Value(nil); !diags.HasErrors() {
			return l.convertVar(v, value, at)
		}
	}
	return l.convertVar(v, cty.StringVal(raw), at)
}

func (l *loader) convertVar(v *variable, value cty.Value, at diag.Range) cty.Value {
	out, err := convert.Convert(value, v.typ)
	if err != nil {
		l.diags.Errorf(at, fmt.Sprintf("give a value of type %s", typeexpr.TypeString(v.typ)), "variable %q: %v", v.node.label, err)
		return unknown
	}
	return out
}

func (l *loader) unknownVars() {
	for _, name := range keysOf(l.opts.Vars) {
		if _, ok := l.vars[name]; !ok {
			l.diags.Errorf(diag.Range{}, didYouMean(name, keysOf(l.vars), "the inventory declares no variables"), "-var %s: the inventory has no such variable", name)
		}
	}
}

// evalLocal evaluates a local after those it refers to.
func (l *loader) evalLocal(name string, chain []string) cty.Value {
	lo := l.locals[name]
	chain = append(chain, "local."+name)
	if lo.busy {
		l.diags.Errorf(place(lo.attr.at), "break the circle: one of them must not refer to the others", "locals refer to each other in a circle: %s", strings.Join(chain, " → "))
		return unknown
	}
	if lo.done {
		return lo.value
	}
	lo.busy = true
	needs := map[string]cty.Value{}
	for _, t := range lo.attr.expr.Variables() {
		if t.RootName() == "network" || t.RootName() == "cloud" {
			lo.attr.bad = true
			l.diags.Errorf(place(t.SourceRange()), "move the value into a local and use it in both places", "locals are evaluated before any block and cannot refer to %s", t.RootName())
		}
		if t.RootName() != "local" {
			continue
		}
		for _, dep := range l.localsNamed(t) {
			needs[dep] = l.evalLocal(dep, chain)
		}
	}
	lo.busy, lo.done = false, true
	if lo.attr.bad {
		return unknown
	}
	ctx := l.root.NewChild()
	ctx.Variables = map[string]cty.Value{"local": cty.ObjectVal(needs)}
	value, diags := l.value(lo.attr.expr, ctx)
	l.addHCL(diags)
	if !diags.HasErrors() {
		lo.value = value
	}
	return lo.value
}

// localsNamed are the locals that a reference may mean: one, or all when it is local[…] or local alone.
func (l *loader) localsNamed(t hcl.Traversal) []string {
	if len(t) > 1 {
		if attr, ok := t[1].(hcl.TraverseAttr); ok {
			if _, ok := l.locals[attr.Name]; ok {
				return []string{attr.Name}
			}
			return nil
		}
	}
	return keysOf(l.locals)
}
