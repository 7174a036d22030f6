package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// signed are the EFI programs of a slot and where each goes on the ESP: the removable path, which firmware starts without a boot entry,
// and Debian's own, where Debian's signed GRUB looks for its grub.cfg and a package upgrade would put new ones. The removable path has
// no fallback program, so that shim starts GRUB and makes no boot entries (shim's README.fallback).
var signed = []struct{ from, to string }{
	{"usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"},
	{"usr/lib/shim/mmx64.efi.signed", "EFI/BOOT/mmx64.efi"},
	{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"},
	{"usr/lib/shim/shimx64.efi.signed", "EFI/debian/shimx64.efi"},
	{"usr/lib/shim/mmx64.efi.signed", "EFI/debian/mmx64.efi"},
	{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/debian/grubx64.efi"},
}

// InstallUEFI lays shim and Debian's signed GRUB, taken from the slot, on the mounted ESP.
func InstallUEFI(slot, esp string, d Disk) error {
	for _, f := range signed {
		if err := copyFile(filepath.Join(slot, f.from), filepath.Join(esp, f.to)); err != nil {
			return fmt.Errorf("UEFI boot loader: %w", err)
		}
	}
	if err := writeFile(filepath.Join(esp, "EFI/debian/grub.cfg"), d.Stub()); err != nil {
		return fmt.Errorf("UEFI boot loader: %w", err)
	}
	return nil
}

// InstallState writes grub.cfg and grubenv to the mounted boot-state partition. The default slot is not set yet: GRUB boots slot a
// without it, and slot a does not boot before its SlotConfig is there.
func InstallState(bootState string, d Disk) error {
	if err := writeFile(filepath.Join(bootState, "grub/grub.cfg"), d.Config()); err != nil {
		return fmt.Errorf("boot loader: %w", err)
	}
	return WriteEnv(EnvPath(bootState), Env{})
}

// EnvPath is the environment block on a mounted boot-state partition.
func EnvPath(bootState string) string { return filepath.Join(bootState, "grub/grubenv") }

// InstallBIOS embeds GRUB into the disk's BIOS boot partition with the slot's own grub-install. The slot has /dev, /proc and /sys, and
// boot-state is mounted at the path inside the slot that inSlot names.
func InstallBIOS(ctx context.Context, r run.Runner, slot, inSlot, disk string) error {
	_, err := r.Run(ctx, run.Chroot(slot, "grub-install", "--target=i386-pc", "--boot-directory="+inSlot, "--no-floppy", "--locales=", "--fonts=", "--themes=",
		"--modules=part_gpt ext2 search_fs_uuid loadenv serial terminal sleep test echo linux normal configfile", disk))
	if err != nil {
		return fmt.Errorf("BIOS boot loader: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the image must have it: %w", err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func writeFile(path, body string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(body)
	return errors.Join(err, f.Sync(), f.Close())
}
