package slot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/stream"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Job is one filling of one slot. Config and Manifest come from verified bytes, parsed before anything is written.
type Job struct {
	Root      string // the slot, mounted and empty
	State     string // the state partition, mounted
	Slot      string // a or b
	DiskNonce string
	Order     order.Order
	Config    types.Config
	Manifest  *manifest.Manifest
	Trust     []byte // public keys that the host will trust
	Agent     string // path of this program
	Stream    stream.Options
}

// Filler does jobs.
type Filler struct {
	Runner run.Runner
	Source stream.Source
	// Step, where set, is told what begins.
	Step func(phase, text string)
}

// Filled is what came of a job.
type Filled struct {
	HostKeys  []string // public halves, authorized_keys form
	BytesRead int64    // as transported
}

// Fill does all but making the slot bootable: see Seal. State is only added to. What it has written is on the disks when it returns without an error.
func (f Filler) Fill(ctx context.Context, j Job) (Filled, error) {
	d, err := watch(j.Root, j.State)
	if err != nil {
		return Filled{}, err
	}
	done, err := f.fill(ctx, j)
	if err == nil {
		err = d.flush()
	}
	return done, errors.Join(err, d.close())
}

func (f Filler) fill(ctx context.Context, j Job) (Filled, error) {
	var done Filled
	file, ok := j.Manifest.File(manifest.RootTar)
	if !ok {
		return done, fmt.Errorf("image %s: its manifest has no file %s", j.Manifest.Name, manifest.RootTar)
	}
	f.step("image", fmt.Sprintf("%s %s, %d MiB", j.Manifest.Name, j.Manifest.Version, file.Compressed()>>20))
	if err := f.unpack(ctx, j, file); err != nil {
		return done, fmt.Errorf("write the image: %w", err)
	}
	done.BytesRead = file.Compressed()
	f.step("config", j.Order.Hostname)
	steps := []func(context.Context, Job) error{f.baseFiles, f.hostConfig, f.persist}
	for _, step := range steps {
		if err := step(ctx, j); err != nil {
			return done, fmt.Errorf("configure the slot: %w", err)
		}
	}
	keys, err := identity(j)
	if err != nil {
		return done, fmt.Errorf("configure the slot: %w", err)
	}
	done.HostKeys = keys
	return done, nil
}

// Seal makes a filled slot bootable: everything reaches the disk first, then the file without which GRUB does not boot it.
func Seal(j Job) error {
	body, err := boot.SlotFile(j.Order.KernelArgs)
	if err != nil {
		return err
	}
	d, err := watch(j.Root, j.State)
	if err == nil {
		err = d.flush()
	}
	if err == nil {
		err = put(j.Root, "/"+boot.SlotConfig, body, 0o644)
	}
	if err == nil {
		err = d.flush()
	}
	if err = errors.Join(err, d.close()); err != nil {
		return fmt.Errorf("make the slot bootable: %w", err)
	}
	return nil
}

func (f Filler) step(phase, text string) {
	if f.Step != nil {
		f.Step(phase, text)
	}
}

func (f Filler) unpack(ctx context.Context, j Job, file manifest.File) error {
	r := manifest.NewReader(ctx, file, stream.Fetcher(f.Source, file, j.Stream))
	defer r.Close()
	n, err := stream.Unpack(r, j.Root)
	if err == nil && n == 0 {
		return errors.New("the archive is empty")
	}
	return err
}

// yielding are the base files that a configuration may bring instead.
var yielding = []string{"/etc/hostname", "/etc/hosts", watchFile}

// configured tells whether the configuration brings a file itself.
func configured(c types.Config, path string) bool {
	return slices.Contains(yielding, path) && slices.ContainsFunc(c.Storage.Files, func(f types.File) bool { return f.Path == path })
}

// baseFiles are nubo's own, before the configuration is applied.
func (f Filler) baseFiles(_ context.Context, j Job) error {
	name, err := PartitionOf(j.Slot)
	if err != nil {
		return err
	}
	agent, err := os.ReadFile(j.Agent)
	if err != nil {
		return fmt.Errorf("the agent itself: %w", err)
	}
	var errs []error
	for _, file := range []struct {
		path, body string
		mode       os.FileMode
	}{
		{"/etc/hostname", j.Order.Hostname + "\n", 0o644},
		{"/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + j.Order.Hostname + "\n::1 localhost ip6-localhost ip6-loopback\n", 0o644},
		{"/etc/fstab", Fstab(j.DiskNonce, name), 0o644},
		{sshdFile, sshdConfig, 0o644},
		{watchFile, watchdogConfig, 0o644},
		{"/etc/systemd/system/" + TryUnit, tryUnit, 0o644},
		{TrustFile, string(j.Trust), 0o644},
		{ConfigFile, string(j.Order.Config), 0o600},
		{ImageFile, ContentsOf(j.Order, j.DiskNonce).encode(), 0o644},
		{AgentFile, string(agent), 0o755},
		{"/etc/.updated", updated, 0o644},
		{"/var/.updated", updated, 0o644},
	} {
		if configured(j.Config, file.path) {
			continue
		}
		errs = append(errs, put(j.Root, file.path, file.body, file.mode))
	}
	for _, dir := range append([]string{StateMount}, Persistent...) {
		errs = append(errs, os.MkdirAll(filepath.Join(j.Root, dir), 0o755))
	}
	return errors.Join(errs...)
}

func (f Filler) hostConfig(ctx context.Context, j Job) error {
	a, err := hostfiles.Open(j.Root, f.Runner)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Apply(ctx, j.Config); err != nil {
		return err
	}
	return a.Enable(ctx, TryUnit)
}

// put writes a file below root and makes its directories; an existing file, or a link in its place, is replaced.
func put(root, path, body string, mode os.FileMode) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	p := strings.TrimPrefix(path, "/")
	if err := dir.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	if err := dir.RemoveAll(p); err != nil {
		return err
	}
	if err := dir.WriteFile(p, []byte(body), mode); err != nil {
		return err
	}
	return dir.Chmod(p, mode)
}
