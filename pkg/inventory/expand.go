package inventory

import (
	"fmt"
	"math/big"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// maxObjects bounds an inventory: the design limit is 10,000 nodes of a handful of blocks each.
const maxObjects = 1_000_000

// expandAll makes objects of all blocks: the cloud and networks first, since others may refer to them.
func (l *loader) expandAll(nodes []*blockNode) []*object {
	var out []*object
	for _, typ := range []string{"cloud", "network"} {
		for _, n := range nodes {
			if n.spec.typ == typ {
				l.forbid(n, typ)
				out = append(out, l.expand(n, l.root, nil)...)
			}
		}
		l.publish(typ, out)
	}
	for _, n := range nodes {
		switch n.spec.typ {
		case "variable", "locals", "cloud", "network":
		default:
			out = append(out, l.expand(n, l.root, nil)...)
		}
	}
	l.countSingles(rootSpec, nil, out)
	return out
}

// forbid reports references that cannot be resolved yet: among networks, and from the cloud to networks.
func (l *loader) forbid(n *blockNode, typ string) {
	attrs := append([]*attrNode{}, n.attrs...)
	for _, a := range append(attrs, n.forEach, n.name) {
		if a == nil {
			continue
		}
		for _, t := range a.expr.Variables() {
			if root := t.RootName(); root == "network" || (root == "cloud" && typ == "cloud") {
				a.bad = true
				l.diags.Errorf(place(t.SourceRange()), "put the shared value into locals { … } and use it in both places", "a %s cannot refer to %s", typ, root)
			}
		}
	}
	for _, c := range n.children {
		l.forbid(c, typ)
	}
}

// publish makes cloud.… and network.NAME.… available to expressions.
func (l *loader) publish(typ string, objects []*object) {
	all := map[string]cty.Value{}
	for _, o := range objects {
		if o.node.spec.typ != typ {
			continue
		}
		fields := map[string]cty.Value{"name": cty.StringVal(o.name)}
		for name := range o.node.spec.attrs {
			if v, ok := o.value(name); ok {
				fields[name] = v
			} else if name != "name" {
				fields[name] = cty.NullVal(cty.DynamicPseudoType)
			}
		}
		all[o.name] = cty.ObjectVal(fields)
		if typ == "cloud" {
			l.root.Variables[typ] = all[o.name]
		}
	}
	if typ != "cloud" {
		l.root.Variables[typ] = cty.ObjectVal(all)
	}
}

// expand makes the objects of one block within one instance of its parent.
func (l *loader) expand(n *blockNode, ctx *hcl.EvalContext, parent *object) []*object {
	if n.forEach == nil {
		return []*object{l.instance(n, ctx, parent, instanceKey{})}
	}
	each, ok := l.evaluate(n.forEach, ctx)
	if !ok {
		return nil
	}
	if !each.CanIterateElements() {
		l.diags.Errorf(place(n.forEach.expr.Range()), "give a list, a set or a map; tolist(), range(1, 4) and { a = 1 } make them", "for_each cannot go through a %s", each.Type().FriendlyName())
		return nil
	}
	var out []*object
	index := 0
	for it := each.ElementIterator(); it.Next(); index++ {
		k, v := it.Element()
		if each.Type().IsSetType() {
			k = v
		}
		if l.count > maxObjects {
			l.diags.Errorf(place(n.forEach.expr.Range()), "describe fewer", "the inventory has more than %d objects", maxObjects)
			return out
		}
		child := ctx.NewChild()
		child.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": k, "value": v, "index": cty.NumberIntVal(int64(index))})}
		out = append(out, l.instance(n, child, parent, instanceKey{set: true, mapped: each.Type().IsMapType() || each.Type().IsObjectType(), key: k, value: v, index: index}))
	}
	return out
}

// instanceKey tells which element of for_each an instance is.
type instanceKey struct {
	set, mapped bool
	key, value  cty.Value
	index       int
}

// suffix is the element's part of a default name: a map's key, else the element when it is text or a number, else its index.
func (k instanceKey) suffix() string {
	v := k.value
	if k.mapped {
		v = k.key
	}
	if s, err := convert.Convert(v, cty.String); err == nil && s.IsKnown() && !s.IsNull() {
		return s.AsString()
	}
	return fmt.Sprint(k.index)
}

func (l *loader) instance(n *blockNode, ctx *hcl.EvalContext, parent *object, key instanceKey) *object {
	l.count++
	o := &object{node: n, parent: parent, name: n.label, values: make([]cty.Value, len(n.attrs))}
	if key.set {
		o.name = n.label + "-" + key.suffix()
	}
	if n.name != nil {
		if v, ok := l.evaluate(n.name, ctx); ok {
			o.name = v.AsString()
		}
	}
	if n.spec.place {
		o.path = model.Path(o.name)
		if parent != nil {
			o.path = parent.path.Join(o.name)
		}
		ctx = nounScope(ctx, o, key)
	}
	for i, a := range n.attrs {
		if v, ok := l.evaluate(a, ctx); ok {
			o.values[i] = v
		}
	}
	for _, c := range n.children {
		o.children = append(o.children, l.expand(c, ctx, o)...)
	}
	if !n.spec.place || len(n.spec.blocks) > 0 {
		l.countSingles(n.spec, o, o.children)
	}
	return o
}

// nounScope makes the place itself available to what is in it: rack.name, rack.path, and with for_each rack.key, rack.value, rack.index.
func nounScope(ctx *hcl.EvalContext, o *object, key instanceKey) *hcl.EvalContext {
	fields := map[string]cty.Value{"name": cty.StringVal(o.name), "path": cty.StringVal(string(o.path))}
	if key.set {
		fields["key"], fields["value"], fields["index"] = key.key, key.value, cty.NumberIntVal(int64(key.index))
	}
	child := ctx.NewChild()
	child.Variables = map[string]cty.Value{o.node.spec.typ: cty.ObjectVal(fields)}
	return child
}

// countSingles reports blocks of which there may be only one.
func (l *loader) countSingles(spec *blockSpec, parent *object, children []*object) {
	first := map[string]*object{}
	for _, c := range children {
		if !c.node.spec.single {
			continue
		}
		if f := first[c.node.spec.typ]; f != nil {
			where := "the inventory"
			if parent != nil {
				where = spec.typ + " " + parent.name
			}
			l.diags.Errorf(c.at(), "keep one", "%s has more than one %s; the first is at %s", where, c.node.spec.typ, f.at())
			continue
		}
		first[c.node.spec.typ] = c
	}
}

// evaluate gives an attribute's value in the grammar's type. False: there is none, or the mistake was reported.
func (l *loader) evaluate(a *attrNode, ctx *hcl.EvalContext) (cty.Value, bool) {
	if a.bad {
		return cty.NilVal, false
	}
	if a.global && a.cached {
		return a.value, a.value != cty.NilVal
	}
	v := l.evaluateOnce(a, ctx)
	if a.global {
		a.cached, a.value = true, v
	}
	return v, v != cty.NilVal
}

func (l *loader) evaluateOnce(a *attrNode, ctx *hcl.EvalContext) cty.Value {
	v, diags := l.value(a.expr, ctx)
	if diags.HasErrors() {
		l.addHCL(diags)
		return cty.NilVal
	}
	if !v.IsWhollyKnown() {
		return cty.NilVal
	}
	if v.IsNull() {
		if a.spec.required || a.name == "for_each" || a.name == "name" {
			l.diags.Errorf(place(a.expr.Range()), "give a value", "%q must not be null", a.name)
		}
		return cty.NilVal
	}
	if a.name == "for_each" {
		return v
	}
	return l.typed(a, v)
}

// wantedType is the type of each kind's values.
var wantedType = [...]cty.Type{kString: cty.String, kInt: cty.Number, kFloat: cty.Number, kBool: cty.Bool, kStrings: cty.List(cty.String), kSecret: secretType, kAny: cty.DynamicPseudoType}

// typed converts a value to its attribute's kind.
func (l *loader) typed(a *attrNode, v cty.Value) cty.Value {
	want := wantedType[a.spec.kind]
	if a.spec.kind == kAny {
		return v
	}
	if a.spec.kind != kSecret && v.Type().Equals(secretType) {
		l.diags.Errorf(place(a.expr.Range()), "use it where credentials are expected", "%q cannot be a secret: it would be written in clear text into plans", a.name)
		return cty.NilVal
	}
	out, err := convert.Convert(v, want)
	if err != nil {
		remedy := fmt.Sprintf("write a %s", a.spec.kind)
		if a.spec.kind == kSecret {
			remedy = `write secret("NAME") and put the value into the secret store; if it was a real one, change it`
		}
		report := l.diags.Errorf
		if a.spec.kind == kSecret {
			report = l.diags.Sensitivef
		}
		report(place(a.expr.Range()), remedy, "%q must be a %s, not %s", a.name, a.spec.kind, v.Type().FriendlyName())
		return cty.NilVal
	}
	if a.spec.kind == kStrings {
		for it := out.ElementIterator(); it.Next(); {
			if _, e := it.Element(); e.IsNull() {
				l.diags.Errorf(place(a.expr.Range()), "remove it, for example with compact()", "%q has an element that is null", a.name)
				return cty.NilVal
			}
		}
	}
	if a.spec.kind == kInt {
		if n, accuracy := out.AsBigFloat().Int64(); accuracy != big.Exact || n < 0 || n > 1<<40 {
			l.diags.Errorf(place(a.expr.Range()), "write a whole number from 0", "%q is %s", a.name, out.AsBigFloat().Text('g', 12))
			return cty.NilVal
		}
	}
	return out
}
