package inventory

import (
	"reflect"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

func typeOfString() reflect.Type { return reflect.TypeFor[string]() }

// object is one block after for_each: its values have the types of the grammar.
type object struct {
	node     *blockNode
	name     string
	path     model.Path  // of a place or node
	values   []cty.Value // parallel to node.attrs; NilVal: not given or not usable
	children []*object
	parent   *object
}

// at is where the block was written.
func (o *object) at() diag.Range { return place(o.node.block.DefRange()) }

func (o *object) index(attr string) int {
	for i, a := range o.node.attrs {
		if a.name == attr {
			return i
		}
	}
	return -1
}

// where is the range of an attribute's value, or of the block when it was not written.
func (o *object) where(attr string) diag.Range {
	if i := o.index(attr); i >= 0 {
		return place(o.node.attrs[i].expr.Range())
	}
	if attr == "name" && o.node.name != nil {
		return place(o.node.name.expr.Range())
	}
	return o.at()
}

// whereElement is the range of one element of a list that was written out, else that of the whole attribute.
func (o *object) whereElement(attr string, n int) diag.Range {
	if i := o.index(attr); i >= 0 {
		if list, ok := o.node.attrs[i].expr.(*hclsyntax.TupleConsExpr); ok && n < len(list.Exprs) {
			return place(list.Exprs[n].Range())
		}
	}
	return o.where(attr)
}

// value is the attribute's value and whether it has one.
func (o *object) value(attr string) (cty.Value, bool) {
	i := o.index(attr)
	if i < 0 || o.values[i] == cty.NilVal {
		return cty.NilVal, false
	}
	return o.values[i], true
}

// has reports whether the attribute has a usable value.
func (o *object) has(attr string) bool { _, ok := o.value(attr); return ok }

// written reports whether the author wrote the attribute, usable or not.
func (o *object) written(attr string) bool { return o.index(attr) >= 0 }

func (o *object) str(attr string) string {
	if v, ok := o.value(attr); ok {
		return v.AsString()
	}
	return ""
}

func (o *object) num(attr string) int {
	if v, ok := o.value(attr); ok {
		n, _ := v.AsBigFloat().Int64()
		return int(n)
	}
	return 0
}

func (o *object) float(attr string) float64 {
	if v, ok := o.value(attr); ok {
		f, _ := v.AsBigFloat().Float64()
		return f
	}
	return 0
}

func (o *object) flag(attr string) bool {
	v, ok := o.value(attr)
	return ok && v.True()
}

func (o *object) strs(attr string) []string {
	v, ok := o.value(attr)
	if !ok {
		return nil
	}
	var out []string
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		out = append(out, e.AsString())
	}
	return out
}

func (o *object) secret(attr string) model.SecretRef {
	if v, ok := o.value(attr); ok {
		return model.SecretRef(*v.EncapsulatedValue().(*string))
	}
	return ""
}

// all are the children of one type, in the order of the source.
func (o *object) all(typ string) []*object {
	var out []*object
	for _, c := range o.children {
		if c.node.spec.typ == typ {
			out = append(out, c)
		}
	}
	return out
}

// first is the first child of a type, or nil.
func (o *object) first(typ string) *object {
	for _, c := range o.children {
		if c.node.spec.typ == typ {
			return c
		}
	}
	return nil
}
