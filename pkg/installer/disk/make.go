package disk

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// PartPath is the kernel's device file for partition n of a disk: a "p" stands between when the disk's name ends in a digit.
func PartPath(disk string, n int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return disk + "p" + strconv.Itoa(n)
	}
	return disk + strconv.Itoa(n)
}

// Write lays the table down and tells the kernel. The first write to the disk is the table with the nonce in it; old signatures of the
// disk and inside the new partitions go with it; partitions that are kept where they are, are kept as they are.
func (l Layout) Write(ctx context.Context, r run.Runner, disk string) error {
	wipe := "always"
	if len(l.Laid) > 0 {
		wipe = "never"
	}
	table := run.New("sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", wipe, "--no-reread", "--no-tell-kernel", disk)
	table.Stdin = []byte(l.Script())
	if _, err := r.Run(ctx, table); err != nil {
		return fmt.Errorf("write the partition table of %s: %w", disk, err)
	}
	if _, err := r.Run(ctx, run.New("partx", "--update", disk)); err != nil {
		return fmt.Errorf("tell the kernel the partitions of %s: %w", disk, err)
	}
	return Settle(ctx, r)
}

// Settle waits until udev has dealt with what was written: it reads a table again after its disk was closed, and for a moment then takes the
// partitions' device files away.
func Settle(ctx context.Context, r run.Runner) error {
	if _, err := r.Run(ctx, run.New("udevadm", "settle", "--timeout=60")); err != nil {
		return fmt.Errorf("wait for udev: %w", err)
	}
	return nil
}

// ext4 features are the ones that GRUB 2.06 can read (it knows neither the checksum seed nor the orphan file), whatever the mke2fs.conf.
const ext4Features = "^metadata_csum_seed,^orphan_file"

// FormatExt4 makes an ext4 file system with the identity FSUUID. The boot-state partition gets no journal: GRUB writes grubenv in place
// and does not replay one.
func FormatExt4(ctx context.Context, r run.Runner, dev, nonce, name string) error {
	features := ext4Features
	if name == PartBoot {
		features += ",^has_journal"
	}
	uuid := FSUUID(nonce, name)
	_, err := r.Run(ctx, run.New("mkfs.ext4", "-q", "-F", "-O", features, "-L", name, "-U", uuid,
		"-E", "hash_seed="+uuid+",lazy_itable_init=1,lazy_journal_init=1,nodiscard", dev))
	if err != nil {
		return fmt.Errorf("make the file system of %s: %w", name, err)
	}
	return nil
}

// FormatESP makes the FAT32 file system of the ESP.
func FormatESP(ctx context.Context, r run.Runner, dev, nonce string) error {
	if _, err := r.Run(ctx, run.New("mkfs.vfat", "-F", "32", "-n", "NUBO-ESP", "-i", VolumeID(nonce), dev)); err != nil {
		return fmt.Errorf("make the file system of %s: %w", PartESP, err)
	}
	return nil
}

// Format makes every file system of a root disk; slot B is empty afterwards, and a state partition that is kept stays as it is. partition maps a
// partition's number to its device file.
func (l Layout) Format(ctx context.Context, r run.Runner, partition func(n int) string) error {
	if err := FormatESP(ctx, r, partition(Number(PartESP)), l.Nonce); err != nil {
		return err
	}
	names := []string{PartBoot, PartA, PartState}
	if len(l.Laid) > 0 {
		names = []string{PartBoot, PartA}
		if _, err := r.Run(ctx, run.New("wipefs", "--all", "--quiet", partition(Number(PartB)))); err != nil {
			return fmt.Errorf("empty %s: %w", PartB, err)
		}
	}
	for _, name := range names {
		if err := FormatExt4(ctx, r, partition(Number(name)), l.Nonce, name); err != nil {
			return err
		}
	}
	return Settle(ctx, r)
}
