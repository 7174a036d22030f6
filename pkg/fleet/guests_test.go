package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/pki"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// kernel is a kernel by Linux' boot protocol 2.02 that does what a piece of code says, which is run in real mode at 1020:0068.
func kernel(code []byte) []byte {
	k := make([]byte, 4096)
	k[0x1f1] = 4                            // sectors of set-up code
	copy(k[0x200:], "\xeb\x66HdrS\x02\x02") // jmp 0x268; the header's mark and version
	k[0x211] = 1                            // loaded high
	copy(k[0x268:], code)
	return k
}

// halt is a guest that does nothing: cli; hlt; jmp -3.
var halt = []byte{0xfa, 0xf4, 0xeb, 0xfd}

// writer is a guest that writes to every page from 4 to 56 MiB, again and again.
//
//	cli; lgdtl %cs:gdtr; mov %cr0,%eax; or $1,%al; mov %eax,%cr0; ljmpl $8,$flat
//	flat: mov $16,%ax; mov %ax,%ds
//	again: mov $0x400000,%edi
//	page: incl (%edi); add $4096,%edi; cmp $0x3800000,%edi; jb page; jmp again
//	gdt: null; flat code; flat data
//	gdtr: 23, gdt
var writer = []byte{
	0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0xb5, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x80, 0x02, 0x01, 0x00, 0x08, 0x00,
	0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0xbf, 0x00, 0x00, 0x40, 0x00, 0xff, 0x07, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x81, 0xff, 0x00, 0x00, 0x80,
	0x03, 0x72, 0xf0, 0xeb, 0xe9, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00, 0xff, 0xff, 0x00,
	0x00, 0x00, 0x92, 0xcf, 0x00, 0x17, 0x00, 0x9d, 0x02, 0x01, 0x00,
}

// site is two hosts with libvirt, prepared for moves, and the ports over them.
type site struct {
	first, second *hosttest.Box
	desired       model.Desired
	vms           *fleet.VMs
	hosts         *fleet.Hosts
	guests        *fleet.Guests
	cordons       *fleet.Cordons
}

func (s *site) from() model.Node { return s.desired.Nodes[0] }
func (s *site) to() model.Node   { return s.desired.Nodes[1] }

// box is the host of a node.
func (s *site) box(n model.Node) *hosttest.Box {
	if n.Path == s.from().Path {
		return s.first
	}
	return s.second
}

// links are connections of their own, as another process would have them.
func (s *site) links(t *testing.T) *fleet.Links {
	links := fleet.NewLinks(func(_ context.Context, n model.Node) (remote.Target, error) { return s.box(n).Target(), nil })
	t.Cleanup(func() { _ = links.Close() })
	return links
}

// images writes the kernels of guests, which are named by what they do.
func images(t *testing.T, code map[string][]byte) fleet.GuestFiles {
	dir := t.TempDir()
	for name, c := range code {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), kernel(c), 0o600), os.WriteFile(filepath.Join(dir, name+"-initrd"), []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return func(d model.Digest) (string, string, error) {
		for name := range code {
			if model.DigestBytes([]byte(name)) == d {
				return filepath.Join(dir, name), filepath.Join(dir, name+"-initrd"), nil
			}
		}
		return "", "", fmt.Errorf("no image %s", d)
	}
}

