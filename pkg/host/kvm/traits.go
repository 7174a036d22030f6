package kvm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Passthrough is the word of a processor that is its host's own, and so not the same on another model of host.
const Passthrough = "host-passthrough"

// Traits are what of a domain decides where it can run and whether it can move; of one that runs, as it was started.
type Traits struct {
	CPU         string   `json:"cpu,omitempty"` // word of its processor, Passthrough, or empty: QEMU's usual one, which every host gives
	MachineType string   `json:"machine_type,omitempty"`
	Networks    []string `json:"networks,omitempty"`   // bridges, sorted; "network NAME" for one that libvirt itself keeps
	NUMACells   int      `json:"numa_cells,omitempty"` // cells whose huge pages hold its memory; 0: it floats
	// Ties are devices of its host, in words for people; Boot are files of its host that it boots from; Local are its disks that no other host sees.
	Ties  []string    `json:"ties,omitempty"`
	Boot  []string    `json:"boot,omitempty"`
	Local []LocalDisk `json:"local,omitempty"`
	// Persistent is false of a domain that libvirt forgets when it stops.
	Persistent bool `json:"persistent,omitempty"`
}

// LocalDisk is a disk on one host only.
type LocalDisk struct {
	Target string `json:"target"` // its name in the domain: vda
	Path   string `json:"path"`   // file or block device; empty when it is another kind, which Kind names
	Kind   string `json:"kind"`   // file, block, or what libvirt calls it
	Format string `json:"format,omitempty"`
}

// Copyable reports whether the disk can be copied to another host while its domain runs.
func (l LocalDisk) Copyable() bool { return l.Kind == "file" }

// Tied says why the domain cannot go to another host, for people; empty when it can. Whoever brings the files it boots from, or copies its disks,
// says so.
func (t Traits) Tied(bringsBoot, copiesDisks bool) string {
	why := slices.Clone(t.Ties)
	if !bringsBoot {
		for _, f := range t.Boot {
			why = append(why, f+", which it boots from, is on its host only")
		}
	}
	for _, d := range t.Local {
		if !copiesDisks || !d.Copyable() {
			why = append(why, fmt.Sprintf("its disk %s (%s) is on its host only", d.Target, strings.TrimSpace(d.Kind+" "+d.Path)))
		}
	}
	return strings.Join(why, "; ")
}

// parseTraits reads them from the description that a domain runs with, and the one that libvirt keeps of it.
func parseTraits(running, kept string) (Traits, error) {
	var x, p libvirtxml.Domain
	if err := x.Unmarshal(running); err != nil {
		return Traits{}, fmt.Errorf("libvirt's description of a running virtual machine: %w", err)
	}
	if err := p.Unmarshal(kept); err != nil {
		return Traits{}, fmt.Errorf("libvirt's description of a virtual machine: %w", err)
	}
	t := Traits{CPU: cpuWord(x.CPU, p.CPU), NUMACells: numaCells(&x)}
	if x.OS != nil {
		if x.OS.Type != nil {
			t.MachineType = x.OS.Type.Machine
		}
		for _, f := range []string{x.OS.Kernel, x.OS.Initrd, x.OS.DTB} {
			if f != "" {
				t.Boot = append(t.Boot, f)
			}
		}
	}
	if x.LaunchSecurity != nil {
		t.Ties = append(t.Ties, "its memory is encrypted with a key of its host")
	}
	if x.Devices != nil {
		t.devices(x.Devices)
	}
	return t, nil
}

// cpuWord is the processor that a guest sees. What was asked for by name is told as asked; what libvirt chose (host-model), as it chose.
func cpuWord(running, kept *libvirtxml.DomainCPU) string {
	switch {
	case kept != nil && (kept.Mode == Passthrough || kept.Mode == "maximum"):
		return Passthrough
	case kept != nil && kept.Mode == "custom" && kept.Check == "none":
		return "" // nothing was asked for
	}
	if asked := projectCPU(kept); asked.Model != "" {
		return asked.String()
	}
	if got := projectCPU(running); got.Model != "" {
		return got.String()
	}
	return ""
}

