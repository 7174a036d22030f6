package kvm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// bootSector is a disk that prints "up" on the first serial port and halts: the smallest guest that shows that it runs.
//
//	mov dx,0x3f8; mov al,'u'; out dx,al; mov al,'p'; out dx,al; mov al,10; out dx,al; hlt; jmp -3
func bootSector() []byte {
	disk := make([]byte, 1<<20)
	copy(disk, []byte{0xba, 0xf8, 0x03, 0xb0, 'u', 0xee, 0xb0, 'p', 0xee, 0xb0, '\n', 0xee, 0xf4, 0xeb, 0xfd})
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

// TestLibvirt drives a real libvirtd with a real QEMU over SSH, the guest's card in a real Open vSwitch.
func TestLibvirt(t *testing.T) {
	box := hosttest.New(t)
	link := box.Link(t)
	if _, err := kvm.Connect(t.Context(), link); !errors.Is(err, kvm.ErrNotRunning) {
		t.Errorf("without libvirt: got %v, want ErrNotRunning", err)
	}
	box.StartLibvirt(t)
	conn, err := kvm.Connect(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	t.Run("an empty host", func(t *testing.T) {
		h, err := conn.Observe(ctx)
		if err != nil || h.Libvirt == "" || h.QEMU == "" || len(h.Domains) != 0 {
			t.Errorf("got %+v, %v", h, err)
		}
		for name, err := range map[string]error{"start": conn.Start(ctx, "none"), "destroy": conn.Destroy(ctx, "none")} {
			if !errors.Is(err, kvm.ErrNoDomain) {
				t.Errorf("%s: got %v, want ErrNoDomain", name, err)
			}
		}
		if err := conn.Undefine(ctx, "none"); err != nil {
			t.Error(err)
		}
	})
	disk, log := filepath.Join(box.Dir, "disk"), filepath.Join(box.Dir, "console")
	if err := os.WriteFile(disk, bootSector(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := kvm.Domain{
		Name: "vm1", VCPUs: 1, MemoryMiB: 64, ConsoleLog: log, Autostart: true, Spec: "sha256:0123",
		Disks: []kvm.Disk{{Path: disk, Format: "raw"}},
		NICs:  []kvm.NIC{{Bridge: "br-ex", VLAN: 42, MAC: "52:54:00:00:00:07"}},
	}
	t.Run("define and start", func(t *testing.T) {
		out, err := conn.Ensure(ctx, want)
		if err != nil || !out.Created {
			t.Fatalf("got %+v, %v", out, err)
		}
		for range 2 { // the second time changes nothing
			if err := conn.Start(ctx, "vm1"); err != nil {
				t.Fatal(err)
			}
		}
		remotetest.Eventually(ctx, t, "the guest prints", func() bool {
			text, _ := os.ReadFile(log)
			return bytes.Contains(text, []byte("up"))
		})
		if shown := box.Must(t, "virsh", "domstate", "vm1"); !strings.Contains(shown, "running") {
			t.Errorf("virsh shows %q", shown)
		}
		port := box.Must(t, "ovs-vsctl", "--timeout=60", "--bare", "--columns=name", "find", "Port", "tag=42")
		if !strings.Contains(box.Must(t, "virsh", "domiflist", "vm1"), strings.TrimSpace(port)) || port == "" {
			t.Errorf("the guest's card is not the port with VLAN 42 (%q)", port)
		}
	})
	t.Run("nothing to do", func(t *testing.T) {
		out, err := conn.Ensure(ctx, want)
		if err != nil || out.Created || len(out.Changes) != 0 {
			t.Errorf("got %+v, %v", out, err)
		}
	})
	t.Run("changed while it runs", func(t *testing.T) {
		want.MemoryMiB = 96
		out, err := conn.Ensure(ctx, want)
		if err != nil || len(out.Changes) != 1 || !out.Restart {
			t.Errorf("got %+v, %v", out, err)
		}
		if err := conn.Undefine(ctx, "vm1"); !errors.Is(err, kvm.ErrActive) {
			t.Errorf("got %v, want ErrActive", err)
		}
	})
	t.Run("someone else's", func(t *testing.T) {
		xml := "<domain type='qemu'><name>foreign</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
		file := filepath.Join(box.Dir, "foreign.xml")
		if err := os.WriteFile(file, []byte(xml), 0o644); err != nil {
			t.Fatal(err)
		}
		box.Must(t, "virsh", "define", file)
		foreign := want
		foreign.Name = "foreign"
		_, err := conn.Ensure(ctx, foreign)
		for name, err := range map[string]error{"ensure": err, "start": conn.Start(ctx, "foreign"), "undefine": conn.Undefine(ctx, "foreign")} {
			if !errors.Is(err, kvm.ErrForeign) {
				t.Errorf("%s: got %v, want ErrForeign", name, err)
			}
		}
	})
	t.Run("refused by libvirt", func(t *testing.T) {
		bad := want
		bad.Name, bad.Machine = "bad", "no-such-machine"
		if _, err := conn.Ensure(ctx, bad); err == nil || !strings.Contains(err.Error(), "define bad") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stop and forget", func(t *testing.T) {
		for range 2 {
			if err := conn.Destroy(ctx, "vm1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Undefine(ctx, "vm1"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Get(ctx, "vm1"); !errors.Is(err, kvm.ErrNoDomain) {
			t.Errorf("got %v, want ErrNoDomain", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		over, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := conn.Get(over, "vm1"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}
