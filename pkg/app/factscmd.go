package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// machineFacts are what the machine behind a node told of itself when it was last installed.
type machineFacts struct {
	Node  model.Path   `json:"node"`
	At    time.Time    `json:"at"`
	Facts *order.Facts `json:"facts"`
	// Cabling is what is connected otherwise than the inventory says now.
	Cabling []string `json:"cabling,omitempty"`
}

// Facts shows the hardware of the nodes as of their last install: of one node, given by name or path, or of the nodes of a place in full; of all in a line
// each.
func Facts(ctx context.Context, e Env, which string) (err error) {
	inv, err := e.load()
	if err != nil {
		return err
	}
	s, err := e.openSite(ctx, inv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	nodes := slices.DeleteFunc(slices.Clone(inv.Desired.Nodes), func(n model.Node) bool {
		which := strings.Trim(which, "/")
		return which != "" && n.Name != which && !model.Path(which).Contains(n.Path)
	})
	if len(nodes) == 0 && which != "" {
		return fmt.Errorf("%q is neither a node nor a place with nodes; nuboctl inventory shows them", which)
	}
	list, err := knownFacts(ctx, state.Moved(s, inv.Desired.Moved), nodes)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, struct {
			FormatVersion int            `json:"format_version"`
			Machines      []machineFacts `json:"machines"`
		}{1, list})
	}
	if len(list) == 0 {
		e.note("No facts are known: a machine tells them when it is installed.")
	}
	text := factsTable
	if which != "" {
		text = factsText
	}
	_, err = io.WriteString(e.Out, text(list))
	return err
}

// knownFacts reads what is known of nodes, in their order; those of which nothing is known are left out.
func knownFacts(ctx context.Context, s state.Store, nodes []model.Node) ([]machineFacts, error) {
	items, err := state.Orders[provision.Record](s, state.Fence{}).List(ctx, "")
	if err != nil {
		return nil, err
	}
	records := make(map[model.Path]provision.Record, len(items))
	for _, it := range items {
		records[model.Path(it.Key)] = it.Value
	}
	out := []machineFacts{}
	for _, n := range nodes {
		r := records[n.Path]
		if r.Facts == nil {
			continue
		}
		notes, _ := order.Cabling(provision.Cables(n), r.Facts.NICs)
		out = append(out, machineFacts{n.Path, r.FactsAt, r.Facts, notes})
	}
	return out, nil
}

// noteCabling adds to a plan what was connected otherwise than the inventory says when its nodes were last installed.
func (s *session) noteCabling(ctx context.Context, notes []string, targets []model.Path) ([]string, error) {
	wired := slices.DeleteFunc(slices.Clone(targeted(s.desired.Nodes, targets)), func(n model.Node) bool { return len(provision.Cables(n)) == 0 })
	if len(wired) == 0 {
		return notes, nil
	}
	list, err := knownFacts(ctx, s.known, wired)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		for _, c := range f.Cabling {
			notes = append(notes, fmt.Sprintf("%s: when it was installed on %s, %s", f.Node, f.At.UTC().Format(time.DateOnly), c))
		}
	}
	return notes, nil
}

func factsTable(list []machineFacts) string {
	var b strings.Builder
	if len(list) > 0 {
		fmt.Fprintf(&b, "%-14s %-16s %-24s %5s %10s %6s %5s  %s\n", "NODE", "SERIAL", "MODEL", "CPUS", "MEMORY", "DISKS", "NICS", "INSTALLED")
	}
	for _, m := range list {
		f := m.Facts
		more := ""
		if len(m.Cabling) > 0 {
			more = "  cabling differs"
		}
		fmt.Fprintf(&b, "%-14s %-16s %-24s %5d %10s %6d %5d  %s%s\n", m.Node.Name(), f.Serial, strings.TrimSpace(f.Manufacturer+" "+f.Product), f.CPUs,
			view.Bytes(f.MemoryMiB<<20), len(f.Disks), len(f.NICs), m.At.UTC().Format(time.DateOnly), more)
	}
	return b.String()
}

func factsText(list []machineFacts) string {
	var b strings.Builder
	for i, m := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		m.text(&b)
	}
	return b.String()
}

// text is one machine in full.
func (m machineFacts) text(b *strings.Builder) {
	f := m.Facts
	secure := ""
	if f.SecureBoot {
		secure = ", Secure Boot"
	}
	fmt.Fprintf(b, "%s, as of its install at %s\n", m.Node, m.At.UTC().Format(time.RFC3339))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-9s %s\n", name, strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
	}
	line("machine", "%s %s, serial %s, UUID %s", f.Manufacturer, f.Product, f.Serial, f.UUID)
	line("firmware", "%s %s%s", f.Firmware, f.BIOSVersion, secure)
	line("processor", "%d × %s", f.CPUs, f.CPUModel)
	line("memory", "%s", view.Bytes(f.MemoryMiB<<20))
	for _, d := range f.Disks {
		kind := "solid state"
		if d.Rotational {
			kind = "rotating"
		}
		line("disk", "%s: %s, %s, serial %s %s %s %s", d.Name, view.Bytes(d.SizeBytes), kind, d.Serial, d.Transport, d.Vendor, d.Model)
	}
	for _, n := range f.NICs {
		link := "no link"
		if n.Carrier {
			link = "link"
		}
		if n.SpeedMb > 0 {
			link = fmt.Sprintf("%d Mb/s", n.SpeedMb)
		}
		line("card", "%s: %s, %s, %s", n.Name, n.MAC, n.Driver, link)
		for _, who := range n.Neighbours {
			line("", "connected to %s %s %s", who, who.PortText, who.System)
		}
	}
	for _, c := range m.Cabling {
		line("note", "%s", c)
	}
}
