package provision_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/local"
)

// bench is a workstation with its state store, and a relay with its order book, both real and on disk.
type bench struct {
	*testing.T
	p     *provision.Provisioner
	now   time.Time
	store state.Store
	dir   string // the relay's
	kept  *kept
	pub   minisign.PublicKey
	ctl   *relay.Client
	stop  func()
	spec  model.Digest
}

func newBench(t *testing.T) *bench {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lease, err := store.Acquire(t.Context(), "", state.Holder{User: "ann", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, now: time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC), store: store, dir: t.TempDir(), pub: pub, spec: model.DigestBytes([]byte("spec")),
		kept: &kept{blobs: map[string]int{}}}
	b.start()
	t.Cleanup(func() {
		b.stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b.p = &provision.Provisioner{Desired: inventory(), Store: store, Fence: lease.Fence(), Key: key, Images: newPayload(t), Silence: 8 * time.Minute,
		Relay:  func(context.Context, string) (*relay.Client, error) { return b.ctl, nil },
		Config: func(n model.Node) ([]byte, error) { return config(n.Name), nil },
		Now:    func() time.Time { return b.now }}
	return b
}

// start makes a relay from what is in its directory.
func (b *bench) start() {
	b.Helper()
	r, err := relay.New(relay.Config{Dir: b.dir, Address: netip.MustParseAddr("127.0.0.1"), Trust: []minisign.PublicKey{b.pub}, Images: b.kept, Now: func() time.Time { return b.now }})
	if err != nil {
		b.Fatal(err)
	}
	b.ctl, b.stop = relay.Local(r)
}

// agent changes the order's record in the relay's book, as what a machine on the network says does, and starts the relay again.
func (b *bench) agent(id string, change func(order.Record) (order.Record, error)) {
	b.Helper()
	b.stop()
	path := filepath.Join(b.dir, "orders", id+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var entry map[string]json.RawMessage
	var rec order.Record
	if err := errors.Join(json.Unmarshal(text, &entry), json.Unmarshal(entry["record"], &rec)); err != nil {
		b.Fatal(err)
	}
	if rec, err = change(rec); err != nil {
		b.Fatal(err)
	}
	if entry["record"], err = json.Marshal(rec); err != nil {
		b.Fatal(err)
	}
	if text, err = json.Marshal(entry); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	b.start()
}

func (b *bench) grant(id string) {
	b.Helper()
	b.agent(id, func(r order.Record) (order.Record, error) {
		return r.Grant(order.Consume{Nonce: r.Order.Nonce, Serial: r.Order.Machine.Serial, Boot: "boot-1"}, b.now)
	})
}

func (b *bench) report(id string, rep order.Report) {
	b.Helper()
	b.agent(id, func(r order.Record) (order.Record, error) {
		rep.Order, rep.Boot = id, "boot-1"
		if rep.Installed != nil {
			rep.Installed.Nonce = r.Order.Nonce
		}
		return r.Report(rep, b.now)
	})
}

func (b *bench) arm(n model.Node) provision.Record {
	b.Helper()
	if err := b.p.Arm(b.Context(), n, order.Install, b.spec, quiet); err != nil {
		b.Fatal(err)
	}
	return b.record(n)
}

func quiet(string, int64, int64) {}

func (b *bench) record(n model.Node) provision.Record {
	b.Helper()
	rec, err := state.Orders[provision.Record](b.store, state.Fence{}).Get(b.Context(), string(n.Path))
	if err != nil {
		b.Fatal(err)
	}
	return rec
}

// signed is the order as the relay gives it to the machine.
func (b *bench) signed(id string) order.Order {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "orders", id+".json"))
	if err != nil {
		b.Fatal(err)
	}
	var entry struct{ Signed order.Signed }
	if err := json.Unmarshal(text, &entry); err != nil {
		b.Fatal(err)
	}
	o, err := order.Open(entry.Signed, b.pub)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

func (b *bench) phase(n model.Node) string {
	b.Helper()
	o, err := b.p.Order(b.Context(), n)
	if err != nil {
		b.Fatal(err)
	}
	return o.Phase
}

func config(name string) []byte {
	return []byte(`{"ignition":{"version":"3.3.0"},"name":"` + name + `"}`)
}

var image = model.ImageRef{Name: "debian-13", Digest: model.DigestBytes([]byte("manifest"))}

// inventory has three blades on a network with boot service.
func inventory() model.Desired {
	d := model.Desired{
		Cloud: model.Cloud{Domain: "test.example"},
		Networks: []model.Network{{Name: "mgmt"}, {Name: "provision", DHCP: model.DHCPAuthoritative, MTU: 9000, Gateway: netip.MustParseAddr("10.77.0.1"),
			NTP: []string{"10.77.0.1", "ntp.example"}}},
		Profiles: []model.Profile{{Name: "p", SlotGiB: 4, KernelArgs: []string{"quiet"}}},
	}
	for i, name := range []string{"blade-01", "blade-02", "blade-03"} {
		d.Nodes = append(d.Nodes, model.Node{Path: model.Path("lab/r1/az1/a").Join(name), Name: name, Profile: "p", Serial: "S" + name, Image: image,
			Config: model.DigestBytes(config(name)), RootDevice: model.DeviceHints{Serial: "root-*"},
			NICs: []model.NIC{{Name: "m", MAC: "52:54:00:77:01:0" + string(rune('1'+i)), Network: "mgmt", Address: netip.MustParsePrefix("10.9.0.1/24")},
				{Name: "eth0", MAC: "52:54:00:77:00:0" + string(rune('A'+i)), Network: "provision", Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}), 24)}}})
	}
	return d
}

// payload is an image of one manifest and two chunks, and boot files.
type payload struct {
	files []provision.File // kernel, initrd, first stage
	mu    sync.Mutex
	opens map[string]int
}

func newPayload(t *testing.T) *payload {
	p := &payload{opens: map[string]int{}}
	dir := t.TempDir()
	for _, name := range []string{"vmlinuz", "initrd.img", "snponly.efi"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, provision.File{Name: name, SHA256: sum(name), Path: path, Size: int64(len(name))})
	}
	return p
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func (p *payload) Blobs(d model.Digest) ([]provision.Blob, error) {
	if d != image.Digest {
		return nil, errors.New("no such image")
	}
	var out []provision.Blob
	for i, text := range []string{"manifest", "chunk 1", "chunk 2"} {
		kind := "chunks"
		if i == 0 {
			kind = "images"
		}
		out = append(out, provision.Blob{Kind: kind, Digest: sum(text), Size: int64(len(text)), Open: func() ([]byte, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.opens[text]++
			return []byte(text), nil
		}})
	}
	return out, nil
}

func (p *payload) Ramdisk() (kernel, initrd provision.File, err error) {
	return p.files[0], p.files[1], nil
}

func (p *payload) FirstStage() ([]provision.File, error) { return slices.Clone(p.files[2:]), nil }

// kept is the relay's image store; it counts what is put.
type kept struct {
	mu    sync.Mutex
	blobs map[string]int
	full  bool
}

func (k *kept) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

func (k *kept) Missing(digests []string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(digests), func(d string) bool { return k.blobs[d] > 0 })
}

func (k *kept) Put(_, digest string, blob []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return errors.New("no space left on device")
	}
	if sum(string(blob)) != digest {
		return errors.New("another digest")
	}
	k.blobs[digest]++
	return nil
}
