package ceph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Filesystem is a file system as it is wanted: one rank, and standbys that do nothing but stand by.
type Filesystem struct {
	Name     string
	Metadata string   // pool
	Data     []string // pools; the first is the default one
}

// create makes a file system in pools that are there.
func (f Filesystem) create() []Command {
	out := []Command{cmd("fs new", "fs_name", f.Name, "metadata", f.Metadata, "data", f.Data[0])}
	for _, pool := range f.Data[1:] {
		out = append(out, f.add(pool))
	}
	return out
}

func (f Filesystem) add(pool string) Command {
	return cmd("fs add_data_pool", "fs_name", f.Name, "pool", pool)
}

func (f Filesystem) set(name, value string) Command {
	return cmd("fs set", "fs_name", f.Name, "var", name, "val", value)
}

// fileChanges gives what is different about the file system. Further data pools that somebody added hold files, perhaps, and stay.
func (s Spec) fileChanges(seen model.ObservedCeph) []Change {
	if s.Filesystem == nil {
		return nil
	}
	f := *s.Filesystem
	i := slices.IndexFunc(seen.Filesystems, func(o model.ObservedFilesystem) bool { return o.Name == f.Name })
	if i < 0 {
		return []Change{{Text: "file system " + f.Name + " is not there", Commands: f.create()}}
	}
	o := seen.Filesystems[i]
	var out []Change
	add := func(refused string, c []Command, format string, args ...any) {
		out = append(out, Change{Text: "file system " + f.Name + ": " + fmt.Sprintf(format, args...), Commands: c, Refused: refused})
	}
	const forGood = "that is for good: make another file system and move the files"
	if o.Metadata != f.Metadata {
		add(forGood, nil, "its metadata pool is %s, not %s", o.Metadata, f.Metadata)
	}
	if len(o.Data) == 0 || o.Data[0] != f.Data[0] {
		add(forGood, nil, "its first data pool is %s, not %s", strings.Join(o.Data[:min(1, len(o.Data))], ""), f.Data[0])
	}
	for _, pool := range f.Data[1:] {
		if !slices.Contains(o.Data, pool) {
			add("", []Command{f.add(pool)}, "pool %s is none of its data pools", pool)
		}
	}
	if o.Failed {
		add("", []Command{f.set("joinable", "true")}, "it was taken down, and no metadata server may serve it")
	}
	if o.MaxMDS != 1 {
		add("", []Command{f.set("max_mds", "1")}, "max_mds is %d, not 1", o.MaxMDS)
	}
	if o.StandbyReplay {
		add("", []Command{f.set("allow_standby_replay", "false")}, "standbys follow its journal (allow_standby_replay)")
	}
	return out
}
