package ovs

import (
	"strings"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// transaction gives the ovs-vsctl arguments that make all changes at once, or none of them.
func transaction(changes []Change) []string {
	var argv []string
	for _, c := range changes {
		argv = append(argv, "--")
		argv = append(argv, c.words()...)
	}
	return argv
}

// words gives one ovs-vsctl command. Each may be repeated without harm.
func (c Change) words() []string {
	switch c.Kind {
	case AddBridge:
		return []string{"--may-exist", "add-br", c.Bridge}
	case RemovePort:
		return []string{"--if-exists", "del-port", c.Bridge, c.Port}
	case AddPort:
		if len(c.Members) > 1 {
			return append([]string{"--may-exist", "add-bond", c.Bridge, c.Port}, c.Members...)
		}
		return []string{"--may-exist", "add-port", c.Bridge, c.Port}
	case SetBridge:
		return c.set("Bridge", c.Bridge)
	case SetPort:
		return c.set("Port", c.Port)
	}
	return c.set("Interface", c.Interface)
}

// set gives the command for one column; "column:key" is an entry of a map column.
func (c Change) set(table, record string) []string {
	if c.To != "" {
		return []string{"set", table, record, c.Column + "=" + c.To}
	}
	if column, key, isMap := strings.Cut(c.Column, ":"); isMap {
		return []string{"remove", table, record, column, key}
	}
	return []string{"clear", table, record, c.Column}
}

// BootScript gives sh text that brings a host to the wanted state from nothing, and does no harm when it is run again. It removes nothing.
func (d Driver) BootScript(wanted Spec) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\nset -eu\n")
	if changes := Diff(State{}, wanted); len(changes) > 0 {
		b.WriteString(remote.QuoteAll(d.vsctl()))
		for _, c := range changes {
			b.WriteString(" \\\n  -- " + remote.QuoteAll(c.words()))
		}
		b.WriteString("\n")
	}
	return b.String()
}