func newSite(t *testing.T) *site {
	first, second := hosttest.Pair(t)
	s := &site{first: first, second: second}
	s.desired = model.Desired{
		Cloud:    model.Cloud{Name: "test", Domain: "test.example"},
		Networks: []model.Network{{Name: "net", CIDR: netip.MustParsePrefix("198.51.100.0/24"), Planes: model.Planes()}},
		Profiles: []model.Profile{{Name: "p", Roles: []model.Role{model.RoleCompute}, Bridges: []model.Bridge{{Name: "br-ex", Uplink: "eth0", Network: "net"}}}},
		Regions:  []model.Region{{Path: "lab/r1"}},
	}
	image := model.ImageRef{Name: "debian-13", Digest: model.DigestBytes([]byte("debian-13"))}
	for i, address := range []string{hosttest.FirstAddr, hosttest.SecondAddr} {
		name := fmt.Sprintf("blade-%02d", i+1)
		s.desired.Nodes = append(s.desired.Nodes, model.Node{Path: model.Path("lab/r1/az1/a").Join(name), Name: name, Profile: "p", Roles: []model.Role{model.RoleCompute},
			Image: image, Cores: 4, MemoryGiB: 16, NICs: []model.NIC{{Name: "eth9", Network: "net", Address: netip.PrefixFrom(netip.MustParseAddr(address), 24)}}})
	}
	for name, does := range map[string]string{"mover": "halt", "tied": "halt", "writer": "writer", "copied": "halt"} {
		vm := model.VM{Name: name, Node: s.from().Path, VCPUs: 1, MemoryMiB: 64, Image: model.ImageRef{Name: does, Digest: model.DigestBytes([]byte(does))}}
		switch name {
		case "tied":
			vm.OnDrain = "stop_start"
		case "copied":
			vm.OnDrain = "block_migrate"
		case "mover":
			vm.NICs = []model.VMNIC{{Bridge: "br-ex", VLAN: 42, MAC: "52:54:00:00:00:07"}}
		}
		s.desired.VMs = append(s.desired.VMs, vm)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	links := s.links(t)
	authorities := kvm.Authorities{Libvirt: authority(t, "libvirt"), QEMU: authority(t, "qemu")}
	s.hosts = &fleet.Hosts{Desired: s.desired, Links: links, Epoch: 1, Log: log, Authorities: &authorities, Now: time.Now}
	s.vms = &fleet.VMs{Desired: s.desired, Links: links, Epoch: 1, Log: log, Images: images(t, map[string][]byte{"halt": halt, "writer": writer})}
	s.guests = &fleet.Guests{VMs: s.vms, Log: log, Grace: time.Second}
	s.cordons = &fleet.Cordons{Links: links, Epoch: 1, Owner: "alice@ws", Now: time.Now}
	for _, n := range s.desired.Nodes {
		s.prepare(t, n, authorities)
	}
	s.ensure(t, "mover")
	s.ensure(t, "tied")
	// A disk on the host itself ties a machine to it.
	first.Must(t, "sh", "-c", "truncate -s 1M /var/lib/libvirt/images/own.raw && virsh attach-disk tied /var/lib/libvirt/images/own.raw vdb --live --config")
	return s
}

// prepare makes a host with libvirt that takes machines from others. Its libvirt is started once, with all that it needs.
func (s *site) prepare(t *testing.T, n model.Node, a kvm.Authorities) {
	t.Helper()
	box := s.box(n)
	m := kvm.Migration{Name: n.Name, Address: n.NICs[0].Address.Addr()}
	if _, err := m.Certify(t.Context(), box.Link(t), a, time.Now()); err != nil {
		t.Fatal(err)
	}
	box.Must(t, "sh", "-c", `d=/etc/systemd/system/libvirtd-tls.socket.d; mkdir -p $d /var/log/libvirt/qemu; printf '%s' "$1" >$d/10-nubo.conf; systemctl restart libvirtd-tls.socket`,
		"sh", m.Socket())
	box.StartLibvirt(t)
}

// ensure defines and starts a machine of the inventory.
func (s *site) ensure(t *testing.T, vm string) {
	t.Helper()
	if err := s.vms.Ensure(t.Context(), s.desired.VMs[s.index(vm)], ""); err != nil {
		t.Fatal(err)
	}
}

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	text, err := pki.New(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestLibvirtIsAnAuthority: two real libvirtds pass the suite of every VM authority, and what only real ones can show.
func TestLibvirtIsAnAuthority(t *testing.T) {
	if testing.Short() {
		t.Skip("two hosts in namespaces of their own, with virtual machines that are moved")
	}
	t.Parallel() // beside TestStorage: both wait more than they work
	s := newSite(t)
	a := opstest.Authority{Guests: s.guests, Cordons: s.cordons, Clock: ops.SystemClock{}, From: s.from(), To: s.to(), Movable: "mover", Tied: "tied"}
	for _, step := range opstest.AuthoritySteps() {
		t.Run(step.Name, func(t *testing.T) { step.Do(t, a) })
	}
	t.Run("a move keeps autostart", s.keepsAutostart)
	t.Run("libvirt itself refuses", s.hook)
	t.Run("somebody else's machine", s.foreign)
	t.Run("with a disk of its own", s.copies)
	t.Run("how fast it writes", s.rates)
	t.Run("it does not converge", s.tooSlow)
	t.Run("whoever began the move is gone", s.resumed)
	t.Run("what is observed is enough to plan from", s.planned)
}

// must gives one word of what a command on a host says.
func (s *site) must(t *testing.T, n model.Node, argv ...string) string {
	t.Helper()
	return strings.TrimSpace(s.box(n).Must(t, argv...))
}

// on fails unless a domain runs on one of the hosts, and the other does not know it, as libvirt's own tool tells.
func (s *site) on(t *testing.T, vm string, here, notHere model.Node) {
	t.Helper()
	if got := s.must(t, here, "virsh", "domstate", vm); got != "running" {
		t.Errorf("%s is %q on %s", vm, got, here.Path)
	}
	if got := s.must(t, notHere, "virsh", "list", "--all", "--name"); strings.Contains("\n"+got+"\n", "\n"+vm+"\n") {
		t.Errorf("%s has %s", notHere.Path, vm)
	}
}

func (s *site) keepsAutostart(t *testing.T) {
	if got := s.must(t, s.from(), "virsh", "dominfo", "mover"); !strings.Contains(got, "Autostart:      enable") {
		t.Errorf("after there and back:\n%s", got)
	}
	o, err := s.vms.Observe(t.Context(), s.desired.VMs[s.index("mover")])
	if err != nil || o.Spec == "" {
		t.Errorf("it is not as declared any more: %+v, %v", o, err)
	}
}

func (s *site) index(vm string) int {
	for i, v := range s.desired.VMs {
		if v.Name == vm {
			return i
		}
	}
	return -1
}

// foreignXML is a machine that somebody made by hand: it has nothing to boot from, and runs.
const foreignXML = "<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type></os><features><acpi/></features></domain>"

func (s *site) define(t *testing.T, n model.Node, name string) {
	t.Helper()
	s.must(t, n, "sh", "-c", "printf '%s' \"$1\" >/run/f.xml && virsh define /run/f.xml", "sh", fmt.Sprintf(foreignXML, name))
}

// hook: an operator who starts a machine on a cordoned host, or sends one there, is told why not. A mark that has ended or cannot be read refuses nothing.
func (s *site) hook(t *testing.T) {
	ctx, n := t.Context(), s.from()
	s.define(t, n, "stray")
	start := "virsh start stray 2>&1"
	until := time.Now().Add(time.Hour)
	if err := s.cordons.SetCordon(ctx, n, ops.Mark{Until: until}); err != nil {
		t.Fatal(err)
	}
	defer func() { s.must(t, n, "rm", "-f", "/var/lib/nubo/cordon") }()
	if got := s.must(t, n, "sh", "-c", "! "+start); !strings.Contains(got, "this host is cordoned by nuboctl until 20") || !strings.Contains(got, "nuboctl undrain") {
		t.Errorf("an operator who starts a machine is told %q", got)
	}
	s.define(t, s.to(), "visitor")
	s.must(t, s.to(), "virsh", "start", "visitor")
	move := fmt.Sprintf("! virsh migrate --live --p2p --tls visitor qemu+tls://%[1]s/system tcp://%[1]s 2>&1", hosttest.FirstAddr)
	if got := s.must(t, s.to(), "sh", "-c", move); !strings.Contains(got, "is cordoned by nuboctl") {
		t.Errorf("an operator who sends a machine is told %q", got)
	}
	s.on(t, "visitor", s.to(), s.from())
	s.must(t, s.to(), "sh", "-c", "virsh destroy visitor && virsh undefine visitor")
	if o, err := s.hosts.Observe(ctx, n); err != nil || o.Cordoned.Sub(until).Abs() > time.Minute {
		t.Errorf("it is observed as cordoned until %v (%v)", o.Cordoned, err)
	}
	if err := s.vms.Ensure(ctx, model.VM{Name: "new", Node: n.Path, VCPUs: 1, MemoryMiB: 64, Image: s.desired.VMs[0].Image}, ""); !errors.Is(err, ops.ErrNoRoom) {
		t.Errorf("a new machine of the inventory: %v", err)
	}
	for what, text := range map[string]string{"ended": "until 1\nowner x\n", "empty": "", "no number": "until soon\n", "another word": "since 99999999999\n"} {
		s.must(t, n, "sh", "-c", "printf '%b' \"$1\" >/var/lib/nubo/cordon", "sh", text)
		if got := s.must(t, n, "sh", "-c", start); !strings.Contains(got, "started") {
			t.Errorf("a mark that is %s: %q", what, got)
		}
		s.must(t, n, "virsh", "destroy", "stray")
	}
	if err := s.cordons.SetCordon(ctx, n, ops.Mark{}); err != nil {
		t.Fatal(err)
	}
	s.must(t, n, "virsh", "undefine", "stray")
}

func (s *site) foreign(t *testing.T) {
	s.define(t, s.from(), "byhand")
	s.must(t, s.from(), "virsh", "start", "byhand")
	if err := s.guests.Hold(t.Context(), "byhand", s.from()); err == nil {
		t.Error("it was stopped unasked")
	}
	if err := s.guests.Migrate(t.Context(), "byhand", s.from(), s.to(), func(plan.Progress) {}); err != nil {
		t.Fatal(err)
	}
	s.on(t, "byhand", s.to(), s.from())
	// One that its owner has paused arrives paused.
	s.must(t, s.to(), "virsh", "suspend", "byhand")
	if err := s.guests.Migrate(t.Context(), "byhand", s.to(), s.from(), func(plan.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if got := s.must(t, s.from(), "virsh", "domstate", "byhand"); got != "paused" {
		t.Errorf("it was paused, and is %s", got)
	}
	s.must(t, s.from(), "sh", "-c", "virsh destroy byhand && virsh undefine byhand")
}

// copies moves a machine with a disk on its host only, whose owner allows that it is copied.
func (s *site) copies(t *testing.T) {
	const disk = "/var/lib/libvirt/images/copied.raw"
	s.ensure(t, "copied")
	s.must(t, s.from(), "sh", "-c", "seq 100000 | head -c 300000 >$0 && truncate -s 1M $0 && virsh attach-disk copied $0 vdb --live --config", disk)
	want := s.must(t, s.from(), "sha256sum", disk)
	s.must(t, s.to(), "sh", "-c", "echo precious >"+disk)
	if err := s.guests.Migrate(t.Context(), "copied", s.from(), s.to(), func(plan.Progress) {}); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over somebody's file: %v", err)
	}
	if got := s.must(t, s.to(), "cat", disk); got != "precious" {
		t.Errorf("somebody's file holds %q", got)
	}
	s.must(t, s.to(), "rm", disk)
	for _, leg := range [][2]model.Node{{s.from(), s.to()}, {s.to(), s.from()}} {
		if err := s.guests.Migrate(t.Context(), "copied", leg[0], leg[1], func(plan.Progress) {}); err != nil {
			t.Fatal(err)
		}
		s.on(t, "copied", leg[1], leg[0])
		if got := s.must(t, leg[1], "sha256sum", disk); got != want {
			t.Errorf("on %s the disk is %s, not %s", leg[1].Path, got, want)
		}
		s.must(t, leg[0], "sh", "-c", "[ ! -e $0 ] && [ -e $0.nubo-moved ] && [ ! -e $0.nubo-copy ]", disk)
	}
	s.must(t, s.from(), "sh", "-c", "virsh destroy copied && virsh undefine copied")
}

func (s *site) rates(t *testing.T) {
	s.ensure(t, "writer")
	rate := map[string]float64{}
	// A host that is too busy to tell in time is not waited for, and what it does not tell counts as 0; another process would ask again.
	remotetest.Eventually(t.Context(), t, "the host has told in time", func() bool {
		list, err := (&fleet.Guests{VMs: s.vms, Log: s.guests.Log}).List(t.Context(), s.from())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range list {
			rate[g.Name] = g.DirtyMiBs
		}
		return rate["writer"] > 0
	})
	if rate["writer"] < 10 || rate["mover"] != 0 {
		t.Errorf("MiB/s: %v", rate)
	}
	t.Logf("MiB/s: %v", rate)
}

// slowly is a Guests over connections of its own whose moves cross at 1 MiB/s, and may take so long.
func (s *site) slowly(t *testing.T, limit time.Duration) (*fleet.Guests, *fleet.Links) {
	d := s.desired
	d.Profiles = []model.Profile{s.desired.Profiles[0]}
	d.Profiles[0].MigrationMiBs = 1
	links := s.links(t)
	return &fleet.Guests{VMs: &fleet.VMs{Desired: d, Links: links, Epoch: 1}, Log: s.guests.Log, Deadline: func(int) time.Duration { return limit }}, links
}

func (s *site) tooSlow(t *testing.T) {
	slow, _ := s.slowly(t, 5*time.Second)
	err := slow.Migrate(t.Context(), "writer", s.from(), s.to(), func(plan.Progress) {})
	if !errors.Is(err, fleet.ErrSlow) || !errors.Is(err, kvm.ErrMigrate) {
		t.Errorf("got %v", err)
	}
	s.on(t, "writer", s.from(), s.to())
	remotetest.Eventually(t.Context(), t, "no job is left", func() bool {
		return strings.Contains(s.must(t, s.from(), "virsh", "domjobinfo", "writer"), "None")
	})
}

// resumed: the connection of whoever began a move ends in its middle. Libvirt goes on, and the next call waits for what the first began.
func (s *site) resumed(t *testing.T) {
	first, links := s.slowly(t, time.Hour)
	began, ended := make(chan struct{}, 1), make(chan error)
	go func() {
		ended <- first.Migrate(t.Context(), "writer", s.from(), s.to(), func(p plan.Progress) {
			select {
			case began <- struct{}{}:
			default:
			}
		})
	}()
	select {
	case <-began:
	case err := <-ended:
		t.Fatalf("it ended before it was told of: %v", err)
	}
	if err := links.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("it was said to have moved")
	}
	if got := s.must(t, s.from(), "virsh", "domjobinfo", "writer"); !strings.Contains(got, "Outgoing migration") {
		t.Fatalf("libvirt has given the move up:\n%s", got)
	}
	if got := s.must(t, s.from(), "virsh", "migrate-getmaxdowntime", "writer"); got != "100" {
		t.Errorf("it may stand still for %s ms in the first pass over its memory", got)
	}
	// A question that libvirt would keep until the move has ended is not asked.
	list, err := (&fleet.Guests{VMs: s.vms, Log: s.guests.Log}).List(t.Context(), s.from())
	if i := slices.IndexFunc(list, func(g ops.Guest) bool { return g.Name == "writer" }); err != nil || i < 0 || list[i].DirtyMiBs != 0 {
		t.Errorf("while it moves there are %+v, %v", list, err)
	}
	waited := false
	err = s.guests.Migrate(t.Context(), "writer", s.from(), s.to(), func(p plan.Progress) {
		if !waited {
			s.first.Must(t, "virsh", "migrate-setspeed", "writer", "1000")
		}
		waited = true
	})
	if err != nil || !waited {
		t.Fatalf("waited %t: %v", waited, err)
	}
	s.on(t, "writer", s.to(), s.from())
}

var update = flag.Bool("update", false, "record what two real hosts show anew")

// planned: what is really observed is enough to plan an upgrade from.
func (s *site) planned(t *testing.T) {
	in := planner.Input{Goal: plan.GoalUpgrade, Desired: s.desired}
	for _, n := range s.desired.Nodes {
		h, err := s.hosts.Observe(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		h.Kernel, h.BootID = "", "" // of whoever records
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: n.Path, Host: h})
		var list []model.ObservedVM
		remotetest.Eventually(t.Context(), t, "the host has told in time how fast machines write", func() bool {
			if list, err = s.vms.List(t.Context(), n, true); err != nil {
				t.Fatal(err)
			}
			return !slices.ContainsFunc(list, func(vm model.ObservedVM) bool { return vm.Name == "writer" && vm.DirtyMiBs == 0 })
		})
		in.Observed.VMs = append(in.Observed.VMs, list...)
	}
	upgradable(t, in)
	if *update {
		text, err := json.MarshalIndent(in, "", "  ")
		if err == nil {
			err = os.WriteFile("testdata/two-hosts.json", append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordedHostsCanBePlannedFor: an observation of two real libvirts with three machines, as recorded.
func TestRecordedHostsCanBePlannedFor(t *testing.T) {
	text, err := os.ReadFile("testdata/two-hosts.json")
	if err != nil {
		t.Fatal(err)
	}
	var in planner.Input
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	upgradable(t, in)
}

// upgradable fails unless an upgrade can be planned: one machine that moves on each host, one that is stopped with consent.
func upgradable(t *testing.T, in planner.Input) {
	t.Helper()
	in.Images = map[string]model.Digest{}
	for _, vm := range in.Desired.VMs {
		in.Images[vm.Image.Name] = vm.Image.Digest
	}
	for i, n := range in.Desired.Nodes { // a host in namespaces has no image
		in.Images[n.Image.Name] = n.Image.Digest
		in.Observed.Nodes[i].Host.Image, in.Observed.Nodes[i].Host.Config = model.DigestBytes([]byte("older")), n.Config
	}
	f, err := facts.Fleet(in.Desired, in.Observed, func(model.Node) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"mover", "tied", "writer"}; !slices.Equal(f.VMs.Names, want) || !slices.Equal(f.VMs.Fixed, plan.Ints{1}) || !slices.Equal(f.VMs.Consent, plan.Ints{1}) {
		t.Errorf("virtual machines %+v", f.VMs)
	}
	for i, name := range f.VMs.Names {
		k := f.Shapes[f.VMs.Shape[i]]
		if k.VCPUs != 1 || k.MemoryMiB != 64 || !strings.HasPrefix(k.Machine, "pc-q35-") || (k.DirtyMiBs > 0) != (name == "writer") || len(k.Networks) != map[string]int{"mover": 1}[name] {
			t.Errorf("%s is a %+v", name, k)
		}
	}
	p, err := planner.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if p.Certificate == nil || len(p.Certificate.Batches) != 2 {
		t.Errorf("batches: %+v", p.Certificate)
	}
}
