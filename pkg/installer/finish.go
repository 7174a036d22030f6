package installer

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// reportPatience is how long the report of success is tried for: the relay may be on its way to another host.
const reportPatience = 30 * time.Minute

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
	i.result = i.newResult()
	i.result.HostKeys, i.result.BytesRead = filled.HostKeys, filled.BytesRead
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
	if err := boot.WriteEnv(env, boot.Env{boot.DefaultSlot: firstSlot, boot.Good(firstSlot): "1", boot.LaidUnder: i.order.Nonce}); err != nil {
		return err
	}
	return errors.Join(i.mounts.unmount(), syncDisk(i.root.Path))
}

// syncDisk brings to a disk what was written to it beside its file systems: the first stage of a boot loader.
func syncDisk(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("synchronise the root disk: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("synchronise the root disk: %w", err)
	}
	return nil
}

func (i *Install) reportInstalled(ctx context.Context) error {
	if i.finished {
		i.logf("an earlier boot finished this order on %s; its report is made up for, nothing is written", i.root.Path)
		if err := i.recall(); err != nil {
			return err
		}
	}
	if i.Patience == 0 { // all is done but this: it is worth a longer wait
		i.client.Patience = reportPatience
	}
	if err := i.reporter.say(ctx, order.Report{Kind: order.ReportInstalled, Installed: &i.result}); err != nil {
		return err
	}
	i.logf("installed %s", i.order.Nonce)
	return nil
}

// isFinished tells a disk on which this very order came to its end: then only its report was lost, or somebody plays the order back.
// Either way there is nothing to write.
func (i *Install) isFinished() (bool, error) {
	if i.root.Nonce != i.order.Nonce {
		return false, nil
	}
	var env boot.Env
	err := i.peek(disk.PartBoot, func(dir string) (err error) {
		env, err = boot.ReadEnv(boot.EnvPath(dir))
		return err
	})
	if err != nil { // not even that far
		i.logf("the disk carries this order's nonce and no boot environment: starting over (%v)", err)
		return false, nil
	}
	return env[boot.DefaultSlot] != "" && env[boot.LaidUnder] == i.order.Nonce, nil // not that of the install before, on a disk that is kept in part
}

// recall reads from the disk what the lost report said.
func (i *Install) recall() error {
	i.result = i.newResult()
	return i.peek(disk.PartState, func(dir string) (err error) {
		i.result.HostKeys, err = slot.HostKeys(dir)
		return err
	})
}

// peek shows a partition of the root disk without writing to it.
func (i *Install) peek(name string, look func(dir string) error) error {
	dir := filepath.Join(filepath.Dir(i.Sysroot), "nubo-peek")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("look into %s: %w", name, err)
	}
	if err := unix.Mount(i.part(name), dir, "ext4", unix.MS_RDONLY|unix.MS_NOATIME, "noload"); err != nil {
		return fmt.Errorf("look into %s: %w", name, err)
	}
	err := look(dir)
	if undo := unix.Unmount(dir, 0); undo != nil {
		err = errors.Join(err, fmt.Errorf("unmount %s: %w", name, undo))
	}
	return err
}

// newResult is the report of success, as far as it is known before the slot is filled.
func (i *Install) newResult() order.Installed {
	return order.Installed{
		Nonce: i.order.Nonce, RootDisk: i.root.Disk, Slot: firstSlot, Image: i.order.Image.Digest,
		Config: model.DigestBytes(i.order.Config), Attempt: i.attempt,
	}
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
