// Package boot makes a root disk bootable by BIOS and UEFI, and decides which slot boots: one static grub.cfg, GRUB's environment block,
// and a small file in each slot that is written last and without which GRUB does not boot it.
package boot

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// SlotConfig is where a slot keeps its part of GRUB's configuration, relative to its root. A slot without it is not booted.
const SlotConfig = "boot/nubo.cfg"

// PanicSeconds is how long a panicking kernel waits before it reboots into the default slot. initramfs-tools reads the same argument.
const PanicSeconds = 30

// Disk names the file systems that GRUB looks for.
type Disk struct {
	BootUUID  string // boot-state
	SlotUUIDs [2]string
}

// Config is the static grub.cfg of boot-state. The one-shot is cleared before it is used, and not used when it cannot be cleared: a slot
// that hangs the machine is tried once.
func (d Disk) Config() string {
	return fmt.Sprintf(`# Written once, when the disk was laid down. What changes is in grubenv (default_slot, next_slot, try_seconds)
# and in each slot's /%[1]s.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set env=($root)/grub/grubenv
set default_slot=a
set next_slot=
set try_seconds=
load_env --file $env default_slot next_slot try_seconds

set slot=$default_slot
set tried=
if [ -n "$next_slot" ]; then
  set slot=$next_slot
  set tried=nubo.try=$try_seconds
  set next_slot=
  if save_env --file $env next_slot; then
    echo "nubo: slot $slot, this once"
  else
    echo "nubo: cannot clear next_slot: slot $default_slot"
    set slot=$default_slot
    set tried=
  fi
fi

function boot_slot {
  set uuid=%[2]s
  if [ "$1" = b ]; then
    set uuid=%[3]s
  fi
  search --no-floppy --fs-uuid --set=slot_root $uuid
  if [ ! -f ($slot_root)/%[1]s ]; then
    echo "nubo: slot $1 is not complete"
    return 1
  fi
  set nubo_args=
  source ($slot_root)/%[1]s
  echo "nubo: slot $1"
  if linux ($slot_root)/vmlinuz root=UUID=$uuid ro nubo.slot=$1 panic=%[4]d systemd.gpt_auto=no $nubo_args $2; then
    if initrd ($slot_root)/initrd.img; then
      boot
    fi
  fi
  echo "nubo: slot $1 does not boot"
  return 1
}

menuentry "slot a" {
  boot_slot a
}
menuentry "slot b" {
  boot_slot b
}
if sleep --interruptible 1; then
  boot_slot $slot $tried
  boot_slot $default_slot
fi
# Here nothing could be booted, or somebody pressed Esc: the menu waits.
`, SlotConfig, d.SlotUUIDs[0], d.SlotUUIDs[1], PanicSeconds)
}

// Stub is the grub.cfg beside GRUB on the ESP: it finds boot-state and goes on there.
func (d Disk) Stub() string {
	return fmt.Sprintf(`search --no-floppy --fs-uuid --set=root %s
set prefix=($root)/grub
configfile ($root)/grub/grub.cfg
`, d.BootUUID)
}

// ErrKernelArg says that a kernel argument cannot be given to GRUB as it is.
var ErrKernelArg = errors.New("kernel argument with characters that the boot loader would interpret")

var plainArg = regexp.MustCompile(`^[A-Za-z0-9._,:=/@%+~-]+$`)

// ConsoleArgs are the consoles of every installed system: screen, and serial line for the BMC.
var ConsoleArgs = []string{"console=tty0", "console=ttyS0,115200"}

// SlotFile is the content of SlotConfig for these additional kernel arguments.
func SlotFile(args []string) (string, error) {
	all := append(append([]string{}, ConsoleArgs...), args...)
	for _, a := range all {
		if !plainArg.MatchString(a) {
			return "", fmt.Errorf("%w: %q; letters, digits and ._,:=/@%%+~- are taken", ErrKernelArg, a)
		}
	}
	return fmt.Sprintf("# This slot is complete. Written last by nubo's installer.\nset nubo_args=\"%s\"\n", strings.Join(all, " ")), nil
}
