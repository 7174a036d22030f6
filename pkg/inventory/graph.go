package inventory

import (
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Graph draws the cloud in Graphviz's DOT language: places as nested clusters, nodes with their roles, networks beside them.
func Graph(d model.Desired) string {
	g := &grapher{children: map[model.Path][]model.Path{}, nodes: map[model.Path]*model.Node{}}
	for _, s := range d.Sites {
		g.add(s.Path)
	}
	for _, r := range d.Regions {
		g.add(r.Path)
	}
	for _, list := range [][]model.Place{d.Zones, d.Racks, d.Chassis} {
		for _, p := range list {
			g.add(p.Path)
		}
	}
	for i := range d.Nodes {
		g.nodes[d.Nodes[i].Path] = &d.Nodes[i]
		g.add(d.Nodes[i].Path)
	}
	fmt.Fprintf(&g.b, "digraph %q {\n  rankdir=LR;\n  compound=true;\n  node [shape=box, fontname=\"sans-serif\"];\n", d.Cloud.Name)
	for _, n := range d.Networks {
		label := n.Name + `\n` + n.CIDR.String()
		if n.VLAN > 0 {
			label += fmt.Sprintf(`\nvlan %d`, n.VLAN)
		}
		fmt.Fprintf(&g.b, "  \"network/%s\" [shape=ellipse, label=\"%s\"];\n", n.Name, label)
	}
	g.draw("", 1)
	g.links(d)
	g.b.WriteString("}\n")
	return g.b.String()
}

type grapher struct {
	b        strings.Builder
	children map[model.Path][]model.Path
	nodes    map[model.Path]*model.Node
}

func (g *grapher) add(p model.Path) { g.children[p.Parent()] = append(g.children[p.Parent()], p) }

func (g *grapher) draw(p model.Path, depth int) {
	indent := strings.Repeat("  ", depth)
	for _, c := range g.children[p] {
		if n := g.nodes[c]; n != nil {
			roles := make([]string, len(n.Roles))
			for i, r := range n.Roles {
				roles[i] = string(r)
			}
			fmt.Fprintf(&g.b, "%s\"%s\" [label=\"%s\\n%s\"];\n", indent, c, n.Name, strings.Join(roles, " "))
			continue
		}
		fmt.Fprintf(&g.b, "%ssubgraph \"cluster_%s\" {\n%s  label=\"%s\";\n", indent, c, indent, c.Name())
		g.draw(c, depth+1)
		fmt.Fprintf(&g.b, "%s}\n", indent)
	}
}

func (g *grapher) links(d model.Desired) {
	for _, n := range d.Nodes {
		for _, c := range n.NICs {
			if c.Network != "" {
				fmt.Fprintf(&g.b, "  \"%s\" -> \"network/%s\" [label=\"%s\", dir=none];\n", n.Path, c.Network, c.Name)
			}
		}
		for _, p := range n.Ports {
			fmt.Fprintf(&g.b, "  \"%s\" -> \"network/%s\" [label=\"%s\", dir=none, style=dashed];\n", n.Path, p.Network, p.Name)
		}
	}
	for _, vm := range d.VMs {
		fmt.Fprintf(&g.b, "  \"vm/%s\" [shape=component, label=\"%s\"];\n  \"vm/%s\" -> \"%s\";\n", vm.Name, vm.Name, vm.Name, vm.Node)
	}
}
