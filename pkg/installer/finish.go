package installer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/installer/stream"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// firstSlot is where a fresh disk's system goes.
const firstSlot = "a"

// bootInSlot is where boot-state is mounted inside the slot while its tools run: every Debian has /mnt.
const bootInSlot = "/mnt"

func checkArgs(args []string) error {
	_, err := boot.SlotFile(args)
	return err
}

// job is the filling of the first slot.
func (i *Install) job() slot.Job {
	return slot.Job{
		Root: i.Sysroot, State: filepath.Join(filepath.Dir(i.Sysroot), "nubo-state"), Slot: firstSlot, DiskNonce: i.order.Nonce,
		Order: i.order, Config: i.config, Manifest: i.manifest, Trust: i.Trust, Agent: i.Agent,
		Stream: stream.Options{
			Patience: i.Patience,
			Progress: func(done, total int64) {
				i.reporter.progress(order.Progress{Phase: "image", Text: i.manifest.Name, Done: done, Total: total})
			},
			Retrying: func(err error, next time.Duration) {
				i.logf("image: again in %s: %v", next.Round(time.Millisecond), err)
			},
		},
	}
}

func (i *Install) fill(ctx context.Context) error {
	job := i.job()
	if err := i.mounts.mount(i.part(disk.PartA), job.Root, "ext4", unix.MS_NOATIME); err != nil {
		return err
	}
	if err := i.mounts.mount(i.part(disk.PartState), job.State, "ext4", unix.MS_NOATIME); err != nil {
		return err
	}
	filled, err := slot.Filler{Runner: i.Runner, Source: i.client, Step: i.progress}.Fill(ctx, job)
	i.result = order.Installed{
		Nonce: i.order.Nonce, RootDisk: i.root.Disk, Slot: firstSlot, Image: i.order.Image.Digest,
		Config: model.DigestBytes(i.order.Config), HostKeys: filled.HostKeys, BytesRead: filled.BytesRead, Attempt: i.attempt,
	}
	return err
}

// bootDisk names the file systems of a disk for GRUB.
func bootDisk(nonce string) boot.Disk {
	return boot.Disk{
		BootUUID:  disk.FSUUID(nonce, disk.PartBoot),
		SlotUUIDs: [2]string{disk.FSUUID(nonce, disk.PartA), disk.FSUUID(nonce, disk.PartB)},
	}
}

// bootLoaders lays down both, whatever firmware started the ramdisk: a blade's setting may change, and its disk may move.
func (i *Install) bootLoaders(ctx context.Context) error {
	state := filepath.Join(i.Sysroot, bootInSlot)
	if err := i.mounts.mount(i.part(disk.PartBoot), state, "ext4", unix.MS_NOATIME); err != nil {
		return err
	}
	d := bootDisk(i.order.Nonce)
	if err := boot.InstallState(state, d); err != nil {
		return err
	}
	if i.BootLoaders != nil {
		return i.BootLoaders(ctx, i)
	}
	esp := filepath.Join(filepath.Dir(i.Sysroot), "nubo-esp")
	if err := i.mounts.mount(i.part(disk.PartESP), esp, "vfat", 0); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := i.mounts.bind(dir, filepath.Join(i.Sysroot, dir)); err != nil {
			return err
		}
	}
	return errors.Join(boot.InstallUEFI(i.Sysroot, esp, d), boot.InstallBIOS(ctx, i.Runner, i.Sysroot, bootInSlot, i.root.Path))
}

// finish makes the slot bootable as the last write, then lets go of the disk.
func (i *Install) finish(context.Context) error {
	if err := slot.Seal(i.job()); err != nil {
		return err
	}
	env := boot.EnvPath(filepath.Join(i.Sysroot, bootInSlot))
	if err := boot.WriteEnv(env, boot.Env{boot.DefaultSlot: firstSlot, boot.Good(firstSlot): "1"}); err != nil {
		return err
	}
	err := i.mounts.unmount()
	unix.Sync()
	return err
}

func (i *Install) reportInstalled(ctx context.Context) error {
	if err := i.reporter.say(ctx, order.Report{Kind: order.ReportInstalled, Installed: &i.result}); err != nil {
		return err
	}
	i.logf("installed %s", i.order.Nonce)
	return nil
}

// waitFor asks until it is so or the time is over.
func waitFor(ctx context.Context, limit time.Duration, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %w", limit, ctx.Err())
		}
	}
	return nil
}
