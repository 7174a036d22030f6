package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// InventoryText draws the expanded tree.
func InventoryText(w io.Writer, s Style, d model.Desired) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.paint(ansiBold, "cloud "+d.Cloud.Name))
	seen := map[model.Path]bool{}
	for _, n := range d.Nodes {
		for depth := 1; depth <= 4; depth++ {
			place := n.Path.Element(depth)
			if place == n.Path || seen[place] {
				continue
			}
			seen[place] = true
			fmt.Fprintf(&b, "%s%s %s\n", strings.Repeat("  ", depth), placeNames[depth], place.Name())
		}
		roles := make([]string, len(n.Roles))
		for i, r := range n.Roles {
			roles[i] = string(r)
		}
		fmt.Fprintf(&b, "          %-14s %s %s\n", n.Name, s.paint(ansiDim, n.BMC.Address), strings.Join(roles, ","))
	}
	for _, vm := range d.VMs {
		fmt.Fprintf(&b, "  vm %-14s on %s, %d vCPU, %d MiB\n", vm.Name, vm.Node.Name(), vm.VCPUs, vm.MemoryMiB)
	}
	fmt.Fprintf(&b, "%s, %s, %s, %s, %s\n", Plural(len(d.Sites), "site"), Plural(len(d.Regions), "region"), Plural(len(d.Zones), "zone"),
		Plural(len(d.Racks), "rack"), Plural(len(d.Nodes), "node"))
	_, err := io.WriteString(w, b.String())
	return err
}

var placeNames = map[int]string{1: "site", 2: "region", 3: "zone", 4: "rack"}
