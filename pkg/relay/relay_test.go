package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/netboot"
	"github.com/nuboctl/nuboctl/pkg/order"
)

const mac = "52:54:00:77:00:01"

// memory is an image store for tests.
type memory struct {
	http.Handler
	blobs map[string][]byte
}

func (m *memory) Missing(list []string) []string {
	var out []string
	for _, d := range list {
		if m.blobs[d] == nil {
			out = append(out, d)
		}
	}
	return out
}

func (m *memory) Put(_, digest string, blob []byte) error {
	m.blobs[digest] = blob
	return nil
}

type bench struct {
	t     *testing.T
	dir   string
	key   minisign.PrivateKey
	pub   minisign.PublicKey
	now   time.Time
	relay *Relay
	ctl   *Client
	agent *httptest.Server
}

func newBench(t *testing.T) *bench {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir(), key: key, pub: pub, now: time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)}
	b.start()
	return b
}

// start makes a relay from what is in the directory, as after a crash.
func (b *bench) start() {
	b.t.Helper()
	r, err := New(Config{Dir: b.dir, Address: netip.MustParseAddr("127.0.0.1"), Trust: []minisign.PublicKey{b.pub},
		Images: &memory{Handler: http.NotFoundHandler(), blobs: map[string][]byte{}}, Now: func() time.Time { return b.now }})
	if err != nil {
		b.t.Fatal(err)
	}
	ctl, stop := Local(r)
	b.t.Cleanup(stop)
	b.relay, b.ctl, b.agent = r, ctl, httptest.NewServer(r.agentHandler())
	b.t.Cleanup(b.agent.Close)
}

func (b *bench) order(id string, epoch int64) order.Order {
	nonce, err := order.NewNonce()
	if err != nil {
		b.t.Fatal(err)
	}
	return order.Order{FormatVersion: 1, ID: id, Goal: order.Install, Node: "s/r/z/a/blade-01", Hostname: "blade-01",
		Machine: order.Machine{Serial: "S1", MACs: []string{mac}}, Nonce: nonce, IssuedAt: b.now, ExpiresAt: b.now.Add(time.Hour),
		MaxAttempts: 2, Epoch: epoch, Spec: model.DigestBytes(nil), Image: model.ImageRef{Name: "debian-13", Digest: model.DigestBytes(nil)},
		Disks: order.Disks{Root: model.DeviceHints{Serial: "root-01"}}, Config: json.RawMessage(`{}`)}
}

