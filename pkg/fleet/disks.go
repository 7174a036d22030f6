package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/rbd"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// disks makes the images of a machine's disks in their pools, and grows them.
func (v *VMs) disks(ctx context.Context, vm model.VM) error {
	if len(vm.Disks) == 0 {
		return nil
	}
	mon, err := monitor(ctx, v.Desired, v.Links, v.Epoch, vm.Node.Region())
	if err != nil {
		return err
	}
	v.bringing.Lock()
	defer v.bringing.Unlock()
	for _, k := range vm.Disks {
		want := rbd.Image{Pool: k.Pool, Name: facts.DiskImage(vm, k), SizeGiB: k.SizeGiB}
		if k.Source != "" {
			want.Base = &rbd.Base{SHA256: k.SHA256, Open: func() (io.ReadCloser, error) { return v.Sources(k.Source) }}
		}
		if _, err := rbd.Ensure(ctx, mon, want); err != nil {
			return fmt.Errorf("disk %s: %w", k.Name, err)
		}
	}
	return nil
}

// ErrInUse says that somebody has a machine's disk open.
var ErrInUse = errors.New("its disk is in use")

// alone makes sure, before a machine is started, that it does not run elsewhere: two that write to one disk destroy it. Ceph knows who has an
// image open, also when that host is silent.
func (v *VMs) alone(ctx context.Context, vm model.VM, here kvm.Host) error {
	for _, d := range here.Domains {
		if d.Name == vm.Name && d.State != kvm.Shutoff && d.State != kvm.Crashed {
			return nil // what uses its disks is it itself, and it is not started again
		}
	}
	if len(vm.Disks) == 0 {
		return nil
	}
	mon, err := monitor(ctx, v.Desired, v.Links, v.Epoch, vm.Node.Region())
	if err != nil {
		return err
	}
	for _, k := range vm.Disks {
		info, err := rbd.Look(ctx, mon, k.Pool, facts.DiskImage(vm, k))
		if err != nil {
			return err
		}
		if len(info.Watchers) > 0 {
			return fmt.Errorf("disk %s: %w by %s; find the machine there, or prove that host off and blocklist it in Ceph, then apply again",
				k.Name, ErrInUse, strings.Join(info.Watchers, ", "))
		}
	}
	return nil
}
