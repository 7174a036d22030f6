package running

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/installer/stream"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Images is where manifests and chunks come from.
type Images interface {
	slot.Manifests
	stream.Source
}

// Write is one writing of the idle slot.
type Write struct {
	Slot   string
	Signed order.Signed
	Keys   []minisign.PublicKey
	Trust  []byte // the same keys, as the new slot will trust them
	Images Images
	Agent  string // path of the program that the slot gets
	Serial string // this machine's, and its cards' addresses
	MACs   []string
	Stream stream.Options
	Step   func(phase, text string)
}

// Write makes the idle slot hold what a signed order says. It is not bootable until all is on the disk. A slot that holds the same image
// and configuration stays as it is. Errors before the first write wrap ErrRefused.
func (h Host) Write(ctx context.Context, w Write) error {
	job, err := h.admit(ctx, w)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if job == nil {
		return nil
	}
	part, err := slot.PartitionOf(w.Slot)
	if err != nil {
		return err
	}
	if err := h.set(func(env boot.Env) bool { delete(env, boot.Good(w.Slot)); return true }); err != nil {
		return err
	}
	if err := disk.FormatExt4(ctx, h.Runner, h.Device(job.DiskNonce, part), job.DiskNonce, part); err != nil {
		return err
	}
	return h.with(job.DiskNonce, part, unix.MS_NOATIME, "", func(dir string) error {
		job.Root = dir
		if _, err := (slot.Filler{Runner: h.Runner, Source: w.Images, Step: w.Step}).Fill(ctx, *job); err != nil {
			return err
		}
		return slot.Seal(*job)
	})
}

// admit checks all that can be known before writing. A nil job without an error: the slot is as wanted.
func (h Host) admit(ctx context.Context, w Write) (*slot.Job, error) {
	o, err := order.Open(w.Signed, w.Keys...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.CheckTime(time.Now()), o.CheckMachine(w.Serial, w.MACs)); err != nil {
		return nil, err
	}
	status, err := h.Status()
	if err != nil {
		return nil, err
	}
	want, now := slot.ContentsOf(o, ""), status.Slot(w.Slot)
	switch {
	case o.Goal != order.Slot:
		return nil, fmt.Errorf("%w: goal %s is for the ramdisk", order.ErrMalformed, o.Goal)
	case w.Slot == h.Booted:
		return nil, fmt.Errorf("slot %s is the booted one", w.Slot)
	case w.Slot == status.DefaultSlot:
		return nil, fmt.Errorf("slot %s is the default, and the booted slot has not been declared good: it is what this host falls back to", w.Slot)
	case w.Slot == status.NextSlot:
		return nil, fmt.Errorf("slot %s boots next: cancel that first", w.Slot)
	case now.State != Empty && now.State != Writing && now.holds.Same(want):
		return nil, nil
	}
	return h.job(ctx, w, o)
}

func (h Host) job(ctx context.Context, w Write, o order.Order) (*slot.Job, error) {
	config, err := hostfiles.Parse(o.Config)
	if err != nil {
		return nil, err
	}
	if _, err := boot.SlotFile(o.KernelArgs); err != nil {
		return nil, err
	}
	m, err := slot.OpenManifest(ctx, w.Images, o.Image.Digest, w.Keys)
	if err != nil {
		return nil, err
	}
	nonce, err := h.diskNonce()
	if err != nil {
		return nil, err
	}
	if err := h.fits(nonce, w.Slot, m); err != nil {
		return nil, err
	}
	return &slot.Job{
		State: filepath.Join(h.Root, slot.StateMount), Slot: w.Slot, DiskNonce: nonce, Order: o, Config: config, Manifest: m,
		Trust: w.Trust, Agent: w.Agent, Stream: w.Stream,
	}, nil
}

// fits compares the image with the partition.
func (h Host) fits(nonce, name string, m *manifest.Manifest) error {
	part, err := slot.PartitionOf(name)
	if err != nil {
		return err
	}
	f, err := os.Open(h.Device(nonce, part))
	if err != nil {
		return fmt.Errorf("slot %s: %w", name, err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of slot %s: %w", name, err)
	}
	tree, _ := m.File(manifest.RootTar)
	return disk.Layout{SlotGiB: int(size >> 30)}.Holds(tree.Size)
}
