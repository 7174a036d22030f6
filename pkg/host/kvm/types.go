package kvm

import (
	"errors"
	"fmt"
	"path"
	"regexp"
)

// Domain is a virtual machine as it is wanted, or as far as libvirt's configuration of one can be told in the same words.
type Domain struct {
	Name      string `json:"name"`
	UUID      string `json:"uuid,omitempty"` // empty: libvirt chooses
	VCPUs     int    `json:"vcpus"`
	MemoryMiB int    `json:"memory_mib"`
	// Machine is QEMU's machine type; empty means q35, which libvirt stores as the newest versioned one.
	Machine string `json:"machine,omitempty"`
	// Accelerated says KVM; otherwise QEMU emulates. Use Conn.Accelerated to learn what the host can do.
	Accelerated bool `json:"accelerated"`
	// CPU is the word of the processor that the guest sees; empty: the host's own with KVM, QEMU's usual one without.
	CPU string `json:"cpu,omitempty"`
	// Kernel, Initrd and Cmdline boot directly (paths on the host); without Kernel the disks are booted in their order.
	Kernel  string `json:"kernel,omitempty"`
	Initrd  string `json:"initrd,omitempty"`
	Cmdline string `json:"cmdline,omitempty"`
	Disks   []Disk `json:"disks,omitempty"`
	NICs    []NIC  `json:"nics,omitempty"`
	// ConsoleLog is a file on the host that gets what the serial console prints; empty: none.
	ConsoleLog string `json:"console_log,omitempty"`
	Autostart  bool   `json:"autostart,omitempty"`
	// Spec is a digest that the caller gives the whole wish ("sha256:…"); it is stored with the domain and comes back when observed.
	Spec string `json:"spec,omitempty"`
}

// NIC is a virtio card in a port of an Open vSwitch bridge.
type NIC struct {
	Bridge string `json:"bridge"`
	VLAN   int    `json:"vlan,omitempty"` // 0: untagged
	MAC    string `json:"mac"`
}

// State is the state of a domain, in libvirt's words (virDomainState).
type State string

// The states that matter here; others are passed on as libvirt's number.
const (
	Running  State = "running"
	Paused   State = "paused"
	Shutdown State = "in shutdown"
	Shutoff  State = "shutoff"
	Crashed  State = "crashed"
)

// Observed is a domain on a host.
type Observed struct {
	Domain
	State State `json:"state"`
	// Ours is set when the domain was defined by this package.
	Ours bool `json:"ours"`
	// XMLDigest is the SHA-256 of libvirt's persistent description, "sha256:…": any change by hand changes it.
	XMLDigest string `json:"xml_digest"`
	// Traits are how it runs, or would run.
	Traits Traits `json:"traits,omitzero"`
	// Held is set when Hold has marked it; HeldAutostart when it started by itself before.
	Held          bool `json:"held,omitempty"`
	HeldAutostart bool `json:"held_autostart,omitempty"`
	// Arriving is set when it is paused by a move: it is on its way here, or is just about to be gone.
	Arriving bool `json:"arriving,omitempty"`
}

// Active reports whether the domain is there as a process: it runs, is paused, arrives, or goes down.
func (o Observed) Active() bool { return o.State != "" && o.State != Shutoff && o.State != Crashed }

// Host is libvirt on a host with all its domains, sorted by name.
type Host struct {
	Libvirt     string     `json:"libvirt"` // version
	QEMU        string     `json:"qemu"`
	Accelerated bool       `json:"accelerated"`  // KVM can be used
	CPU         CPU        `json:"cpu,omitzero"` // what guests get that take the host's own
	Secrets     []Secret   `json:"secrets,omitempty"`
	Domains     []Observed `json:"domains,omitempty"`
}

// What can go wrong, for errors.Is.
var (
	// ErrNotRunning: libvirt does not answer on the host.
	ErrNotRunning = errors.New("libvirt does not answer")
	// ErrNoDomain: there is no domain of that name.
	ErrNoDomain = errors.New("no such virtual machine")
	// ErrForeign: the domain was not defined by nuboctl and is left alone.
	ErrForeign = errors.New("virtual machine was not defined by nuboctl")
	// ErrActive: the domain runs, and what was asked needs it to be off.
	ErrActive = errors.New("virtual machine is running")
)

var (
	domainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	macAddress = regexp.MustCompile(`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`)
	deviceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)
)

// Check gives every mistake in a wanted domain, joined; nil when there is none.
func (d Domain) Check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("virtual machine %q: "+format, append([]any{d.Name}, args...)...))
	}
	if !domainName.MatchString(d.Name) {
		bad("its name must be 1 to 63 letters, digits, '_', '.', '-'")
	}
	if d.VCPUs < 1 || d.MemoryMiB < 16 {
		bad("needs at least one vCPU and 16 MiB, has %d and %d", d.VCPUs, d.MemoryMiB)
	}
	if d.Kernel == "" && len(d.Disks) == 0 {
		bad("has neither a kernel nor a disk to boot from")
	}
	if d.CPU != "" {
		if _, err := ParseCPU(d.CPU); err != nil {
			bad("%w", err)
		}
	}
	if len(d.Disks) > 26 {
		bad("has %d disks; 26 have names", len(d.Disks))
	}
	if d.Kernel == "" && (d.Initrd != "" || d.Cmdline != "") {
		bad("has an initrd or a command line and no kernel")
	}
	for _, file := range []string{d.Kernel, d.Initrd, d.ConsoleLog} {
		if file != "" && !path.IsAbs(file) {
			bad("%q is not an absolute path on the host", file)
		}
	}
	for _, disk := range d.Disks {
		if err := disk.check(); err != nil {
			bad("%w", err)
		}
	}
	for _, nic := range d.NICs {
		if !macAddress.MatchString(nic.MAC) || !deviceName.MatchString(nic.Bridge) || nic.VLAN < 0 || nic.VLAN > 4094 {
			bad("network card %q on bridge %q, VLAN %d: wants a unicast MAC address in lower case, a bridge, a VLAN up to 4094", nic.MAC, nic.Bridge, nic.VLAN)
		}
	}
	return errors.Join(errs...)
}
