package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/state"
)

func TestOneInstall(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	if p := b.phase(n); p != "" {
		t.Errorf("before any order: %q", p)
	}
	rec := b.arm(n)
	if p := b.phase(n); p != facts.PhaseArmed {
		t.Errorf("armed: %q", p)
	}
	o := b.signed(rec.ID)
	want := order.Order{FormatVersion: 1, ID: rec.ID, Goal: order.Install, Node: n.Path, Hostname: "blade-01", Nonce: rec.Nonce,
		Machine:  order.Machine{Serial: "Sblade-01", MACs: []string{"52:54:00:77:01:01", "52:54:00:77:00:0a"}},
		IssuedAt: b.now, ExpiresAt: b.now.Add(4 * time.Hour), MaxAttempts: 3, Epoch: b.p.Fence.Epoch, Spec: b.spec, Image: image,
		Disks: order.Disks{Root: n.RootDevice, SlotGiB: 4}, Config: config("blade-01"), KernelArgs: []string{"quiet"}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("the order:\n%s", diff)
	}
	b.grant(rec.ID)
	if p := b.phase(n); p != facts.PhaseStarted {
		t.Errorf("granted: %q", p)
	}
	b.report(rec.ID, order.Report{Kind: order.ReportFacts, Facts: &order.Facts{Serial: "S1", NICs: []order.FactNIC{{Name: "eth0", Neighbours: []order.Neighbour{{Switch: "sw", Port: "1"}}}}}})
	b.report(rec.ID, order.Report{Kind: order.ReportInstalled, Installed: &order.Installed{Slot: "a", Image: image.Digest, Config: n.Config,
		RootDisk: model.Disk{Serial: "root-01"}, HostKeys: []string{"ssh-ed25519 AAAA"}}})
	if p := b.phase(n); p != facts.PhaseStarted {
		t.Errorf("installed, and its keys are not kept yet: %q", p)
	}
	s, version, err := b.p.Watch(t.Context(), n, 0)
	if err != nil || version == 0 || s.Phase != order.PhaseInstalled {
		t.Fatalf("%+v %d %v", s, version, err)
	}
	if err := b.p.Keep(t.Context(), n, *s.Result); err != nil {
		t.Fatal(err)
	}
	b.remembered(n, rec)
	kept, err := state.Orders[provision.Record](b.store, state.Fence{}).Get(t.Context(), string(n.Path))
	if err != nil || kept.Facts == nil || kept.Facts.Serial != "S1" || kept.Facts.NICs[0].Neighbours[0].Switch != "sw" || !kept.FactsAt.Equal(b.now) {
		t.Errorf("facts: %+v at %s, %v", kept.Facts, kept.FactsAt, err)
	}
}

func TestCables(t *testing.T) {
	n := model.Node{NICs: []model.NIC{{MAC: "52:54:00:77:00:0A"}, {MAC: "52:54:00:77:00:0B", Switch: "sw-a1", Port: "1", Cabling: "refuse"}}}
	want := []order.Cable{{MAC: "52:54:00:77:00:0b", Switch: "sw-a1", Port: "1", Refuse: true}}
	if diff := cmp.Diff(want, provision.Cables(n)); diff != "" {
		t.Error(diff)
	}
}

// remembered checks what the state knows of an installed node, with the relay gone.
func (b *bench) remembered(n model.Node, rec provision.Record) {
	b.Helper()
	b.p.Relay = func(context.Context, string) (*relay.Client, error) { return nil, errors.New("the relay is gone") }
	if p := b.phase(n); p != facts.PhaseInstalled {
		b.Errorf("kept: %q", p)
	}
	keys, err := state.HostKeys(b.store, state.Fence{}).Get(b.Context(), string(n.Path))
	if err != nil || !slices.Equal(keys, []string{"ssh-ed25519 AAAA"}) {
		b.Errorf("host keys: %v %v", keys, err)
	}
	h, err := state.Hosts(b.store, state.Fence{}).Get(b.Context(), string(n.Path))
	want := state.Host{Spec: b.spec, Image: image, Config: n.Config, Slot: "a", Serial: "root-01", Order: rec.ID, At: b.now}
	if diff := cmp.Diff(want, h); err != nil || diff != "" {
		b.Errorf("host: %v\n%s", err, diff)
	}
}

