package installer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"aead.dev/minisign"
	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Options are the ramdisk's surroundings. Machine fills in those of a real one.
type Options struct {
	Relay   string // nubo.relay of the kernel command line
	OrderID string // nubo.order
	Trust   []byte // minisign public keys from the ramdisk
	Agent   string // path of this program
	Sysroot string // where the new system is mounted, two levels deep
	Sys     string // sysfs
	Proc    string // procfs
	Runner  run.Runner
	// DiskTypes are lsblk's types that count as disks; nil: "disk".
	DiskTypes []string
	// Partition is the device file of partition n of a disk.
	Partition func(disk string, n int) string
	// SetClock sets the machine's clock.
	SetClock func(time.Time) error
	// BootLoaders lays the boot loaders down; nil: the real ones.
	BootLoaders func(ctx context.Context, i *Install) error
	// Hear tells of the neighbours of a card until its context ends; nil: none is heard.
	Hear func(ctx context.Context, card string, heard func(n order.Neighbour, gone bool)) error
	// Log gets lines for the console.
	Log func(line string)
	// Patience is how long the relay is asked before giving up; 0: the client's own.
	Patience time.Duration
}

// Install is one run of the installer.
type Install struct {
	Options
	client   *client.Client
	reporter *reporter
	machine  machine
	keys     []minisign.PublicKey
	order    order.Order
	config   types.Config
	manifest *manifest.Manifest
	facts    order.Facts
	devices  []disk.Device
	root     disk.Device
	layout   disk.Layout
	attempt  int
	result   order.Installed
	wrote    bool
	finished bool // an earlier boot brought this order to its end, and only its report was lost
	log      ring
	mounts   mounts

	neighbours  *neighbours
	cablingTime time.Duration
}

// New prepares an install. The error says which of the options is wrong; nobody can be told yet.
func New(o Options) (*Install, error) {
	if o.OrderID == "" || o.Relay == "" {
		return nil, errors.New("the kernel command line has no nubo.relay= and nubo.order=: this machine was not started by a nubo relay")
	}
	keys, err := ParseTrust(o.Trust)
	if err != nil {
		return nil, err
	}
	c, err := client.New(o.Relay)
	if err != nil {
		return nil, err
	}
	if o.Partition == nil {
		o.Partition = disk.PartPath
	}
	i := &Install{Options: o, client: c, keys: keys, machine: machine{sys: o.Sys, proc: o.Proc}, cablingTime: cablingTime}
	c.Patience = o.Patience
	c.Retrying = func(err error, next time.Duration) { i.logf("again in %s: %v", next.Round(time.Millisecond), err) }
	i.reporter = &reporter{client: c, order: o.OrderID, boot: i.machine.bootID()}
	return i, nil
}

// Run installs, and reports how it ended. A nil error means that the relay knows the machine to be installed and that it may reboot. An
// error is a *Fault, joined with what went wrong in reporting it.
func (i *Install) Run(ctx context.Context) error {
	background, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { i.reporter.run(background) })
	i.hear(background, &wait)
	err := i.steps(ctx)
	stop()
	wait.Wait()
	err = errors.Join(err, i.mounts.unmount())
	if err == nil {
		return nil
	}
	return errors.Join(err, i.confess(ctx, err))
}

// steps is the whole install, in order.
func (i *Install) steps(ctx context.Context) error {
	for _, s := range []struct {
		phase, tried string
		do           func(context.Context) error
		writes       bool
	}{
		{"verify", "set the clock by the relay", i.setClock, false},
		{"verify", "take the order", i.takeOrder, false},
		{"verify", "compare the machine with the order", i.checkMachine, false},
		{"verify", "check the configuration", i.checkConfig, false},
		{"verify", "take the image's manifest", i.takeManifest, false},
		{"verify", "choose the root disk", i.chooseDisk, false},
		{"verify", "compare its cables with the order", i.checkCabling, false},
		{"verify", "ask for the first write", i.consume, false},
		{"verify", "look at the root disk once more", i.lookAgain, false},
		{"partition", "lay out the root disk", i.partition, true},
		{"image", "fill slot a", i.fill, true},
		{"bootloader", "install the boot loaders", i.bootLoaders, true},
		{"finish", "finish the root disk", i.finish, true},
		{"finish", "report the neighbours", i.reportNeighbours, false},
		{"finish", "report the result", i.reportInstalled, false},
	} {
		if s.writes && i.finished {
			continue
		}
		i.progress(s.phase, s.tried)
		if err := s.do(ctx); err != nil {
			return &Fault{Phase: s.phase, Tried: s.tried, Target: i.target(), Wrote: i.wrote, Err: err}
		}
	}
	return nil
}

