package provision_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sync/errgroup"

	imagestore "github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/local"
)

// TestFleetServers is the process of the servers. It does what it is told to on its input, a word at a time, and ends with it.
func TestFleetServers(t *testing.T) {
	text := os.Getenv(fleetServer)
	if text == "" {
		t.Skip("the other process of TestThousandBlades")
	}
	var size fleetSize
	if err := json.Unmarshal([]byte(text), &size); err != nil {
		t.Fatal(err)
	}
	f := newFleetSite(t, size)
	words := bufio.NewScanner(os.Stdin)
	tell := json.NewEncoder(os.Stdout)
	for words.Scan() {
		var news fleetNews
		switch words.Text() {
		case `"serve"`:
			news = f.serve(t)
		case `"arm"`:
			began := time.Now()
			news = f.arm(t.Context())
			if err := tell.Encode(news); err != nil {
				t.Fatal(err)
			}
			news = f.wait(t.Context())
			news.Seconds, news.Memory = time.Since(began).Seconds(), peakMemory(t)
		}
		if err := tell.Encode(news); err != nil {
			t.Fatal(err)
		}
	}
}

// fleetSite is a workstation with its state, its image store and the relay of the fleet's network.
type fleetSite struct {
	p     *provision.Provisioner
	nodes []model.Node
	cfg   relay.Config
	trust []byte
	key   []byte
	ctl   *relay.Client
}

