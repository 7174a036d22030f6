package kvm_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/host/pki"
	"github.com/nuboctl/nuboctl/pkg/host/rbd"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

func newAuthorities(t *testing.T) kvm.Authorities {
	t.Helper()
	one := func(name string) *pki.Authority {
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
	return kvm.Authorities{Libvirt: one("libvirt"), QEMU: one("qemu")}
}

func connect(t *testing.T, box *hosttest.Box) *kvm.Conn {
	t.Helper()
	c, err := kvm.Connect(t.Context(), box.Link(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestMigrate moves a guest whose disk is an RBD image of a real Ceph cluster between two real libvirtds, over TLS.
func TestMigrate(t *testing.T) {
	first, second := hosttest.Pair(t)
	first.StartCeph(t, hosttest.FirstAddr, "vms")
	key, err := rbd.Key(t.Context(), first.Link(t), "nubo-vms", []string{"vms"})
	if err != nil {
		t.Fatal(err)
	}
	second.Must(t, "sh", "-c", "printf '%s' \"$1\" >/etc/ceph/ceph.conf", "sh", first.Must(t, "cat", "/etc/ceph/ceph.conf"))
	putGuest(t, first)

	ctx, authorities := t.Context(), newAuthorities(t)
	hosts := map[*hosttest.Box]kvm.Migration{
		first:  {Name: "box-1", Address: netip.MustParseAddr(hosttest.FirstAddr)},
		second: {Name: "box-2", Address: netip.MustParseAddr(hosttest.SecondAddr)},
	}
	for box, m := range hosts {
		box.StartLibvirt(t)
		prepare(t, box, m, authorities)
	}
	one, two := connect(t, first), connect(t, second)
	secret := kvm.Secret{UUID: "5d3c8d0a-31f5-4dd4-9a7e-0d1f9f6d0c01", Usage: "client.nubo-vms of lab/r1"}
	for i, c := range []*kvm.Conn{one, two} {
		for _, want := range []bool{true, false} {
			if changed, err := c.EnsureSecret(ctx, secret, key); err != nil || changed != want {
				t.Fatalf("secret on host %d: changed %v, %v, want %v", i+1, changed, err, want)
			}
		}
	}
	want := kvm.Domain{
		Name: "vm1", VCPUs: 1, MemoryMiB: 64, Autostart: true, Machine: "q35",
		Disks: []kvm.Disk{{Format: "raw", Pool: "vms", Image: "vm1-root", User: "nubo-vms", Secret: secret.UUID}},
		NICs:  []kvm.NIC{{Bridge: "br-ex", VLAN: 42, MAC: "52:54:00:00:00:07"}},
	}
	if _, err := one.Ensure(ctx, want); err != nil {
		t.Fatal(err)
	}
	if out, err := one.Ensure(ctx, want); err != nil || len(out.Changes) != 0 {
		t.Fatalf("a second time: %+v, %v", out, err)
	}
	if err := one.Start(ctx, "vm1"); err != nil {
		t.Fatal(err)
	}
	watched := func() { // by one QEMU; Ceph counts one that was killed for half a minute yet
		t.Helper()
		remotetest.Within(ctx, t, 3*time.Minute, "the image has one watcher", func() bool {
			info, err := rbd.Look(ctx, first.Link(t), "vms", "vm1-root")
			if err != nil || len(info.Watchers) == 0 {
				t.Fatalf("the image has the watchers %v, %v", info.Watchers, err)
			}
			return len(info.Watchers) == 1
		})
	}
	watched()
	t.Run("there and back", func(t *testing.T) {
		for _, leg := range []struct {
			from, to *kvm.Conn
			box      *hosttest.Box
		}{{one, two, second}, {two, one, first}} {
			if err := leg.from.Migrate(ctx, "vm1", kvm.Move{To: hosts[leg.box].Address}); err != nil {
				t.Fatal(err)
			}
			if _, err := leg.from.Get(ctx, "vm1"); !errors.Is(err, kvm.ErrNoDomain) {
				t.Errorf("where it was: %v, want ErrNoDomain", err)
			}
			got, err := leg.to.Get(ctx, "vm1")
			if err != nil || got.State != kvm.Running || !got.Ours {
				t.Fatalf("where it is: %+v, %v", got, err)
			}
			got.Autostart = true // libvirt leaves it behind; see "autostart"
			if left := kvm.Diff(got.Domain, want); len(left) != 0 {
				t.Errorf("it is another one now: %v", left)
			}
			watched()
			if port := leg.box.Must(t, "ovs-vsctl", "--timeout=60", "--bare", "--columns=name", "find", "Port", "tag=42"); strings.TrimSpace(port) == "" {
				t.Error("its card is in no port with VLAN 42")
			}
		}
	})
	t.Run("refused", func(t *testing.T) { refusedMoves(t, one, two, first, hosts[second]) })
	t.Run("a stranger's certificate", func(t *testing.T) {
		if err := hosts[first].Observe(ctx, first.Link(t), newAuthorities(t), time.Now()); !errors.Is(err, kvm.ErrUnprepared) {
			t.Errorf("for other authorities: %v", err)
		}
		// What QEMU holds opens no libvirt, though both are of this cloud.
		swapped := "mkdir -p /run/pki && cd /run/pki && cp /etc/pki/CA/cacert.pem . && cp /etc/pki/qemu/server-cert.pem clientcert.pem && cp /etc/pki/qemu/server-key.pem clientkey.pem"
		first.Must(t, "sh", "-c", swapped)
		script := fmt.Sprintf("virsh --connect 'qemu+tls://%s/system' version >/dev/null && ! virsh --connect 'qemu+tls://%[1]s/system?pkipath=/run/pki' version 2>&1", hosttest.SecondAddr)
		t.Log(first.Must(t, "sh", "-c", script))
	})
}

// putGuest makes an RBD image that boots.
func putGuest(t *testing.T, box *hosttest.Box) {
	t.Helper()
	_, err := box.Local().Run(t.Context(), remote.Command{Script: "rbd import --no-progress - vms/vm1-root", Stdin: strings.NewReader(string(bootSector()))})
	if err != nil {
		t.Fatal(err)
	}
}

// prepare lays down what a host needs; what makes QEMU run in a box stays.
func prepare(t *testing.T, box *hosttest.Box, m kvm.Migration, a kvm.Authorities) {
	t.Helper()
	ctx, link := t.Context(), box.Link(t)
	if err := m.Observe(ctx, link, a, time.Now()); !errors.Is(err, kvm.ErrUnprepared) {
		t.Fatalf("got %v, want ErrUnprepared", err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := m.Ensure(ctx, link, a, time.Now()); err != nil || changed != want {
			t.Fatalf("%s: changed %v, %v, want %v", m.Name, changed, err, want)
		}
	}
	script := "printf '%s' \"$1\" >>/etc/libvirt/qemu.conf; systemctl stop libvirtd.service; systemctl start libvirtd.service; until virsh version >/dev/null 2>&1; do sleep 0.1; done"
	box.Must(t, "timeout", "300", "sh", "-c", script, "sh", hosttest.QEMUConf)
	if err := m.Observe(ctx, link, a, time.Now()); !errors.Is(err, kvm.ErrUnprepared) || !strings.Contains(err.Error(), "qemu.conf") {
		t.Errorf("a changed qemu.conf is not seen: %v", err)
	}
}

// refusedMoves are those that leave the guest where it is.
func refusedMoves(t *testing.T, one, two *kvm.Conn, box *hosttest.Box, there kvm.Migration) {
	ctx := t.Context()
	if err := two.Migrate(ctx, "vm1", kvm.Move{To: there.Address}); !errors.Is(err, kvm.ErrNoDomain) {
		t.Errorf("from where it is not: %v", err)
	}
	over, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := one.Migrate(over, "vm1", kvm.Move{To: netip.MustParseAddr("198.51.100.99")}); !errors.Is(err, kvm.ErrMigrate) {
		t.Errorf("to nobody: %v", err)
	}
	if got := strings.TrimSpace(box.Must(t, "virsh", "domstate", "vm1")); got != "running" {
		t.Errorf("it is %q afterwards", got)
	}
}
