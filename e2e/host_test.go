//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// host is an installed blade, looked at over Debian's ssh with the tools of its services.
type host struct {
	*rack.Cloud
	name    string
	address string
}

// oneCommand bounds what takes a second or two: long enough for a machine that does much else besides.
const oneCommand = 3 * time.Minute

func (h host) ssh(t *testing.T, command string) string {
	t.Helper()
	return h.SSH(rack.Within(t, oneCommand), t, h.name, command)
}

// isDebian: the release, the disk's layout, the services, and nothing failed.
func (h host) isDebian(t *testing.T, firmware string) {
	t.Helper()
	holds(t, h.ssh(t, "cat /etc/os-release"), "VERSION_CODENAME=trixie")
	if got := h.ssh(t, "hostname"); got != h.name {
		t.Errorf("the host is called %q", got)
	}
	if got := h.ssh(t, "[ -d /sys/firmware/efi ] && echo uefi || echo bios"); got != firmware {
		t.Errorf("it has booted by %s, want %s", got, firmware)
	}
	labels := strings.Fields(h.ssh(t, "lsblk --noheadings --output PARTLABEL"))
	for _, want := range []string{"nubo-bios", "nubo-esp", "nubo-boot", "nubo-a", "nubo-b", "nubo-state"} {
		if !slices.Contains(labels, want) {
			t.Errorf("lsblk shows no partition %s: %q", want, labels)
		}
	}
	holds(t, h.ssh(t, "findmnt --noheadings --output TARGET,SOURCE"), "/var/lib/libvirt", "/etc/openvswitch", "/var/log", "/state")
	units := []string{"ssh", "libvirtd.socket", "openvswitch-switch", "nubo-network", "chrony"}
	for i, got := range strings.Fields(h.ssh(t, "systemctl is-active "+strings.Join(units, " ")+" || true")) {
		if got != "active" {
			t.Errorf("unit %s is %s", units[i], got)
		}
	}
	if got := h.ssh(t, "systemctl list-units --failed --plain --no-legend"); got != "" {
		t.Errorf("units have failed:\n%s", got)
	}
	holds(t, h.ssh(t, "ls -l /dev/kvm; virsh version"), "/dev/kvm", "QEMU")
}

// hasBridge: the blade's card is the uplink, and the bridge has its address.
func (h host) hasBridge(t *testing.T) {
	t.Helper()
	if got := strings.Fields(h.ssh(t, "ovs-vsctl list-ports br-ex")); !slices.Contains(got, "eth0") {
		t.Errorf("the ports of br-ex are %q", got)
	}
	holds(t, h.ssh(t, "ovs-vsctl show"), "Bridge br-ex", "Interface eth0")
	holds(t, h.ssh(t, "ip -4 -brief address show br-ex"), h.address+"/24")
	if got := h.ssh(t, "ip -4 -brief address show eth0"); strings.Contains(got, h.address) {
		t.Errorf("eth0 has the address, not the bridge: %s", got)
	}
	h.Rack.Must(rack.Within(t, oneCommand), t, "ws", "ping", "-c", "3", "-i", "0.2", "-W", "5", h.address)
}

// runsHello: the virtual machine runs, comes back by itself, and answers on the bridge.
func (h host) runsHello(t *testing.T) {
	t.Helper()
	ctx := rack.Within(t, 10*time.Minute)
	rack.Eventually(ctx, t, "virsh to list hello as running", func() error {
		got, err := h.TrySSH(ctx, t, h.name, "virsh list --name --state-running")
		if err == nil && !slices.Contains(strings.Fields(got), "hello") {
			err = fmt.Errorf("it lists %q", got)
		}
		return err
	})
	holds(t, h.ssh(t, "virsh dominfo hello"), "Autostart:      enable")
	rack.Eventually(ctx, t, "hello to answer a ping at 10.77.0.100", func() error {
		if run := h.Rack.On(ctx, t, "ws", "ping", "-c", "1", "-W", "1", "10.77.0.100"); run.Code != 0 {
			return errors.New("no answer")
		}
		return nil
	})
}

// asPlanned: there is nothing left to do.
func (h host) asPlanned(t *testing.T) {
	t.Helper()
	holds(t, h.Expect(rack.Within(t, 5*time.Minute), t, 0, "plan", "--detailed-exitcode", "--target", h.name).Stdout, "No changes")
}

func (h host) bootID(t *testing.T) string {
	t.Helper()
	return h.ssh(t, "cat /proc/sys/kernel/random/boot_id")
}

// reboot restarts the host over SSH and returns when it answers again, under the same host key, in another boot.
func (h host) reboot(t *testing.T, limit time.Duration) {
	t.Helper()
	h.rebootedFrom(rack.Within(t, limit), t, h.bootID(t), "systemctl reboot")
}

func (h host) rebootedFrom(ctx context.Context, t *testing.T, was, command string) {
	t.Helper()
	began := time.Now()
	h.Nubo(ctx, t, "ssh", h.name, command) // the connection may end before the command does
	rack.Eventually(ctx, t, h.name+" to have restarted and to answer", func() error {
		now, err := h.TrySSH(ctx, t, h.name, "cat /proc/sys/kernel/random/boot_id")
		if err == nil && now == was {
			err = errors.New("it has not gone down yet")
		}
		return err
	})
	rack.Figure(t, h.name+" reboot→ssh", time.Since(began))
}

// hostKeys are what the host shows to anybody who asks.
func (h host) hostKeys(t *testing.T) string {
	t.Helper()
	return h.Rack.Must(rack.Within(t, oneCommand), t, "ws", "ssh-keyscan", "-t", "ed25519", h.address)
}
