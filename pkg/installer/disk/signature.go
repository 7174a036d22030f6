package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// The words in model.Disk.Signatures that are not wipefs's own.
const (
	SigCeph = "ceph-osd"
	sigNubo = "nubo:"
)

// pvTagBytes is how much of an LVM physical volume is searched for tags: its text metadata lies in the first MiB unless somebody moved it.
const pvTagBytes = 1 << 20

// cephTag is what ceph-volume writes into LVM's tags (ceph_volume/api/lvm.py): ceph.osd_id=N.
var cephTag = regexp.MustCompile(`ceph\.osd_id=[0-9]+`)

// look finds what wipefs knows on the disk and its partitions, whether Ceph has tagged it, and whose order laid it down. It reads the
// disk itself: udev's database may be old.
func (s Scanner) look(ctx context.Context, b Block, d *Device) error {
	var errs []error
	for _, dev := range append([]Block{b}, b.Children...) {
		if dev.Path != b.Path && dev.Type != "part" {
			continue
		}
		kinds, err := s.wipefs(ctx, dev.Path)
		errs = append(errs, err)
		for _, k := range kinds {
			d.Signatures = appendOnce(d.Signatures, k)
			tagged, err := isCeph(k, dev.Path)
			errs = append(errs, err)
			if tagged {
				d.Signatures = appendOnce(d.Signatures, SigCeph)
			}
		}
	}
	if slices.Contains(d.Signatures, "gpt") {
		var err error
		if d.Nonce, d.Table, err = s.table(ctx, b.Path); err != nil {
			errs = append(errs, err)
		}
		if d.Nonce != "" {
			d.Signatures = append([]string{sigNubo + d.Nonce}, d.Signatures...)
		}
	}
	return errors.Join(errs...)
}

func isCeph(kind, path string) (bool, error) {
	switch kind {
	case "ceph_bluestore":
		return true, nil
	case "LVM2_member":
		return hasCephTag(path)
	default:
		return false, nil
	}
}

// table asks sfdisk for a disk's table. A table that sfdisk cannot read is nobody's that we know.
func (s Scanner) table(ctx context.Context, path string) (string, []Extent, error) {
	out, err := s.Runner.Run(ctx, run.New("sfdisk", "--json", path))
	if run.ExitCode(err) > 0 {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	return ParseTable(out)
}

// Extent is a partition as it lies on a disk.
type Extent struct {
	Node  string `json:"node"` // device file; its number is the partition's
	Name  string `json:"name"`
	Start int64  `json:"start"` // in the table's sectors
	Size  int64  `json:"size"`
	Attrs string `json:"attrs"` // as sfdisk writes them: words between blanks
	// Sector is the table's sector size in bytes.
	Sector int64 `json:"-"`
}

// ParseTable reads the output of sfdisk --json and returns the nonce in a table that is ours, which is the disk's GUID, with its partitions.
func ParseTable(b []byte) (string, []Extent, error) {
	var out struct {
		Table struct {
			Label      string   `json:"label"`
			ID         string   `json:"id"`
			SectorSize int64    `json:"sectorsize"`
			Partitions []Extent `json:"partitions"`
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return "", nil, fmt.Errorf("sfdisk's JSON: %w", err)
	}
	t := out.Table
	if t.Label != "gpt" || !slices.ContainsFunc(t.Partitions, func(p Extent) bool { return p.Name == PartBoot }) {
		return "", nil, nil
	}
	for i := range t.Partitions {
		t.Partitions[i].Sector = t.SectorSize
	}
	return strings.ReplaceAll(strings.ToLower(t.ID), "-", ""), t.Partitions, nil
}

func (s Scanner) wipefs(ctx context.Context, path string) ([]string, error) {
	out, err := s.Runner.Run(ctx, run.New("wipefs", "--json", path))
	if err != nil {
		return nil, err
	}
	return ParseWipefs(out)
}

func hasCephTag(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("search LVM's tags: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, pvTagBytes))
	if err != nil {
		return false, fmt.Errorf("search LVM's tags on %s: %w", path, err)
	}
	return cephTag.Match(b), nil
}
