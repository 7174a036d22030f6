package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The partitions of a root disk, by their GPT names, in their order on the disk.
const (
	PartBIOS  = "nubo-bios" // core.img of GRUB for BIOS
	PartESP   = "nubo-esp"  // shim and GRUB for UEFI
	PartBoot  = "nubo-boot" // grub.cfg, grubenv, modules
	PartA     = "nubo-a"    // slots
	PartB     = "nubo-b"
	PartState = "nubo-state" // what outlives the slots
)

// GPT partition types: BIOS boot and ESP from the UEFI specification and GRUB's manual, the others from the Discoverable Partitions
// Specification's generic Linux data, so that nothing mounts a slot by itself.
const (
	typeBIOS  = "21686148-6449-6E6F-744E-656564454649"
	typeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// Sizes in MiB.
const (
	mib       = 1 << 20
	gib       = 1 << 30
	biosMiB   = 1
	espMiB    = 256
	bootMiB   = 128
	fixedMiB  = biosMiB + espMiB + bootMiB + 2 // one MiB before, one after, for the tables
	stateMiB  = 1024                           // the least
	minSlot   = 3
	maxSlot   = 24
	slotShare = 5 // without a wish, each slot takes a fifth of the disk, within the bounds
)

// Partition is one partition of a layout.
type Partition struct {
	Number  int
	Name    string
	Type    string
	SizeMiB int64 // 0: the rest
}

// Layout is how a root disk is divided.
type Layout struct {
	Nonce   string // of the order; becomes the disk's GUID
	SlotGiB int
	// Laid are the partitions as they lie already, when the state partition is kept; empty: all is laid anew.
	Laid []Extent
}

// NewLayout divides a disk of size bytes. slotGiB 0 lets it choose. The error wraps ErrTooSmall.
func NewLayout(size int64, slotGiB int, nonce string) (Layout, error) {
	if slotGiB == 0 {
		slotGiB = max(minSlot, min(maxSlot, int(size/gib/slotShare)))
	}
	need := int64(fixedMiB+stateMiB)*mib + 2*int64(slotGiB)*gib
	if size < need {
		return Layout{}, fmt.Errorf("%w: %.1f GiB; two slots of %d GiB, boot partitions and %d GiB of state need %.1f GiB",
			ErrTooSmall, float64(size)/gib, slotGiB, stateMiB/1024, float64(need)/gib)
	}
	return Layout{Nonce: nonce, SlotGiB: slotGiB}, nil
}

// Holds refuses an image whose files, tarBytes of them in all, would fill a slot to more than three quarters: an upgrade in place and
// ext4's own need the rest. The error wraps ErrTooSmall.
func (l Layout) Holds(tarBytes int64) error {
	if room := int64(l.SlotGiB) * gib / 4 * 3; tarBytes > room {
		return fmt.Errorf("%w: the image has %d MiB, a slot of %d GiB takes %d MiB", ErrTooSmall, tarBytes/mib, l.SlotGiB, room/mib)
	}
	return nil
}

// Partitions lists the layout in the order on the disk.
func (l Layout) Partitions() []Partition {
	slot := int64(l.SlotGiB) * 1024
	return []Partition{
		{1, PartBIOS, typeBIOS, biosMiB},
		{2, PartESP, typeESP, espMiB},
		{3, PartBoot, typeLinux, bootMiB},
		{4, PartA, typeLinux, slot},
		{5, PartB, typeLinux, slot},
		{6, PartState, typeLinux, 0},
	}
}

// Script is sfdisk's input. The disk's GUID is the nonce: it reaches the disk with the first write.
func (l Layout) Script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "label: gpt\nlabel-id: %s\nunit: sectors\n\n", dashed(l.Nonce))
	for i, p := range l.Partitions() {
		place, attrs := "", ""
		switch {
		case len(l.Laid) > 0:
			place = fmt.Sprintf("start=%d, size=%d, ", l.Laid[i].Start, l.Laid[i].Size)
		case p.SizeMiB > 0:
			place = fmt.Sprintf("size=%dMiB, ", p.SizeMiB)
		}
		if len(l.Laid) > 0 && p.Name == PartState {
			attrs = fmt.Sprintf(", attrs=%q", attrKept)
		}
		fmt.Fprintf(&b, "%d : %stype=%s, uuid=%s, name=%q%s\n", p.Number, place, p.Type, PartUUID(l.Nonce, p.Name), p.Name, attrs)
	}
	return b.String()
}

// Number is the place of a partition in the table, from 1; 0 for a name that is none of ours.
func Number(name string) int {
	for _, p := range (Layout{}).Partitions() {
		if p.Name == name {
			return p.Number
		}
	}
	return 0
}

// PartUUID is the GPT identity of a partition on a disk laid down under nonce.
func PartUUID(nonce, name string) string { return derive(nonce, "partition "+name) }

// FSUUID is the identity of the file system on that partition. A slot keeps it however often it is written, so that grub.cfg and fstab
// stay as they are. FAT has no UUID: use VolumeID.
func FSUUID(nonce, name string) string { return derive(nonce, "filesystem "+name) }

// VolumeID is the FAT serial number of the ESP, eight hexadecimal digits.
func VolumeID(nonce string) string {
	return strings.ToUpper(strings.ReplaceAll(derive(nonce, "filesystem "+PartESP), "-", "")[:8])
}

// derive makes a UUID of version 8 (RFC 9562, section 5.8) from the nonce and a name.
func derive(nonce, name string) string {
	sum := sha256.Sum256([]byte("nubo " + nonce + " " + name))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return dashed(hex.EncodeToString(sum[:16]))
}

// dashed writes 32 hexadecimal digits as a UUID.
func dashed(h string) string {
	if len(h) != 32 {
		return h
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