func (i *Install) target() string {
	if i.root.Path == "" {
		return ""
	}
	return fmt.Sprintf("%s (serial %s)", i.root.Path, i.root.Serial)
}

// confess reports a fault: refused when nothing was written, failed otherwise.
func (i *Install) confess(ctx context.Context, cause error) error {
	var fault *Fault
	if !errors.As(cause, &fault) {
		fault = &Fault{Phase: "finish", Tried: "release the root disk", Wrote: i.wrote, Err: cause}
	}
	kind := order.ReportRefused
	if i.wrote {
		kind = order.ReportFailed
	}
	problem := fault.problem(i.log.lines())
	i.logf("%s: %s", kind, fault.Error())
	if problem.Remedy != "" {
		i.logf("what to do: %s", problem.Remedy)
	}
	return i.reporter.say(ctx, order.Report{Kind: kind, Problem: problem})
}

func (i *Install) logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	i.log.add(line)
	if i.Log != nil {
		i.Log(line)
	}
}

func (i *Install) progress(phase, text string) {
	i.logf("%s: %s", phase, text)
	i.reporter.progress(order.Progress{Phase: phase, Text: text})
}

func (i *Install) setClock(ctx context.Context) error {
	now, err := i.client.Time(ctx)
	if err != nil || i.SetClock == nil {
		return err
	}
	return i.SetClock(now)
}

// takeOrder proves the order's signature before anything in it is parsed, and takes no order but the one that was named.
func (i *Install) takeOrder(ctx context.Context) error {
	signed, err := i.client.Order(ctx, i.OrderID)
	if err != nil {
		return err
	}
	o, err := order.Open(signed, i.keys...)
	if err != nil {
		return err
	}
	if o.ID != i.OrderID {
		return fmt.Errorf("%w: asked for %s, got %s", order.ErrMalformed, i.OrderID, o.ID)
	}
	if o.Goal == order.Slot {
		return fmt.Errorf("%w: goal %s is for a host that runs", order.ErrMalformed, o.Goal)
	}
	i.order = o
	return o.CheckTime(time.Now())
}

func (i *Install) checkMachine(ctx context.Context) error {
	i.facts = i.machine.facts()
	devices, err := i.scan(ctx)
	for _, d := range devices {
		i.facts.Disks = append(i.facts.Disks, d.Disk)
	}
	reported := i.reporter.say(ctx, order.Report{Kind: order.ReportFacts, Facts: &i.facts})
	if err := errors.Join(err, reported); err != nil {
		return err
	}
	if err := i.order.CheckMachine(i.facts.Serial, macs(i.facts.NICs)); err != nil {
		return err
	}
	if i.order.Disks.LUKS || i.order.Disks.MDRAID {
		return errors.New("the order wants LUKS or mdraid below the root file system, which this agent does not make")
	}
	i.devices = devices
	return nil
}

func (i *Install) checkConfig(context.Context) error {
	var err error
	if i.config, err = hostfiles.Parse(i.order.Config); err != nil {
		return err
	}
	return checkArgs(i.order.KernelArgs)
}

func (i *Install) takeManifest(ctx context.Context) error {
	var err error
	i.manifest, err = slot.OpenManifest(ctx, i.client, i.order.Image.Digest, i.keys)
	return err
}

// ownNonce is the nonce under which the root disk may have been written before: this order's; that of an order for the same node that did not
// come to its end; and, when the host is to be laid down anew, that of the install that it lives by.
func (i *Install) ownNonce() string {
	d := i.order.Disks
	if slices.Contains(d.Unfinished, i.root.Nonce) || i.order.Goal == order.Reinstall && slices.Contains(d.Keep, i.root.Nonce) {
		return i.root.Nonce
	}
	return i.order.Nonce
}

