// Package running looks after the two slots of a host while it runs: it writes the idle one, has GRUB boot it once, and declares the
// booted one good. Nothing it does touches the booted slot, and a slot that is being written cannot be booted.
package running

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// ErrRefused says that a precondition does not hold and nothing was changed.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// Host is the running host. Run it in a mount namespace of its own: its mounts are not undone after a crash, they end with the namespace.
type Host struct {
	Root   string // "/" but in tests
	Work   string // a directory for mounts
	Booted string // the slot of the kernel command line, "" when it names none
	Runner run.Runner
	// Device is the device file of a partition, by its name, on the disk that was laid down under a nonce.
	Device func(diskNonce, name string) string
}

// ByPartUUID is the Device of a real host: udev's links.
func ByPartUUID(diskNonce, name string) string {
	return "/dev/disk/by-partuuid/" + disk.PartUUID(diskNonce, name)
}

// State is what a slot is worth.
type State string

// The states. Writing: its writing has not come to an end, GRUB does not boot it. Written: complete, not declared good since.
const (
	Empty   State = "empty"
	Writing State = "writing"
	Written State = "written"
	Good    State = "good"
)

// Status is what `slot status` prints.
type Status struct {
	FormatVersion int    `json:"format_version"`
	Booted        string `json:"booted"`
	DefaultSlot   string `json:"default_slot"`
	NextSlot      string `json:"next_slot"`
	Slots         []Slot `json:"slots"`
}

// Slot is one slot's part of the status.
type Slot struct {
	Name   string       `json:"name"`
	Image  model.Digest `json:"image"`
	Config model.Digest `json:"config"`
	Order  string       `json:"order"`
	State  State        `json:"state"`

	holds slot.Contents
}

// Slot returns the part for a slot.
func (s Status) Slot(name string) Slot {
	for _, one := range s.Slots {
		if one.Name == name {
			return one
		}
	}
	return Slot{Name: name, State: Empty}
}

// contents reads ImageFile below a root.
func contents(root string) (slot.Contents, error) {
	var c slot.Contents
	b, err := os.ReadFile(filepath.Join(root, slot.ImageFile))
	if err != nil {
		return c, fmt.Errorf("what the slot holds: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("what the slot holds: %s: %w", slot.ImageFile, err)
	}
	return c, nil
}

// diskNonce names this host's disk.
func (h Host) diskNonce() (string, error) {
	if h.Booted == "" {
		return "", refuse("this system was not booted from a slot (no nubo.slot= on the kernel command line)")
	}
	c, err := contents(h.Root)
	return c.Disk, err
}

// with mounts a partition, does something with it, and unmounts it.
func (h Host) with(nonce, name string, flags uintptr, options string, do func(dir string) error) error {
	dir := filepath.Join(h.Work, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("mount %s: %w", name, err)
	}
	device := h.Device(nonce, name)
	if err := unix.Mount(device, dir, "ext4", flags, options); err != nil {
		return fmt.Errorf("mount %s (%s): %w", name, device, err)
	}
	err := do(dir)
	if undo := unix.Unmount(dir, 0); undo != nil {
		err = errors.Join(err, fmt.Errorf("unmount %s: %w", name, undo))
	}
	return err
}

// environment reads GRUB's environment, lets change alter it, and writes it back when change says so. Nil: whoever only looks writes nothing, not even
// that it was mounted.
func (h Host) environment(nonce string, change func(boot.Env) (bool, error)) (boot.Env, error) {
	var env boot.Env
	flags, options := uintptr(unix.MS_NOATIME), ""
	if change == nil {
		flags, options = flags|unix.MS_RDONLY, "noload"
	}
	err := h.with(nonce, disk.PartBoot, flags, options, func(dir string) error {
		var err error
		if env, err = boot.ReadEnv(boot.EnvPath(dir)); err != nil || change == nil {
			return err
		}
		changed, err := change(env)
		if err != nil || !changed {
			return err
		}
		return boot.WriteEnv(boot.EnvPath(dir), env)
	})
	return env, err
}

// Status looks at both slots without changing anything.
func (h Host) Status() (Status, error) {
	nonce, err := h.diskNonce()
	if err != nil {
		return Status{}, err
	}
	env, err := h.environment(nonce, nil)
	if err != nil {
		return Status{}, err
	}
	s := Status{FormatVersion: 1, Booted: h.Booted, DefaultSlot: env[boot.DefaultSlot], NextSlot: env[boot.NextSlot]}
	for _, name := range []string{"a", "b"} {
		one, err := h.look(nonce, name, env)
		if err != nil {
			return s, err
		}
		s.Slots = append(s.Slots, one)
	}
	return s, nil
}

// blank reports whether a device certainly has no file system of the ext family: its magic number, 0xEF53 at byte 1,080, is not there.
func blank(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [2]byte
	_, err = f.ReadAt(magic[:], 1080)
	return err == nil && magic != [2]byte{0x53, 0xef}
}

// look reads one slot: the booted one where it is, the other mounted read-only without replaying its journal. A partition without our
// file system is empty. One whose file system is damaged, as after a power cut in the middle of its writing, holds nothing whole: it can be written anew.
func (h Host) look(nonce, name string, env boot.Env) (Slot, error) {
	s := Slot{Name: name, State: Empty}
	if name == h.Booted {
		return describe(h.Root, s, env)
	}
	part, err := slot.PartitionOf(name)
	if err != nil {
		return s, err
	}
	if blank(h.Device(nonce, part)) {
		return s, nil // asked first, since the kernel logs each mount of what is no file system
	}
	err = h.with(nonce, part, unix.MS_RDONLY|unix.MS_NOATIME, "noload", func(dir string) error {
		var err error
		s, err = describe(dir, s, env)
		return err
	})
	switch {
	case errors.Is(err, unix.EINVAL): // no such file system there
		return s, nil
	case errors.Is(err, unix.EBUSY): // mounted for writing
		s.State = Writing
		return s, nil
	case errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EBADMSG): // EFSCORRUPTED and EFSBADCRC of ext4
		return Slot{Name: name, State: Writing}, nil
	default:
		return s, err
	}
}

func describe(root string, s Slot, env boot.Env) (Slot, error) {
	s.State = Writing
	if _, err := os.Stat(filepath.Join(root, boot.SlotConfig)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return s, err
	}
	c, err := contents(root)
	s.Image, s.Config, s.Order, s.State, s.holds = c.Image, c.Config, c.Order, Written, c
	if env[boot.Good(s.Name)] == "1" {
		s.State = Good
	}
	return s, err
}