func (b *bench) arm(o order.Order) error {
	b.t.Helper()
	s, err := order.Sign(o, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range []string{"vmlinuz", "initrd"} {
		sum := sha256.Sum256([]byte(f))
		if err := b.ctl.PutFile(b.t.Context(), f, hex.EncodeToString(sum[:]), strings.NewReader(f)); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.ctl.SetMachines(b.t.Context(), []Machine{{MAC: strings.ToUpper(mac), Hostname: "blade-01", Address: netip.MustParsePrefix("10.77.0.11/24")}}); err != nil {
		b.t.Fatal(err)
	}
	return b.ctl.Arm(b.t.Context(), o.ID, Arm{Signed: s, Boot: BootFiles{Kernel: "vmlinuz", Initrd: "initrd"}})
}

func (b *bench) post(path string, body any) int {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.Post(b.agent.URL+path, "application/json", bytes.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (b *bench) decide(addr string, stage netboot.Stage) netboot.Answer {
	b.t.Helper()
	hw, err := net.ParseMAC(addr)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := b.relay.Decide(context.Background(), netboot.Client{MAC: hw, Stage: stage})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) phase(id string) order.Phase {
	b.t.Helper()
	n, err := b.ctl.Order(b.t.Context(), id, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return n.Status.Phase
}

func TestOneInstallFromArmToInstalled(t *testing.T) {
	b := newBench(t)
	o := b.order("o1", 1)
	if err := b.arm(o); err != nil {
		t.Fatal(err)
	}
	if a := b.decide("52:54:00:99:99:99", netboot.StageFirmware); a.Known {
		t.Error("a stranger got an answer")
	}
	if a := b.decide(mac, netboot.StageFirmware); a.Boot == nil || b.phase("o1") != order.PhaseArmed {
		t.Error("the machine was not offered its boot")
	}
	if a := b.decide(mac, netboot.StageIPXE); a.Boot == nil || a.Boot.Validate() != nil || b.phase("o1") != order.PhaseArmed {
		t.Errorf("iPXE was not given the boot, or being asked was taken for a boot: %+v", a.Boot)
	}
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	b.relay.observe(netboot.Event{Protocol: netboot.DHCP, Client: netboot.Client{MAC: hw}})
	if b.phase("o1") != order.PhaseArmed {
		t.Error("a DHCP packet was taken for a boot")
	}
	b.relay.observe(netboot.Event{Protocol: netboot.HTTP, Client: netboot.Client{MAC: hw, Stage: netboot.StageIPXE}, Request: "GET /ipxe"})
	if b.phase("o1") != order.PhaseBooted {
		t.Error("fetching the boot script was not noted")
	}
	if code := b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "S1", Boot: "boot-1"}); code != 200 {
		t.Fatalf("first write: %d", code)
	}
	done := order.Report{Order: "o1", Boot: "boot-1", Kind: order.ReportInstalled, Installed: &order.Installed{Nonce: o.Nonce, HostKeys: []string{"ssh-ed25519 AAAA"}}}
	if code := b.post("/v1/orders/o1/reports", done); code != 204 {
		t.Fatalf("installed: %d", code)
	}
	if b.phase("o1") != order.PhaseInstalled || b.decide(mac, netboot.StageFirmware).Boot != nil {
		t.Error("an installed machine is offered the installer again")
	}
	if code := b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "S1", Boot: "boot-2", DiskNonce: o.Nonce}); code != 409 {
		t.Errorf("a nonce was granted after its install was done: %d", code)
	}
}

func TestNonceIsGrantedOnceAlsoAfterACrash(t *testing.T) {
	b := newBench(t)
	o := b.order("o1", 1)
	if err := b.arm(o); err != nil {
		t.Fatal(err)
	}
	consume := func(boot, disk string) int {
		return b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "S1", Boot: boot, DiskNonce: disk})
	}
	if code := b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "OTHER", Boot: "x"}); code != 409 {
		t.Errorf("another machine may write: %d", code)
	}
	for _, step := range []struct {
		boot, disk string
		want       int
		why        string
	}{
		{"boot-1", "", 200, "the first write"},
		{"boot-1", "", 200, "the same boot, whose answer was lost"},
		{"boot-2", "", 409, "a second boot, and the disk does not carry the nonce"},
		{"boot-2", o.Nonce, 200, "a continuation"},
		{"boot-3", o.Nonce, 409, "one attempt too many"},
	} {
		b.start()
		if got := consume(step.boot, step.disk); got != step.want {
			t.Errorf("%s: %d, want %d", step.why, got, step.want)
		}
	}
}

// TestAnOrderIsTakenBack until it was begun: then a disk was written, and only that order goes on with it.
func TestAnOrderIsTakenBack(t *testing.T) {
	b := newBench(t)
	o := b.order("o1", 1)
	if err := b.arm(o); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is none
		if err := b.relay.book.disarm("o1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := b.relay.book.expected(o.Machine.MACs[0]); ok {
		t.Error("its machine is still expected")
	}
	if code := b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "S1", Boot: "boot-1"}); code != 404 {
		t.Errorf("a disk is given for it: %d", code)
	}
	if err := b.arm(o); err != nil {
		t.Fatal(err)
	}
	if code := b.post("/v1/orders/o1/consume", order.Consume{Nonce: o.Nonce, Serial: "S1", Boot: "boot-1"}); code != 200 {
		t.Fatalf("its disk is not given: %d", code)
	}
	if err := b.relay.book.disarm("o1"); !errors.Is(err, order.ErrConsumed) {
		t.Errorf("one that was begun is taken back: %v", err)
	}
	if phase := b.phase("o1"); phase != order.PhaseConsumed {
		t.Errorf("it is %s", phase)
	}
}