// TestTheStateKnowsFirst lets the relay fail when it is handed the order: the state has it, and it counts as none.
func TestTheStateKnowsFirst(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	b.p.Now = func() time.Time { return b.now.Add(-5 * time.Hour) } // the relay takes no order that has expired by its own clock
	if err := b.p.Arm(t.Context(), n, order.Install, b.spec, quiet); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("got %v", err)
	}
	rec := b.record(n)
	if _, err := b.ctl.Order(t.Context(), rec.ID, 0); !errors.Is(err, relay.ErrNoOrder) {
		t.Errorf("the relay has the order: %v", err)
	}
	if p := b.phase(n); p != "" {
		t.Errorf("an order that never was out counts as %q", p)
	}
}

func TestOrdersOfOtherNodesAreLeft(t *testing.T) {
	b := newBench(t)
	one, two := b.p.Desired.Nodes[0], b.p.Desired.Nodes[1]
	first := b.arm(one)
	b.arm(two)
	again := b.arm(two)
	if b.phase(one) != facts.PhaseArmed || b.record(one).ID != first.ID {
		t.Error("the order of another node was touched")
	}
	all, err := b.ctl.Status(t.Context())
	if err != nil || len(all) != 2 || b.record(two).ID != again.ID {
		t.Errorf("the relay has %d orders: %v", len(all), err)
	}
}

// A relay that has lost its book knows no order: it is absent, and a new one may be given. A relay that does not answer is an error.
func TestRelayLost(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	b.arm(n)
	b.stop()
	b.dir = t.TempDir()
	b.start()
	if p := b.phase(n); p != "" {
		t.Errorf("its order is %q", p)
	}
	if _, _, err := b.p.Watch(t.Context(), n, 0); !errors.Is(err, relay.ErrNoOrder) {
		t.Errorf("watching it: %v", err)
	}
	b.arm(n)
	if p := b.phase(n); p != facts.PhaseArmed {
		t.Errorf("a new order is %q", p)
	}
	b.p.Relay = func(context.Context, string) (*relay.Client, error) { return nil, errors.New("connection refused") }
	if _, err := b.p.Order(t.Context(), n); err == nil {
		t.Error("a relay that does not answer is taken for one without orders")
	}
}

func TestPhases(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rec   func(order.Record) order.Record
		later time.Duration
		want  string
	}{
		{"armed", func(r order.Record) order.Record { return r }, 0, facts.PhaseArmed},
		{"armed, hours ago", func(r order.Record) order.Record { return r }, 3 * time.Hour, facts.PhaseArmed},
		{"armed, and expired", func(r order.Record) order.Record { return r }, 5 * time.Hour, facts.PhaseFailed},
		{"booted", in(order.PhaseBooted, 0), time.Minute, facts.PhaseStarted},
		{"booted, and silent", in(order.PhaseBooted, 0), 9 * time.Minute, facts.PhaseStalled},
		{"writing", in(order.PhaseConsumed, 1), time.Minute, facts.PhaseStarted},
		{"writing, and silent", in(order.PhaseConsumed, 1), 9 * time.Minute, facts.PhaseStalled},
		{"writing, silent, and no attempt left", in(order.PhaseConsumed, 3), 9 * time.Minute, facts.PhaseFailed},
		{"writing, silent, and expired", in(order.PhaseConsumed, 1), 5 * time.Hour, facts.PhaseFailed},
		{"refused", in(order.PhaseRefused, 0), 0, facts.PhaseFailed},
		{"failed", in(order.PhaseFailed, 1), 0, facts.PhaseFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			n := b.p.Desired.Nodes[0]
			id := b.arm(n).ID
			b.agent(id, func(r order.Record) (order.Record, error) { return tc.rec(r), nil })
			b.now = b.now.Add(tc.later)
			if got := b.phase(n); got != tc.want {
				t.Errorf("it is %q, want %q", got, tc.want)
			}
		})
	}
}