// chooseDisk refuses before consent is asked for: from here on all that can be known without writing is known.
func (i *Install) chooseDisk(context.Context) error {
	root, err := disk.Choose(i.order.Disks.Root, i.devices)
	if err != nil {
		return err
	}
	i.root = root
	if err := disk.Admit(i.root, i.ownNonce(), i.order.Disks.Consent); err != nil {
		return err
	}
	tree, _ := i.manifest.File(manifest.RootTar)
	if err := i.divide(); err != nil {
		return err
	}
	i.logf("root disk: %s, serial %s, %.1f GiB; slots of %d GiB", i.root.Path, i.root.Serial, float64(i.root.SizeBytes)/(1<<30), i.layout.SlotGiB)
	if err := i.layout.Holds(tree.Size); err != nil {
		return err
	}
	i.finished, err = i.isFinished()
	return err
}

// divide decides how the root disk is laid out: as it lies, when it carries this node's state, otherwise anew.
func (i *Install) divide() (err error) {
	d := i.order.Disks
	if !i.carriesState() {
		i.layout, err = disk.NewLayout(i.root.SizeBytes, d.SlotGiB, i.order.Nonce)
		return err
	}
	if i.layout, err = disk.Keeping(i.root.Table, d.SlotGiB, i.order.Nonce); err != nil {
		return err
	}
	if err := i.peek(disk.PartState, func(string) error { return nil }); err != nil {
		return fmt.Errorf("%w: %w", disk.ErrState, err)
	}
	i.logf("state: %s stays as it is", i.part(disk.PartState))
	return nil
}

// carriesState reports whether what the root disk holds is older than this order: it was laid down under a nonce that the order says to keep, or
// this order's table says that it left the state partition of such a disk where it was.
func (i *Install) carriesState() bool {
	if i.root.Nonce == i.order.Nonce {
		return disk.Kept(i.root.Table)
	}
	return slices.Contains(i.order.Disks.Keep, i.root.Nonce) // a disk without a table of ours has no nonce
}

func (i *Install) consume(ctx context.Context) error {
	granted, err := i.client.Consume(ctx, i.order.ID, order.Consume{
		Nonce: i.order.Nonce, Serial: i.facts.Serial, Boot: i.reporter.boot, DiskNonce: i.root.Nonce,
	})
	if err != nil {
		return err
	}
	i.attempt = granted.Attempt
	return nil
}

func (i *Install) scan(ctx context.Context) ([]disk.Device, error) {
	return disk.Scanner{Runner: i.Runner, Types: i.DiskTypes, Sys: i.Sys}.Scan(ctx)
}

// lookAgain proves, right before the first write, that the device file still leads to the disk that was chosen, and that it holds what was found on it: since
// then neighbours were listened for and the relay was asked, which can take minutes, and the kernel gives names anew when a disk goes and comes.
func (i *Install) lookAgain(ctx context.Context) error {
	if i.finished {
		return nil // nothing is written
	}
	devices, err := i.scan(ctx)
	if err != nil {
		return err
	}
	now, err := disk.Choose(i.order.Disks.Root, devices)
	if err != nil {
		return err
	}
	return i.root.Same(now)
}

func (i *Install) partition(ctx context.Context) error {
	i.wrote = true
	if err := i.layout.Write(ctx, i.Runner, i.root.Path); err != nil {
		return err
	}
	if err := waitFor(ctx, 30*time.Second, func() bool {
		_, err := os.Stat(i.part(disk.PartState))
		return err == nil
	}); err != nil {
		return fmt.Errorf("the kernel shows no %s: %w", i.part(disk.PartState), err)
	}
	return i.layout.Format(ctx, i.Runner, func(n int) string { return i.Partition(i.root.Path, n) })
}

// part is the device file of a partition of the root disk, by its name.
func (i *Install) part(name string) string { return i.Partition(i.root.Path, disk.Number(name)) }