func TestOrdersThatAreNotTaken(t *testing.T) {
	b := newBench(t)
	if err := b.arm(b.order("o2", 5)); err != nil {
		t.Fatal(err)
	}
	if err := b.arm(b.order("o3", 4)); err == nil || !strings.Contains(err.Error(), ErrFenced.Error()) {
		t.Errorf("an order of an older epoch: %v", err)
	}
	b.start()
	if err := b.arm(b.order("o3", 4)); err == nil {
		t.Error("the epoch was forgotten in a crash")
	}
	good := b.key
	_, b.key, _ = minisign.GenerateKey(rand.Reader)
	if err := b.arm(b.order("o4", 6)); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("an order with a foreign signature: %v", err)
	}
	b.key = good
	late := b.order("o5", 6)
	late.IssuedAt, late.ExpiresAt = b.now.Add(-2*time.Hour), b.now.Add(-time.Hour)
	if err := b.arm(late); err == nil {
		t.Error("an expired order was armed")
	}
	if err := b.arm(b.order("o6", 6)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ctl.Order(t.Context(), "o2", 0); !errors.Is(err, ErrNoOrder) {
		t.Errorf("the order before for the same machine is still there: %v", err)
	}
	b.now = b.now.Add(2 * time.Hour)
	if b.decide(mac, netboot.StageIPXE).Boot != nil {
		t.Error("an expired order boots the machine")
	}
}

func TestNewsIsWaitedFor(t *testing.T) {
	b := newBench(t)
	o := b.order("o1", 1)
	if err := b.arm(o); err != nil {
		t.Fatal(err)
	}
	first, err := b.ctl.Order(t.Context(), "o1", 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan News, 1)
	go func() {
		n, _ := b.ctl.Order(context.Background(), "o1", first.Version)
		got <- n
	}()
	b.post("/v1/orders/o1/reports", order.Report{Order: "o1", Boot: "x", Kind: order.ReportFacts, Facts: &order.Facts{Serial: "S1"}})
	if n := <-got; n.Status.Facts == nil || n.Version <= first.Version {
		t.Errorf("news without the facts: %+v", n)
	}
}

func TestFilesMustHaveTheirDigest(t *testing.T) {
	b := newBench(t)
	if err := b.ctl.PutFile(t.Context(), "vmlinuz", strings.Repeat("0", 64), strings.NewReader("evil")); err == nil {
		t.Error("a file with another digest was kept")
	}
	if err := b.ctl.PutFile(t.Context(), "../x", strings.Repeat("0", 64), strings.NewReader("evil")); err == nil {
		t.Error("a file outside the directory was taken")
	}
	files, blobs, err := b.ctl.Missing(t.Context(), map[string]string{"vmlinuz": strings.Repeat("0", 64)}, []string{"aa"})
	if err != nil || len(files) != 1 || len(blobs) != 1 {
		t.Errorf("missing: %v %v %v", files, blobs, err)
	}
}

// A network of the largest size that is planned for fits into one list.
func TestTenThousandMachines(t *testing.T) {
	b := newBench(t)
	list := make([]Machine, 10_000)
	for i := range list {
		list[i] = Machine{MAC: fmt.Sprintf("52:54:00:77:%02x:%02x", i>>8, i&0xff), Hostname: fmt.Sprintf("blade-%05d", i), Domain: "region-1.cloud.example",
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)}), 16), Router: netip.MustParseAddr("10.77.255.254"),
			DNS: []netip.Addr{netip.MustParseAddr("10.77.255.253")}, NTP: []netip.Addr{netip.MustParseAddr("10.77.255.252")}, MTU: 9000}
	}
	if err := b.ctl.SetMachines(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	last := list[len(list)-1]
	if m, ok := b.relay.book.machine(last.MAC); !ok || m.Hostname != last.Hostname {
		t.Errorf("%+v, %v", m, ok)
	}
}

// A relay that takes questions in and never answers does not keep whoever asks.
func TestRelayThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("stopped", func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		})
		defer c.Close()
		if _, _, err := c.Missing(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "relay stopped") {
			t.Errorf("got %v", err)
		}
	})
}
