package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// attrNode is an attribute as written.
type attrNode struct {
	name   string
	spec   attrSpec
	expr   hclsyntax.Expression
	at     hcl.Range // of its name
	bad    bool      // a mistake in it was reported
	global bool      // refers to nothing that differs between instances
	cached bool
	value  cty.Value
}

// blockNode is a block as written, checked against the grammar once, however often for_each repeats it.
type blockNode struct {
	spec     *blockSpec
	label    string
	block    *hclsyntax.Block
	forEach  *attrNode
	name     *attrNode
	attrs    []*attrNode
	children []*blockNode
}

// shape checks all blocks against the grammar. Variables and locals are among the result.
func (l *loader) shape(bodies []*hclsyntax.Body) []*blockNode {
	var nodes []*blockNode
	for _, body := range bodies {
		for _, a := range sortedAttributes(body) {
			l.diags.Errorf(place(a.NameRange), "put it into a block, for example locals { … }", "attribute %q outside of any block", a.Name)
		}
		for _, b := range body.Blocks {
			if n := l.shapeBlock(rootSpec, b); n != nil {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].SrcRange.Start.Byte < out[j].SrcRange.Start.Byte })
	return out
}

func (l *loader) shapeBlock(parent *blockSpec, b *hclsyntax.Block) *blockNode {
	spec, ok := parent.blocks[b.Type]
	if !ok {
		l.unknownBlock(parent, b)
		return nil
	}
	n := &blockNode{spec: spec, block: b}
	if !l.shapeLabels(n) {
		return nil
	}
	if spec.typ != "locals" {
		l.shapeAttributes(n)
	}
	for _, child := range b.Body.Blocks {
		if c := l.shapeBlock(spec, child); c != nil {
			n.children = append(n.children, c)
		}
	}
	return n
}

func (l *loader) unknownBlock(parent *blockSpec, b *hclsyntax.Block) {
	remedy := didYouMean(b.Type, keysOf(parent.blocks), "remove it")
	if _, isAttr := parent.attrs[b.Type]; isAttr {
		remedy = fmt.Sprintf("%q is an attribute: write %s = …", b.Type, b.Type)
	}
	l.diags.Errorf(place(b.TypeRange), remedy, "unknown block %q in %s", b.Type, parent.typ)
}

func (l *loader) shapeLabels(n *blockNode) bool {
	want := 0
	if n.spec.label {
		want = 1
	}
	got := len(n.block.Labels)
	switch {
	case got == want && want == 1 && n.block.Labels[0] == "":
		l.diags.Errorf(place(n.block.LabelRanges[0]), "give it a name", "%s with an empty name", n.spec.typ)
	case got == want:
		if want == 1 {
			n.label = n.block.Labels[0]
		}
		return true
	case want == 1:
		l.diags.Errorf(place(n.block.DefRange()), fmt.Sprintf("write: %s \"NAME\" { … }", n.spec.typ), "%s takes one label, its name; this one has %d", n.spec.typ, got)
	default:
		l.diags.Errorf(place(n.block.DefRange()), fmt.Sprintf("write: %s { … }", n.spec.typ), "%s takes no label", n.spec.typ)
	}
	return false
}

func (l *loader) shapeAttributes(n *blockNode) {
	for _, a := range sortedAttributes(n.block.Body) {
		spec, ok := n.spec.attrs[a.Name]
		node := &attrNode{name: a.Name, spec: spec, expr: a.Expr, at: a.NameRange}
		switch {
		case a.Name == "for_each" && !n.spec.fixed:
			n.forEach = node
		case a.Name == "name" && n.spec.label && !n.spec.fixed:
			node.spec = opt(kString, "default: the label; with for_each LABEL-KEY")
			n.name = node
		case !ok:
			l.unknownAttribute(n.spec, a)
		default:
			n.attrs = append(n.attrs, node)
		}
	}
	for _, name := range keysOf(n.spec.attrs) {
		if _, written := n.block.Body.Attributes[name]; n.spec.attrs[name].required && !written {
			l.diags.Errorf(place(n.block.DefRange()), fmt.Sprintf("add: %s = …  (%s)", name, n.spec.attrs[name].doc), "%s %q lacks %q", n.spec.typ, n.label, name)
		}
	}
}

