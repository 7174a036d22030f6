package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/json"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// Rack is what a rack file describes. The file is JSON; objects of the same kind are members of an object by name.
type Rack struct {
	Name     string    `hcl:"name"` // 1 to 15 of a-z 0-9 -; part of every namespace's name
	CA       *CA       `hcl:"ca,block"`
	Networks []Network `hcl:"network,block"`
	Stations []Station `hcl:"station,block"`
	Blades   []Blade   `hcl:"blade,block"`

	// Dir is the folder of the rack file, from which its relative paths count.
	Dir string
}

// CA names the files of the lab's test authority, which signs the certificates of Redfish BMCs. PEM; the key is an
// unencrypted PKCS #8 one. Paths are relative to the rack file.
type CA struct {
	Certificate string `hcl:"certificate"`
	Key         string `hcl:"key"`
}

// Network is a layer-2 network: a bridge in the switch's namespace.
type Network struct {
	Name string `hcl:"name,label"`
	CIDR string `hcl:"cidr"`
	Time string `hcl:"time,optional"` // address at which the rack gives the time over NTP; empty: it does not

	At hcl.Range `hcl:",def_range"`
}

// Station is a host of the rack that is no blade: a namespace with an interface, named as the network, on each network
// that it has an address on.
type Station struct {
	Name      string            `hcl:"name,label"`
	Addresses map[string]string `hcl:"addresses"` // network name to address with prefix length
	SSHD      bool              `hcl:"sshd,optional"`

	At hcl.Range `hcl:",def_range"`
}

// Firmware is what a blade starts with.
type Firmware string

// The firmwares: SeaBIOS, OVMF, and OVMF with Secure Boot on and Microsoft's keys enrolled.
const (
	BIOS       Firmware = "bios"
	UEFI       Firmware = "uefi"
	UEFISecure Firmware = "uefi-secure"
)

// Blade is one machine.
type Blade struct {
	Name      string   `hcl:"name,label"`
	Firmware  Firmware `hcl:"firmware"`
	VCPUs     int      `hcl:"vcpus"`
	MemoryMiB int      `hcl:"memory_mib"`
	Serial    string   `hcl:"serial"` // of the system, in SMBIOS and at the BMC
	UUID      string   `hcl:"uuid"`   // likewise
	NICs      []NIC    `hcl:"nic,block"`
	Disks     []Disk   `hcl:"disk,block"`
	BMC       *BMC     `hcl:"bmc,block"`

	At hcl.Range `hcl:",def_range"`
}

// NIC is a network card. The first one of a blade is the one it boots from.
type NIC struct {
	Name    string `hcl:"name,label"`
	Model   string `hcl:"model"` // virtio-net or e1000e
	MAC     string `hcl:"mac"`
	Network string `hcl:"network"`
}

// Disk is a disk, sparse on the host. At most one of a blade is the one that it boots from.
type Disk struct {
	Name    string `hcl:"name,label"`
	Bus     string `hcl:"bus"` // virtio, ahci or nvme
	Serial  string `hcl:"serial"`
	SizeGiB int    `hcl:"size_gib"`
	Boot    bool   `hcl:"boot,optional"`
}

// BMC is a blade's management controller.
type BMC struct {
	Protocol string `hcl:"protocol"` // redfish (HTTPS) or ipmi (2.0 over LAN)
	Address  string `hcl:"address"`  // IP:PORT, on one of the rack's networks
	User     string `hcl:"user"`
	Password string `hcl:"password"` // of a lab: for nobody's eyes, but no secret
}

// Load reads and checks a rack file. The error, a *diag.ListError, names every mistake with its place.
func Load(file string) (*Rack, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the rack file: %w", err)
	}
	rack, diags := Parse(src, file)
	if err := diags.Err(); err != nil {
		return nil, fmt.Errorf("rack file %s: %w", file, err)
	}
	return rack, nil
}

// Parse reads a rack file's text; the file's name is for messages and for relative paths. The rack is nil when the list
// has errors.
func Parse(src []byte, file string) (*Rack, diag.List) {
	var list diag.List
	parsed, found := json.Parse(src, file)
	addHCL(&list, found)
	if parsed == nil || list.HasErrors() {
		return nil, list
	}
	rack := &Rack{Dir: filepath.Dir(file)}
	addHCL(&list, gohcl.DecodeBody(parsed.Body, nil, rack))
	check(rack, &list)
	if list.HasErrors() {
		return nil, list
	}
	return rack, list
}

// addHCL takes over the diagnostics of the HCL library, which reads JSON with places.
func addHCL(list *diag.List, found hcl.Diagnostics) {
	for _, d := range found {
		entry := diag.Diagnostic{Severity: diag.Error, Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			entry.Severity = diag.Warning
		}
		if d.Subject != nil {
			entry.Subject = place(*d.Subject)
		}
		*list = append(*list, entry)
	}
}

func place(r hcl.Range) diag.Range {
	pos := func(p hcl.Pos) diag.Pos { return diag.Pos{Line: p.Line, Column: p.Column, Byte: p.Byte} }
	return diag.Range{File: r.Filename, Start: pos(r.Start), End: pos(r.End)}
}

// Blade finds a blade by name.
func (r *Rack) Blade(name string) (Blade, error) {
	for _, b := range r.Blades {
		if b.Name == name {
			return b, nil
		}
	}
	return Blade{}, fmt.Errorf("rack %s has no blade %q", r.Name, name)
}

// Path gives a path of the rack file as seen from here: relative ones count from the file's folder.
func (r *Rack) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.Dir, path)
}

// Station finds a station by name.
func (r *Rack) Station(name string) (Station, error) {
	for _, s := range r.Stations {
		if s.Name == name {
			return s, nil
		}
	}
	return Station{}, fmt.Errorf("rack %s has no station %q", r.Name, name)
}

// switchName is the pseudo-station of the switch itself, where QEMU and the BMCs run.
const switchName = "sw"

// prefix begins the name of every namespace the lab makes; no other is ever removed.
const prefix = "nubo-"

// Namespace gives the name of a station's network namespace; "sw" is the switch's.
func (r *Rack) Namespace(station string) string { return prefix + r.Name + "-" + station }
