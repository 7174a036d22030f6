package kvm

import (
	"encoding/xml"
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// namespace marks the metadata of every domain that is defined here.
const namespace = "https://nuboctl.github.io/libvirt/1"

// mark is that metadata: its presence says whose the domain is.
type mark struct {
	XMLName xml.Name `xml:"https://nuboctl.github.io/libvirt/1 domain"`
	Spec    string   `xml:"spec,attr"`
}

// metadata gives the mark as libvirt wants it, with a prefix (https://libvirt.org/formatdomain.html#general-metadata).
func (d Domain) metadata() (*libvirtxml.DomainMetadata, error) {
	var spec strings.Builder
	if err := xml.EscapeText(&spec, []byte(d.Spec)); err != nil {
		return nil, fmt.Errorf("virtual machine %q: spec: %w", d.Name, err)
	}
	return &libvirtxml.DomainMetadata{XML: `<nubo:domain xmlns:nubo="` + namespace + `" spec="` + spec.String() + `"/>`}, nil
}

// findMark reads the mark however libvirt writes it.
func findMark(x *libvirtxml.Domain) (mark, bool) {
	if x.Metadata == nil {
		return mark{}, false
	}
	var all struct {
		Marks []mark `xml:"https://nuboctl.github.io/libvirt/1 domain"`
	}
	if err := xml.Unmarshal([]byte("<metadata>"+x.Metadata.XML+"</metadata>"), &all); err != nil || len(all.Marks) == 0 {
		return mark{}, false // someone else's metadata
	}
	return all.Marks[0], true
}

// XML gives libvirt's description (https://libvirt.org/formatdomain.html) of a domain. Same domain, same bytes.
func (d Domain) XML() (string, error) {
	metadata, err := d.metadata()
	if err != nil {
		return "", err
	}
	x := &libvirtxml.Domain{
		Type: "qemu", Name: d.Name, UUID: d.UUID,
		Metadata: metadata,
		Memory:   &libvirtxml.DomainMemory{Value: uint(d.MemoryMiB), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Placement: "static", Value: uint(d.VCPUs)},
		OS: &libvirtxml.DomainOS{
			Type:   &libvirtxml.DomainOSType{Arch: "x86_64", Machine: d.machine(), Type: "hvm"},
			Kernel: d.Kernel, Initrd: d.Initrd, Cmdline: d.Cmdline,
		},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "restart",
		Devices: d.devices(),
	}
	if d.Accelerated {
		x.Type = "kvm"
		x.CPU = &libvirtxml.DomainCPU{Mode: "host-model"}
	}
	if d.CPU != "" {
		cpu, err := ParseCPU(d.CPU)
		if err != nil {
			return "", err
		}
		x.CPU = cpu.xml()
	}
	if d.Kernel == "" {
		x.OS.BootDevices = []libvirtxml.DomainBootDevice{{Dev: "hd"}}
	}
	text, err := x.Marshal()
	if err != nil {
		return "", fmt.Errorf("virtual machine %q: describe to libvirt: %w", d.Name, err)
	}
	return text, nil
}

func (d Domain) machine() string {
	if d.Machine == "" {
		return "q35"
	}
	return d.Machine
}

// devices gives disks, cards, a serial console and a source of random numbers; no graphics, no USB.
func (d Domain) devices() *libvirtxml.DomainDeviceList {
	zero := uint(0)
	serial := libvirtxml.DomainSerial{
		Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
		Target: &libvirtxml.DomainSerialTarget{Port: &zero},
	}
	console := libvirtxml.DomainConsole{Source: serial.Source, Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &zero}}
	if d.ConsoleLog != "" {
		serial.Log = &libvirtxml.DomainChardevLog{File: d.ConsoleLog, Append: "on"}
		console.Log = serial.Log
	}
	list := &libvirtxml.DomainDeviceList{
		Serials:     []libvirtxml.DomainSerial{serial},
		Consoles:    []libvirtxml.DomainConsole{console},
		Controllers: []libvirtxml.DomainController{{Type: "usb", Model: "none"}},
		RNGs: []libvirtxml.DomainRNG{{
			Model:   "virtio",
			Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
		}},
	}
	for i, disk := range d.Disks {
		list.Disks = append(list.Disks, disk.xml(i))
	}
	for _, nic := range d.NICs {
		list.Interfaces = append(list.Interfaces, nic.xml())
	}
	return list
}

func (n NIC) xml() libvirtxml.DomainInterface {
	x := libvirtxml.DomainInterface{
		MAC:         &libvirtxml.DomainInterfaceMAC{Address: n.MAC},
		Source:      &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: n.Bridge}},
		VirtualPort: &libvirtxml.DomainInterfaceVirtualPort{Params: &libvirtxml.DomainInterfaceVirtualPortParams{OpenVSwitch: &libvirtxml.DomainInterfaceVirtualPortParamsOpenVSwitch{}}},
		Model:       &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		ROM:         &libvirtxml.DomainROM{Enabled: "no"},
	}
	if n.VLAN != 0 {
		x.VLan = &libvirtxml.DomainInterfaceVLan{Tags: []libvirtxml.DomainInterfaceVLanTag{{ID: uint(n.VLAN)}}}
	}
	return x
}