func newFleetSite(t *testing.T, size fleetSize) *fleetSite {
	t.Helper()
	dir := size.Dir
	if dir == "" {
		dir = t.TempDir()
	}
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pub.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	lease, err := store.Acquire(t.Context(), "", state.Holder{User: "ann", PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	images := newFleetImages(t, filepath.Join(dir, "images"), key, size)
	desired := fleetInventory(size.Blades, images.ref)
	private, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleetSite{trust: trust, key: private, nodes: desired.Nodes, cfg: relay.Config{
		Dir: filepath.Join(dir, "relay"), Interface: "servers", Address: fleetRelay, Trust: []minisign.PublicKey{pub},
		Images: relay.StoreImages(images.store.Dir, []minisign.PublicKey{pub}),
	}}
	f.p = &provision.Provisioner{Desired: desired, Store: store, Fence: lease.Fence(), Key: key, Images: images, Silence: 8 * time.Minute, Now: time.Now,
		Relay:  func(context.Context, string) (*relay.Client, error) { return f.ctl, nil },
		Config: func(n model.Node) ([]byte, error) { return fleetConfig(n.Name), nil }}
	return f
}

// fleetInventory has that many blades on one network.
func fleetInventory(blades int, image model.ImageRef) model.Desired {
	d := model.Desired{
		Cloud:    model.Cloud{Domain: "test.example"},
		Networks: []model.Network{{Name: "provision", CIDR: fleetNet, DHCP: model.DHCPAuthoritative, Gateway: fleetRelay}},
		Profiles: []model.Profile{{Name: "p"}},
	}
	for n := range blades {
		name := fmt.Sprintf("blade-%04d", n)
		d.Nodes = append(d.Nodes, model.Node{Path: model.Path("lab/r1/az1/a").Join(name), Name: name, Profile: "p", Serial: fleetSerial(n), Image: image,
			Config: model.DigestBytes(fleetConfig(name)), RootDevice: model.DeviceHints{Serial: "root-*"},
			NICs: []model.NIC{{Name: "eth0", MAC: fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", toAny(fleetMAC(n))...), Network: "provision",
				Address: netip.PrefixFrom(fleetAddress(n), fleetNet.Bits())}}})
	}
	return d
}

func fleetConfig(name string) []byte {
	return []byte(`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/fleet","mode":420,"contents":{"source":"data:,` + name + `"}}]}}`)
}

func fleetSerial(n int) string { return fmt.Sprintf("S%04d", n) }

func toAny(b []byte) []any {
	out := make([]any, len(b))
	for i, c := range b {
		out[i] = c
	}
	return out
}

// serve runs the relay until the test ends.
func (f *fleetSite) serve(t *testing.T) fleetNews {
	r, err := relay.New(f.cfg)
	if err != nil {
		return fleetNews{What: "serving", Error: err.Error()}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case <-r.Ready():
	case err := <-done:
		cancel()
		return fleetNews{What: "serving", Error: err.Error()}
	}
	ctl, end := relay.Local(r)
	f.ctl = ctl
	t.Cleanup(func() {
		end()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fleetNews{What: "serving", Trust: f.trust, Secret: f.key}
}

// armsAtOnce is how many orders are given at once: the engine's limit for one relay.
const armsAtOnce = 64

func (f *fleetSite) arm(ctx context.Context) fleetNews {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(armsAtOnce)
	for _, n := range f.nodes {
		g.Go(func() error { return f.p.Arm(ctx, n, order.Install, model.DigestBytes([]byte("spec")), quiet) })
	}
	news := fleetNews{What: "armed"}
	if err := g.Wait(); err != nil {
		news.Error = err.Error()
	}
	news.Seconds = time.Since(began).Seconds()
	return news
}

// wait follows every install to its end and keeps what came of it, as install.wait does.
func (f *fleetSite) wait(ctx context.Context) fleetNews {
	g, following := errgroup.WithContext(ctx)
	for _, n := range f.nodes {
		g.Go(func() error {
			for version := 0; ; {
				status, next, err := f.p.Watch(following, n, version)
				switch {
				case err != nil:
					return err
				case status.Phase == order.PhaseInstalled:
					return f.p.Keep(following, n, *status.Result)
				case status.Phase == order.PhaseRefused || status.Phase == order.PhaseFailed:
					return fmt.Errorf("%s: %s: %+v", n.Path, status.Phase, status.Problem)
				}
				version = next
			}
		})
	}
	news := fleetNews{What: "installed"}
	if err := g.Wait(); err != nil {
		news.Error = err.Error()
	}
	for _, n := range f.nodes {
		rec, err := state.Orders[provision.Record](f.p.Store, state.Fence{}).Get(ctx, string(n.Path))
		if err == nil && rec.Installed != nil && len(rec.Installed.HostKeys) == 1 {
			news.Count++
		}
	}
	return news
}

// peakMemory is VmHWM of proc_pid_status(5), in bytes.
func peakMemory(t *testing.T) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var kib float64
	for line := range bytes.Lines(status) {
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %g kB", &kib); n == 1 {
			return kib * 1024
		}
	}
	t.Fatal("/proc/self/status tells no VmHWM")
	return 0
}

// fleetImages are boot files and an image of bytes that do not compress.
type fleetImages struct {
	store  imagestore.Store
	ref    model.ImageRef
	files  []provision.File
	blobs  []provision.Blob
	random io.Reader
}

func newFleetImages(t *testing.T, dir string, key minisign.PrivateKey, size fleetSize) *fleetImages {
	t.Helper()
	f := &fleetImages{store: imagestore.Store{Dir: dir}, random: mrand.NewChaCha8([32]byte{1})}
	for _, boot := range []struct {
		name  string
		bytes int64
	}{{"vmlinuz", size.Kernel}, {"initrd", size.Initrd}, {"snponly.efi", size.FirstStage}} {
		f.files = append(f.files, f.file(t, boot.name, boot.bytes))
	}
	root := io.LimitReader(f.random, size.Image)
	if len(size.Root) > 0 {
		root = bytes.NewReader(size.Root)
	}
	file, err := manifest.Cut(t.Context(), manifest.RootTar, root, f.store.PutChunk)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{FormatVersion: manifest.FormatVersion, Name: "debian-13", Kind: manifest.Root, Release: "trixie", Architecture: "amd64", Version: "13.2-0123456789ab",
		Epoch: 1767225600, Inputs: model.DigestBytes([]byte("inputs")), KernelVersion: "6.12.1-amd64",
		Packages: []manifest.Package{{Name: "base-files", Version: "13.8", Architecture: "amd64"}}, Files: []manifest.File{file}}
	d, err := f.store.PutManifest(&m)
	if err := errors.Join(err, f.store.Sign(d, key)); err != nil {
		t.Fatal(err)
	}
	f.ref = model.ImageRef{Name: m.Name, Digest: d}
	f.blobs = append(f.blobs, provision.Blob{Kind: "images", Digest: d.Hex()})
	for _, c := range file.Chunks {
		f.blobs = append(f.blobs, provision.Blob{Kind: "chunks", Digest: c.Digest.Hex(), Size: c.Compressed})
	}
	return f
}

// file makes a boot file.
func (f *fleetImages) file(t *testing.T, name string, size int64) provision.File {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(out, sum), f.random, size)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return provision.File{Name: name, SHA256: hex.EncodeToString(sum.Sum(nil)), Path: out.Name(), Size: size}
}

func (f *fleetImages) Blobs(model.Digest) ([]provision.Blob, error) { return f.blobs, nil }
func (f *fleetImages) Ramdisk() (kernel, initrd provision.File, err error) {
	return f.files[0], f.files[1], nil
}
func (f *fleetImages) FirstStage() ([]provision.File, error) {
	return []provision.File{f.files[2]}, nil
}
