package provision

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/relay"
)

// uploads is how many blobs go to a relay at once.
const uploads = 4

// Arm signs an order and hands it to the relay of the node's network, with all it refers to. The state knows the order before the relay does, so
// that an order which is out is never unknown.
func (p *Provisioner) Arm(ctx context.Context, n model.Node, goal order.Goal, spec model.Digest, report func(text string, done, total int64)) error {
	if n.Image.Digest == "" {
		return fmt.Errorf("%s: image %s is not in the image store; build it with: nuboctl image build %s", n.Path, n.Image.Name, n.Image.Name)
	}
	_, network, err := BootNIC(p.Desired, n)
	if err != nil {
		return err
	}
	c, err := p.Relay(ctx, network.Name)
	if err != nil {
		return err
	}
	boot, files, err := p.bootFiles()
	if err != nil {
		return err
	}
	if err := p.supply(ctx, c, files, n.Image.Digest, report); err != nil {
		return err
	}
	if err := p.introduce(ctx, c, network); err != nil {
		return err
	}
	before, _, err := p.orders().Lookup(ctx, string(n.Path))
	if err != nil {
		return err
	}
	o, err := p.write(n, goal, spec, before)
	if err != nil {
		return err
	}
	signed, err := order.Sign(o, p.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	rec := Record{ID: o.ID, Network: network.Name, Spec: spec, Goal: goal, Given: o.IssuedAt, Nonce: o.Nonce, Serial: n.Serial,
		Unfinished: append(slices.Clone(before.Unfinished), o.Nonce), Base: before.base(), Begun: p.begun(ctx, c, before), Facts: before.Facts, FactsAt: before.FactsAt}
	if err := p.orders().Put(ctx, string(n.Path), rec); err != nil {
		return err
	}
	return c.Arm(ctx, o.ID, relay.Arm{Signed: signed, Boot: boot})
}

// begun reports whether a disk was given to the order before, or to one before that since the node was last installed: it stays so in the next order.
func (p *Provisioner) begun(ctx context.Context, c *relay.Client, before Record) bool {
	if before.Installed != nil || before.Base == "" || before.Begun {
		return before.Begun
	}
	news, err := c.Order(ctx, before.ID, 0)
	return err == nil && news.Status.Attempts > 0
}

// introduce tells the relay which machines it gives addresses to: once, since what is desired does not change.
func (p *Provisioner) introduce(ctx context.Context, c *relay.Client, network model.Network) error {
	p.supplying.Lock()
	defer p.supplying.Unlock()
	if p.introduced[c] {
		return nil
	}
	if err := c.SetMachines(ctx, Machines(p.Desired, network)); err != nil {
		return err
	}
	if p.introduced == nil {
		p.introduced = map[*relay.Client]bool{}
	}
	p.introduced[c] = true
	return nil
}

// write fills in an order that follows the one before.
func (p *Provisioner) write(n model.Node, goal order.Goal, spec model.Digest, before Record) (order.Order, error) {
	nonce, err := order.NewNonce()
	if err != nil {
		return order.Order{}, err
	}
	config, err := p.Config(n)
	if err != nil {
		return order.Order{}, err
	}
	if got := model.DigestBytes(config); got != n.Config {
		return order.Order{}, fmt.Errorf("%s: its configuration has digest %s, the plan was made with %s; plan again", n.Path, got.Short(), n.Config.Short())
	}
	profile, err := profileOf(p.Desired, n)
	if err != nil {
		return order.Order{}, err
	}
	macs := make([]string, len(n.NICs))
	for i, nic := range n.NICs {
		macs[i] = strings.ToLower(nic.MAC)
	}
	now := p.Now().UTC().Truncate(time.Second)
	return order.Order{
		FormatVersion: order.FormatVersion, ID: n.Name + "-" + nonce[:8], Goal: goal, Node: n.Path, Hostname: n.Name,
		Machine: order.Machine{Serial: n.Serial, MACs: macs, Cables: Cables(n)}, Nonce: nonce, IssuedAt: now, ExpiresAt: now.Add(validity),
		MaxAttempts: maxAttempts, Epoch: p.Fence.Epoch, Spec: spec, Image: n.Image,
		Disks: order.Disks{Root: n.RootDevice, SlotGiB: profile.SlotGiB, Consent: n.Consent, Unfinished: before.Unfinished, Keep: before.keep(),
			LUKS: profile.LUKS, MDRAID: profile.MDRAID},
		Config:     config,
		KernelArgs: profile.KernelArgs,
	}, nil
}

// Cables are where a node's cards are to be connected.
func Cables(n model.Node) []order.Cable {
	var out []order.Cable
	for _, nic := range n.NICs {
		if nic.Switch != "" {
			out = append(out, order.Cable{MAC: strings.ToLower(nic.MAC), Switch: nic.Switch, Port: nic.Port, Refuse: nic.Cabling == "refuse"})
		}
	}
	return out
}

func profileOf(d model.Desired, n model.Node) (model.Profile, error) {
	for _, p := range d.Profiles {
		if p.Name == n.Profile {
			return p, nil
		}
	}
	return model.Profile{}, fmt.Errorf("%s: profile %q is not in the inventory", n.Path, n.Profile)
}

// bootFiles are the boot loaders, kernel and ramdisk that installs need.
func (p *Provisioner) bootFiles() (relay.BootFiles, []File, error) {
	kernel, initrd, err := p.Images.Ramdisk()
	if err != nil {
		return relay.BootFiles{}, nil, err
	}
	files, err := p.Images.FirstStage()
	if err != nil {
		return relay.BootFiles{}, nil, err
	}
	// The name carries the digest, so that another ramdisk does not take the place of one that an older order names.
	kernel.Name, initrd.Name = kernel.SHA256[:16]+"-vmlinuz", initrd.SHA256[:16]+"-initrd"
	return relay.BootFiles{Kernel: kernel.Name, Initrd: initrd.Name}, append(files, kernel, initrd), nil
}

// supply brings the relay what it does not have: boot files, manifest and chunks.
func (p *Provisioner) supply(ctx context.Context, c *relay.Client, files []File, image model.Digest, report func(string, int64, int64)) error {
	p.supplying.Lock()
	defer p.supplying.Unlock()
	blobs, err := p.Images.Blobs(image)
	if err != nil {
		return err
	}
	names := make(map[string]string, len(files))
	for _, f := range files {
		names[f.Name] = f.SHA256
	}
	digests := make([]string, len(blobs))
	for i, b := range blobs {
		digests[i] = b.Digest
	}
	missingFiles, missingBlobs, err := c.Missing(ctx, names, digests)
	if err != nil {
		return err
	}
	return newUpload(c, report).run(ctx, pickFiles(files, missingFiles), pickBlobs(blobs, missingBlobs))
}

func (u *upload) run(ctx context.Context, files []File, blobs []Blob) error {
	for _, f := range files {
		u.total += f.Size
	}
	for _, b := range blobs {
		u.total += b.Size
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for _, f := range files {
		g.Go(func() error { return u.file(ctx, f) })
	}
	for _, b := range blobs {
		g.Go(func() error { return u.blob(ctx, b) })
	}
	return g.Wait()
}

func (u *upload) file(ctx context.Context, f File) error {
	body, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("boot file %s: %w", f.Name, err)
	}
	defer body.Close()
	if err := u.relay.PutFile(ctx, f.Name, f.SHA256, body); err != nil {
		return err
	}
	u.add(f.Size)
	return nil
}

func (u *upload) blob(ctx context.Context, b Blob) error {
	bytesOf, err := b.Open()
	if err != nil {
		return fmt.Errorf("image blob %s: %w", b.Digest, err)
	}
	if err := u.relay.PutBlob(ctx, b.Kind, b.Digest, bytes.NewReader(bytesOf)); err != nil {
		return err
	}
	u.add(b.Size)
	return nil
}
