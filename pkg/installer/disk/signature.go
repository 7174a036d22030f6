package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

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

// signatures lists what wipefs finds on the disk and its partitions, whether Ceph has tagged it, and whose order laid it down.
func (s Scanner) signatures(ctx context.Context, b Block, nonce string) ([]string, error) {
	var all []string
	var errs []error
	if nonce != "" {
		all = append(all, sigNubo+nonce)
	}
	for _, dev := range append([]Block{b}, b.Children...) {
		if dev.Path != b.Path && dev.Type != "part" {
			continue
		}
		kinds, err := s.wipefs(ctx, dev.Path)
		errs = append(errs, err)
		for _, k := range kinds {
			all = appendOnce(all, k)
			switch k {
			case "LVM2_member":
				tagged, err := hasCephTag(dev.Path)
				errs = append(errs, err)
				if tagged {
					all = appendOnce(all, SigCeph)
				}
			case "ceph_bluestore":
				all = appendOnce(all, SigCeph)
			}
		}
	}
	return all, errors.Join(errs...)
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
