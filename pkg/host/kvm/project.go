package kvm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Parse reads libvirt's persistent description of a domain back into the words of this package. State and Autostart are not in it.
func Parse(text string) (Observed, error) {
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return Observed{}, fmt.Errorf("libvirt's description of a virtual machine: %w", err)
	}
	sum := sha256.Sum256([]byte(text))
	m, ours := findMark(&x)
	o := Observed{Ours: ours, XMLDigest: "sha256:" + hex.EncodeToString(sum[:])}
	held, isHeld := findHeld(&x)
	o.Held, o.HeldAutostart = isHeld, held.Autostart
	o.Domain = Domain{Name: x.Name, UUID: x.UUID, Accelerated: x.Type == "kvm", Spec: m.Spec}
	if cpu := projectCPU(x.CPU); cpu.Model != "" {
		o.CPU = cpu.String()
	}
	if x.VCPU != nil {
		o.VCPUs = int(x.VCPU.Value)
	}
	if x.Memory != nil {
		o.MemoryMiB = mebibytes(x.Memory.Value, x.Memory.Unit)
	}
	if x.OS != nil {
		o.Kernel, o.Initrd, o.Cmdline = x.OS.Kernel, x.OS.Initrd, x.OS.Cmdline
		if x.OS.Type != nil {
			o.Machine = x.OS.Type.Machine
		}
	}
	if x.Devices != nil {
		projectDevices(&o.Domain, x.Devices)
	}
	return o, nil
}

// mebibytes converts the units of libvirt (https://libvirt.org/formatdomain.html#memory-allocation; none means KiB).
func mebibytes(value uint, unit string) int {
	shift := map[string]int{"b": -20, "bytes": -20, "": -10, "k": -10, "KiB": -10, "M": 0, "MiB": 0, "G": 10, "GiB": 10, "T": 20, "TiB": 20}
	by, known := shift[unit]
	switch {
	case !known:
		return 0
	case by < 0:
		return int(value >> -by)
	}
	return int(value << by)
}

func projectDevices(d *Domain, list *libvirtxml.DomainDeviceList) {
	for _, k := range list.Disks {
		if k.Device != "disk" && k.Device != "" || k.Source == nil {
			continue // CD-ROM and floppy drives
		}
		d.Disks = append(d.Disks, projectDisk(k))
	}
	for _, i := range list.Interfaces {
		d.NICs = append(d.NICs, projectNIC(i))
	}
	for _, s := range list.Serials {
		if s.Log != nil && d.ConsoleLog == "" {
			d.ConsoleLog = s.Log.File
		}
	}
}

func projectNIC(i libvirtxml.DomainInterface) NIC {
	var n NIC
	if i.MAC != nil {
		n.MAC = i.MAC.Address
	}
	if i.Source != nil && i.Source.Bridge != nil {
		n.Bridge = i.Source.Bridge.Bridge
	}
	if i.VLan != nil && len(i.VLan.Tags) == 1 {
		n.VLAN = int(i.VLan.Tags[0].ID)
	}
	return n
}

// Diff tells what differs between what libvirt has and what is wanted, for people: "FIELD HAVE → WANT". Empty: nothing.
func Diff(have, want Domain) []string {
	var out []string
	note := func(field string, a, b any) {
		if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
			out = append(out, fmt.Sprintf("%s %s → %s", field, shown(x), shown(y)))
		}
	}
	note("vcpus", have.VCPUs, want.VCPUs)
	note("memory_mib", have.MemoryMiB, want.MemoryMiB)
	note("accelerated", have.Accelerated, want.Accelerated)
	note("cpu", have.CPU, canonicalCPU(want.CPU))
	note("kernel", have.Kernel, want.Kernel)
	note("initrd", have.Initrd, want.Initrd)
	note("cmdline", have.Cmdline, want.Cmdline)
	note("console_log", have.ConsoleLog, want.ConsoleLog)
	note("autostart", have.Autostart, want.Autostart)
	note("spec", have.Spec, want.Spec)
	if want.UUID != "" {
		note("uuid", have.UUID, want.UUID)
	}
	if want.Machine != "" && !sameMachine(have.Machine, want.Machine) {
		note("machine", have.Machine, want.Machine)
	}
	if !slices.Equal(have.Disks, want.Disks) {
		note("disks", have.Disks, want.Disks)
	}
	if !slices.Equal(have.NICs, want.NICs) {
		note("nics", have.NICs, want.NICs)
	}
	return out
}

// canonicalCPU is the word as it is read back.
func canonicalCPU(word string) string {
	if c, err := ParseCPU(word); err == nil {
		return c.String()
	}
	return word
}

// sameMachine: libvirt stores "q35" as "pc-q35-7.2" or the like, and "pc" as "pc-i440fx-7.2".
func sameMachine(have, want string) bool {
	return have == want || want == "q35" && strings.HasPrefix(have, "pc-q35-") || want == "pc" && strings.HasPrefix(have, "pc-i440fx-")
}

func shown(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