func in(p order.Phase, attempts int) func(order.Record) order.Record {
	return func(r order.Record) order.Record {
		r.Phase, r.Attempts = p, attempts
		return r
	}
}

// A second order for a node whose first one came to nothing names the first one's nonce, so that a half-written disk is no foreign one; once a
// node is installed nothing of that is left. From then on every order names the nonces with which its root disk carries its state.
func TestUnfinishedOrders(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	first := b.arm(n)
	second := b.arm(n)
	if got := b.signed(second.ID).Disks; !slices.Equal(got.Unfinished, []string{first.Nonce}) || got.Keep != nil {
		t.Errorf("the second order names %+v", got)
	}
	if err := b.p.Keep(t.Context(), n, order.Installed{Nonce: second.Nonce, RootDisk: model.Disk{Serial: "root-01"}, HostKeys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	third := b.arm(n)
	o := b.signed(third.ID)
	if len(o.Disks.Unfinished) != 0 || len(o.Disks.Consent) != 0 {
		t.Errorf("an install order for a node that is installed may overwrite it: %+v", o.Disks)
	}
	if err := b.p.Arm(t.Context(), n, order.Reinstall, b.spec, quiet); err != nil {
		t.Fatal(err)
	}
	fourth := b.record(n)
	if got := b.signed(fourth.ID).Disks; !slices.Equal(got.Keep, []string{second.Nonce, third.Nonce}) || got.Consent != nil {
		t.Errorf("a reinstall keeps what lies under %v, and consents to %v", got.Keep, got.Consent)
	}
	if err := b.p.Keep(t.Context(), n, order.Installed{Nonce: fourth.Nonce, RootDisk: model.Disk{Serial: "root-01"}, HostKeys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.signed(b.arm(n).ID).Disks.Keep; !slices.Equal(got, []string{fourth.Nonce}) {
		t.Errorf("after the reinstall the state lies under %v", got)
	}
}

// An order for a node that is installed tells that its host may be running, until its machine has booted by it.
func TestOrderBesideAHost(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	before := func() bool {
		o, err := b.p.Order(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return o.Before
	}
	first := b.arm(n)
	if before() {
		t.Error("it never was installed")
	}
	if err := b.p.Keep(t.Context(), n, order.Installed{Nonce: first.Nonce, RootDisk: model.Disk{Serial: "root-01"}, HostKeys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	second := b.arm(n)
	if !before() {
		t.Error("a new order hides that the node is installed")
	}
	b.now = b.now.Add(5 * time.Hour)
	if !before() {
		t.Error("it is forgotten when the order has expired")
	}
	b.agent(second.ID, func(r order.Record) (order.Record, error) { return in(order.PhaseBooted, 0)(r), nil })
	if before() {
		t.Error("its machine runs the installer, and no host")
	}
}

// What was installed before is gone with the first write: the next order does not bring it back, and neither does a relay that has forgotten.
func TestAnOrderThatWasBegunLeavesNoHost(t *testing.T) {
	for _, watched := range []bool{false, true} {
		b := newBench(t)
		n := b.p.Desired.Nodes[0]
		if err := b.p.Keep(t.Context(), n, order.Installed{Nonce: b.arm(n).Nonce, RootDisk: model.Disk{Serial: "root-01"}, HostKeys: []string{"k"}}); err != nil {
			t.Fatal(err)
		}
		second := b.arm(n)
		b.agent(second.ID, func(r order.Record) (order.Record, error) { return in(order.PhaseConsumed, 1)(r), nil })
		if watched {
			if _, _, err := b.p.Watch(t.Context(), n, 0); err != nil {
				t.Fatal(err)
			}
		} else {
			b.arm(n)
		}
		b.stop()
		b.dir = t.TempDir() // the relay has lost its orders
		b.start()
		if o, err := b.p.Order(t.Context(), n); err != nil || o.Before {
			t.Errorf("watched %v: its host may be running: %+v, %v", watched, o, err)
		}
	}
}

// A host may be started cold once after each install, for an hour, and not when it has answered since.
func TestFirstBoots(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	cold := func(want bool) {
		t.Helper()
		if got, err := b.p.Cold(t.Context(), n); err != nil || got != want {
			t.Errorf("may be started cold: %v (%v), want %v", got, err, want)
		}
	}
	install := func() {
		t.Helper()
		rec := b.arm(n)
		cold(false)
		if err := b.p.Keep(t.Context(), n, order.Installed{Nonce: rec.Nonce, HostKeys: []string{"k"}}); err != nil {
			t.Fatal(err)
		}
	}
	cold(false) // no order at all
	install()
	cold(true)
	cold(false)
	install()
	if err := b.p.Answered(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	cold(false)
	install()
	b.now = b.now.Add(2 * time.Hour)
	cold(false)
}

func TestOnlyWhatIsMissingIsSent(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	var last, total int64
	count := func(_ string, d, n int64) {
		mu.Lock()
		defer mu.Unlock()
		last, total = d, n
	}
	if err := b.p.Arm(t.Context(), b.p.Desired.Nodes[0], order.Install, b.spec, count); err != nil {
		t.Fatal(err)
	}
	if want := int64(len("vmlinuz" + "initrd.img" + "snponly.efi" + "manifest" + "chunk 1" + "chunk 2")); last != want || total != want {
		t.Errorf("told %d of %d bytes, want %d", last, total, want)
	}
	last = -1
	if err := b.p.Arm(t.Context(), b.p.Desired.Nodes[1], order.Install, b.spec, count); err != nil {
		t.Fatal(err)
	}
	if last > 0 {
		t.Errorf("sent %d bytes that were there", last)
	}
	b.kept.blobs[sum("chunk 2")] = 0
	if err := b.p.Arm(t.Context(), b.p.Desired.Nodes[2], order.Install, b.spec, count); err != nil {
		t.Fatal(err)
	}
	if total != int64(len("chunk 2")) {
		t.Errorf("sent %d bytes for one chunk", total)
	}
}

func TestBladesTogetherSendTheImageOnce(t *testing.T) {
	b := newBench(t)
	var all sync.WaitGroup
	for _, n := range b.p.Desired.Nodes {
		all.Go(func() {
			if err := b.p.Arm(t.Context(), n, order.Install, b.spec, quiet); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, text := range []string{"manifest", "chunk 1", "chunk 2"} {
		if n := b.kept.blobs[sum(text)]; n != 1 {
			t.Errorf("%s was sent %d times", text, n)
		}
	}
	for _, n := range b.p.Desired.Nodes {
		if p := b.phase(n); p != facts.PhaseArmed {
			t.Errorf("%s is %q", n.Name, p)
		}
	}
}

func TestArmRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		edit       func(*bench, *model.Node)
	}{
		{"an image that is not built", "nuboctl image build debian-13", func(_ *bench, n *model.Node) { n.Image.Digest = "" }},
		{"a configuration that has changed since the plan", "plan again", func(_ *bench, n *model.Node) { n.Config = model.DigestBytes(nil) }},
		{"a node that cannot boot from the network", "dhcp block", func(_ *bench, n *model.Node) { n.NICs = n.NICs[:1] }},
		{"a profile that is not there", "not in the inventory", func(_ *bench, n *model.Node) { n.Profile = "other" }},
		{"a relay whose disk is full", "no space left", func(b *bench, _ *model.Node) { b.kept.full = true }},
		{"a lease that is lost", "no longer held", func(b *bench, _ *model.Node) { b.p.Fence.Epoch++ }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			n := b.p.Desired.Nodes[0]
			tc.edit(b, &n)
			if err := b.p.Arm(t.Context(), n, order.Install, b.spec, quiet); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if list, err := b.ctl.Status(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("the relay has %v (%v)", list, err)
			}
		})
	}
}

func TestMachines(t *testing.T) {
	d := inventory()
	nic, network, err := provision.BootNIC(d, d.Nodes[0])
	if err != nil || nic.Name != "eth0" || network.Name != "provision" {
		t.Fatalf("%v %v %v", nic, network, err)
	}
	list := provision.Machines(d, network)
	want := relay.Machine{MAC: "52:54:00:77:00:0a", Hostname: "blade-01", Domain: "test.example", Address: netip.MustParsePrefix("10.77.0.11/24"),
		Router: netip.MustParseAddr("10.77.0.1"), NTP: []netip.Addr{netip.MustParseAddr("10.77.0.1")}, MTU: 9000}
	if len(list) != 3 {
		t.Fatalf("%d machines", len(list))
	}
	if diff := cmp.Diff(want, list[0], cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestWatchBearsWithALostConnection loses the way to the relay twice: the news is had all the same. Whoever waits can still end it.
func TestWatchBearsWithALostConnection(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	b.arm(n)
	r, err := relay.New(relay.Config{Dir: b.dir, Address: netip.MustParseAddr("127.0.0.1"), Trust: []minisign.PublicKey{b.pub}, Images: b.kept, Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r.Control())
	defer srv.Close()
	var dials atomic.Int32
	lost := relay.NewClient("flaky", func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) <= 2 {
			return nil, errors.New("no route to host")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	})
	defer lost.Close()
	b.p.Relay = func(context.Context, string) (*relay.Client, error) { return lost, nil }
	s, _, err := b.p.Watch(t.Context(), n, 0)
	if err != nil || s.Phase != order.PhaseArmed || dials.Load() != 3 {
		t.Errorf("after %d tries: %+v %v", dials.Load(), s, err)
	}
	lost.Close()
	dials.Store(-1000)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.p.Watch(ctx, n, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a context that ends: %v", err)
	}
}

// TestSlotOrder: an order for the idle slot of a running host is good for its agent, brings the image and nothing else to the relay, and boots no machine.
func TestSlotOrder(t *testing.T) {
	b := newBench(t)
	n := b.p.Desired.Nodes[0]
	spec := facts.HostSpec(n.Image.Digest, n.Config)
	envelope, url, err := b.p.SlotOrder(t.Context(), n, spec, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var signed order.Signed
	if err := json.Unmarshal(envelope, &signed); err != nil {
		t.Fatal(err)
	}
	o, err := order.Open(signed, b.pub)
	if err != nil || o.Goal != order.Slot || o.Spec != spec || o.Image != n.Image || model.DigestBytes(o.Config) != n.Config || o.Node != n.Path {
		t.Errorf("the order is %+v, %v", o, err)
	}
	if url != "http://127.0.0.1:8080" {
		t.Errorf("the relay is at %q", url)
	}
	if len(b.kept.blobs) == 0 {
		t.Error("the relay was not given the image")
	}
	if files, err := os.ReadDir(filepath.Join(b.dir, "boot")); err != nil || len(files) > 0 {
		t.Errorf("the relay was given boot files: %v, %v", files, err)
	}
	if rec, ok, err := state.Orders[provision.Record](b.store, state.Fence{}).Lookup(t.Context(), string(n.Path)); err != nil || ok {
		t.Errorf("the state keeps %+v, %v", rec, err)
	}
	if err := b.ctl.Arm(t.Context(), o.ID, relay.Arm{Signed: signed}); err == nil || !strings.Contains(err.Error(), "boots no machine") {
		t.Errorf("the relay takes it: %v", err)
	}
	if _, _, err := b.p.SlotOrder(t.Context(), n, b.spec, quiet); err == nil || !strings.Contains(err.Error(), "plan again") {
		t.Errorf("an order for something else than the node wants: %v", err)
	}
}
