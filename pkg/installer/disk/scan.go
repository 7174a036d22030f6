// Package disk finds the block devices of a machine, chooses the root disk by what it is, refuses disks that carry somebody's data, and
// lays out a root disk with two slots. It decides on data; the tools of util-linux and e2fsprogs do the work.
package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// Device is a whole disk as found, with what is on it.
type Device struct {
	model.Disk
	Path     string   // device file, today's name
	ReadOnly bool     // the device refuses writes
	InUse    []string // mount points and holders: a disk in use is never written
	Nonce    string   // the nonce in the disk's GUID, where the table is one of ours
	Table    []Extent // the partitions of that table
}

// columns are what lsblk is asked for; all exist since util-linux 2.37 (MOUNTPOINTS).
const columns = "NAME,PATH,TYPE,SIZE,SERIAL,WWN,MODEL,VENDOR,HCTL,ROTA,TRAN,RO,MOUNTPOINTS"

// Block is one entry of lsblk's JSON output.
type Block struct {
	Name        string    `json:"name"`
	Path        string    `json:"path"`
	Type        string    `json:"type"`
	Size        int64     `json:"size"`
	Serial      string    `json:"serial"`
	WWN         string    `json:"wwn"`
	Model       string    `json:"model"`
	Vendor      string    `json:"vendor"`
	HCTL        string    `json:"hctl"`
	Rotational  bool      `json:"rota"`
	Transport   string    `json:"tran"`
	ReadOnly    bool      `json:"ro"`
	MountPoints []*string `json:"mountpoints"`
	Children    []Block   `json:"children"`
}

// ParseLsblk reads the output of lsblk --json --bytes with the columns above.
func ParseLsblk(b []byte) ([]Block, error) {
	var out struct {
		BlockDevices []Block `json:"blockdevices"`
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("lsblk's JSON: %w", err)
	}
	return out.BlockDevices, nil
}

// ParseWipefs reads the output of wipefs --json and returns the kinds of signature it names, each once, in their order on the disk.
// Nothing at all, wipefs's answer for an empty device, is no signature.
func ParseWipefs(b []byte) ([]string, error) {
	var out struct {
		Signatures []struct {
			Type string `json:"type"`
		} `json:"signatures"`
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("wipefs's JSON: %w", err)
	}
	var kinds []string
	for _, s := range out.Signatures {
		if kind := s.Type; kind == "" {
			kinds = appendOnce(kinds, "unknown")
		} else {
			kinds = appendOnce(kinds, kind)
		}
	}
	return kinds, nil
}

func appendOnce(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

// Scanner finds disks. Types are the kinds of block device taken for disks; nil: "disk" alone. Sys is where sysfs is; empty: /sys.
type Scanner struct {
	Runner run.Runner
	Types  []string
	Sys    string
}

// Scan lists the machine's disks, sorted by path, each with its signatures. It only reads.
func (s Scanner) Scan(ctx context.Context) ([]Device, error) {
	out, err := s.Runner.Run(ctx, run.New("lsblk", "--json", "--bytes", "--output", columns))
	if err != nil {
		return nil, fmt.Errorf("list the disks: %w", err)
	}
	blocks, err := ParseLsblk(out)
	if err != nil {
		return nil, fmt.Errorf("list the disks: %w", err)
	}
	types := s.Types
	if types == nil {
		types = []string{"disk"}
	}
	var devices []Device
	var errs []error
	for _, b := range blocks {
		if !slices.Contains(types, b.Type) || b.Size == 0 || pseudo(b.Name) {
			continue
		}
		d, err := s.device(ctx, b)
		errs = append(errs, err)
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int { return strings.Compare(a.Path, b.Path) })
	return devices, errors.Join(errs...)
}

// pseudo tells devices that lsblk calls disks and that nobody can keep a system on.
func pseudo(name string) bool {
	for _, p := range []string{"ram", "zram", "fd", "nbd", "sr"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (s Scanner) device(ctx context.Context, b Block) (Device, error) {
	d := Device{Path: b.Path, ReadOnly: b.ReadOnly, Disk: model.Disk{
		Name: b.Name, Serial: strings.TrimSpace(b.Serial), WWN: b.WWN, Model: strings.TrimSpace(b.Model),
		Vendor: strings.TrimSpace(b.Vendor), HCTL: b.HCTL, SizeBytes: b.Size, Rotational: b.Rotational, Transport: b.Transport,
	}}
	if d.Serial == "" {
		d.Serial = s.sysfsSerial(b.Name)
	}
	d.InUse = inUse(b)
	if err := s.look(ctx, b, &d); err != nil {
		return d, fmt.Errorf("read what is on %s: %w", b.Path, err)
	}
	return d, nil
}

// sysfsSerial is where virtio and NVMe keep a serial number that udev did not put into its database.
func (s Scanner) sysfsSerial(name string) string {
	sys := s.Sys
	if sys == "" {
		sys = "/sys"
	}
	for _, f := range []string{"serial", "device/serial"} {
		if b, err := os.ReadFile(filepath.Join(sys, "block", name, f)); err == nil {
			return strings.TrimSpace(strings.Trim(string(b), "\x00"))
		}
	}
	return ""
}

// inUse lists what holds the disk: mount points, and device-mapper or RAID devices on it or on its partitions.
func inUse(b Block) []string {
	var use []string
	for _, m := range b.MountPoints {
		if m != nil && *m != "" {
			use = append(use, *m)
		}
	}
	for _, c := range b.Children {
		if c.Type != "part" {
			use = append(use, c.Type+" "+c.Name)
		}
		use = append(use, inUse(c)...)
	}
	return use
}