func (l *loader) unknownAttribute(spec *blockSpec, a *hclsyntax.Attribute) {
	known := keysOf(spec.attrs)
	if spec.label && !spec.fixed {
		known = append(known, "name", "for_each")
	}
	remedy := didYouMean(a.Name, known, "remove it")
	if _, isBlock := spec.blocks[a.Name]; isBlock {
		remedy = fmt.Sprintf("%q is a block: write %s { … }", a.Name, a.Name)
	}
	if a.Name == "for_each" {
		remedy = "remove it; there is only one " + spec.typ
	}
	l.diags.Errorf(place(a.NameRange), remedy, "unknown attribute %q in %s", a.Name, spec.typ)
}

// scope is what expressions at some place of the tree may refer to beside the global names.
type scope struct {
	each  bool
	nouns []string
}

// globals are the roots that mean the same everywhere.
var globals = []string{"var", "local", "network", "cloud"}

// checkReferences walks the tree and reports every reference to what does not exist, once, whether for_each yields anything or not.
func (l *loader) checkReferences(n *blockNode, s scope) {
	if n.forEach != nil {
		l.checkReference(n.forEach, s)
		s.each = true
	}
	if n.name != nil {
		l.checkReference(n.name, s)
	}
	if n.spec.place {
		s.nouns = append(s.nouns[:len(s.nouns):len(s.nouns)], n.spec.typ)
	}
	for _, a := range n.attrs {
		l.checkReference(a, s)
	}
	for _, c := range n.children {
		l.checkReferences(c, s)
	}
}

func (l *loader) checkReference(a *attrNode, s scope) {
	a.global = true
	for _, t := range a.expr.Variables() {
		root := t.RootName()
		switch {
		case root == "each" && s.each, contains(s.nouns, root):
			a.global = false
		case root == "each":
			a.bad = true
			l.diags.Errorf(place(t.SourceRange()), "add for_each to the block, or use another value", "each.… outside of a block with for_each")
		case contains(globals, root):
			if !l.checkGlobal(t) {
				a.bad = true
			}
		default:
			a.bad = true
			known := append(append([]string{}, globals...), s.nouns...)
			if s.each {
				known = append(known, "each")
			}
			l.diags.Errorf(place(t.SourceRange()), l.bareWordRemedy(root, known), "there is no %q to refer to", root)
		}
	}
}

// bareWordRemedy thinks of text without quotes and of variables without var.
func (l *loader) bareWordRemedy(word string, known []string) string {
	if _, ok := l.vars[word]; ok {
		return "write var." + word
	}
	if _, ok := l.locals[word]; ok {
		return "write local." + word
	}
	if c := nearest(word, known); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return fmt.Sprintf("write %q for text; references begin with %s", word, strings.Join(known, ", "))
}

// checkGlobal checks var.NAME, local.NAME and network.NAME.
func (l *loader) checkGlobal(t hcl.Traversal) bool {
	root := t.RootName()
	if len(t) < 2 {
		return true
	}
	attr, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		return true
	}
	var known []string
	switch root {
	case "var":
		known = keysOf(l.vars)
	case "local":
		known = keysOf(l.locals)
	case "network":
		if l.networks == nil {
			return true
		}
		known = keysOf(l.networks)
	default:
		return true
	}
	if contains(known, attr.Name) {
		return true
	}
	declare := map[string]string{"var": `declare it: variable "` + attr.Name + `" { … }`, "local": "add it to locals { … }", "network": `add: network "` + attr.Name + `" { … }`}[root]
	remedy := declare
	if c := nearest(attr.Name, known); c != "" {
		remedy = fmt.Sprintf("did you mean %s.%s? Otherwise %s", root, c, declare)
	}
	l.diags.Errorf(place(t.SourceRange()), remedy, "%s.%s is not defined", root, attr.Name)
	return false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