// numaCells counts the host's cells whose huge pages a domain has (https://libvirt.org/formatdomain.html#memory-backing).
func numaCells(x *libvirtxml.Domain) int {
	if x.MemoryBacking == nil || x.MemoryBacking.MemoryHugePages == nil {
		return 0
	}
	if x.NUMATune != nil && x.NUMATune.Memory != nil && x.NUMATune.Memory.Nodeset != "" {
		if n := setSize(x.NUMATune.Memory.Nodeset); n > 0 {
			return n
		}
	}
	if x.CPU != nil && x.CPU.Numa != nil {
		return max(len(x.CPU.Numa.Cell), 1)
	}
	return 1
}

// setSize counts the members of a set as libvirt writes it: "0-2,4,^1".
func setSize(text string) int {
	members := map[int]bool{}
	for part := range strings.SplitSeq(text, ",") {
		part, less := strings.CutPrefix(part, "^")
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || b-a > 1<<10 {
			return 0
		}
		for i := a; i <= b; i++ {
			if members[i] = true; less {
				delete(members, i)
			}
		}
	}
	return len(members)
}

func (t *Traits) devices(list *libvirtxml.DomainDeviceList) {
	tie := func(n int, what string) {
		if n > 0 {
			t.Ties = append(t.Ties, fmt.Sprintf("it has %s of its host (%d)", what, n))
		}
	}
	tie(len(list.Hostdevs), "passthrough devices")
	tie(len(list.Filesystems), "shared directories")
	tie(len(list.Shmems), "shared memory")
	for _, tpm := range list.TPMs {
		if tpm.Backend != nil && tpm.Backend.Passthrough != nil {
			tie(1, "the TPM")
		}
	}
	for _, m := range list.Memorydevs {
		if m.Model == "nvdimm" || m.Model == "virtio-pmem" {
			tie(1, "persistent memory")
		}
	}
	for _, i := range list.Interfaces {
		t.card(i)
	}
	slices.Sort(t.Networks)
	t.Networks = slices.Compact(t.Networks)
	for _, k := range list.Disks {
		t.disk(k)
	}
}

func (t *Traits) card(i libvirtxml.DomainInterface) {
	s := i.Source
	switch {
	case s == nil:
	case s.Bridge != nil:
		t.Networks = append(t.Networks, s.Bridge.Bridge)
	case s.Network != nil:
		t.Networks = append(t.Networks, "network "+s.Network.Network)
	case s.Hostdev != nil, s.VDPA != nil:
		t.Ties = append(t.Ties, "it has a network card of its host")
	case s.Direct != nil:
		t.Ties = append(t.Ties, "its card is one of the host's network card "+s.Direct.Dev)
	}
}

// disk notes a disk that only this host sees. One that is marked shareable is its owner's word that others see it too.
func (t *Traits) disk(k libvirtxml.DomainDisk) {
	if k.Source == nil || k.Source.Network != nil || k.Shareable != nil {
		return
	}
	l := LocalDisk{Kind: "special"}
	switch s := k.Source; {
	case s.File != nil:
		l.Kind, l.Path = "file", s.File.File
	case s.Block != nil:
		l.Kind, l.Path = "block", s.Block.Dev
	case s.Volume != nil:
		l.Kind, l.Path = "volume", s.Volume.Pool+"/"+s.Volume.Volume
	case s.Dir != nil:
		l.Kind, l.Path = "directory", s.Dir.Dir
	}
	if l.Path == "" && (k.Device == "cdrom" || k.Device == "floppy") {
		return // an empty drive
	}
	if k.Target != nil {
		l.Target = k.Target.Dev
	}
	if k.Driver != nil {
		l.Format = k.Driver.Type
	}
	if k.ReadOnly != nil || k.Device == "cdrom" || k.Device == "floppy" {
		l.Kind = "read-only " + l.Kind // libvirt copies what can be written, and nothing else
	}
	t.Local = append(t.Local, l)
}
