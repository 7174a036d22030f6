//go:build e2e && e2elong

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/ops"
)

// TestLong holds what takes too long for every change: deadlines of minutes, images built again, and the other pairs of firmware and relay.
func TestLong(t *testing.T) {
	r := rack.Start(t, "e2e")
	uefi := r.NewCloud(t, "uefi", "ws")
	h := host{Cloud: uefi, name: "blade-01", address: "10.77.0.11"}
	t.Run("images are the same again", func(t *testing.T) { imagesAgain(t, uefi) })
	t.Run("blade-01", func(t *testing.T) {
		r.Explain(t, []string{"blade-01"})
		step(t, "a blade that dies is noticed", func(t *testing.T) { dies(t, uefi) })
		step(t, "apply goes on", func(t *testing.T) {
			uefi.Expect(rack.Within(t, 25*time.Minute), t, 0, "apply", "--yes")
			h.isDebian(t, "uefi")
			h.asPlanned(t)
		})
		step(t, "a slot that nobody declares good", func(t *testing.T) { nobodySaysGood(t, h) })
		step(t, "a slot that hangs before systemd", func(t *testing.T) {
			writeIdle(t, h)
			// rootdelay= has the initramfs wait before it looks for the root: nothing but the watchdog ends that.
			h.fallsBack(t, `sed -i 's/nubo_args="/&rootdelay=100000 /' boot/nubo.cfg`, "rootdelay=100000", 25*time.Minute)
			holds(t, h.Rack.Console(h.name), "nubo: watchdog i6300ESB timer: armed")
		})
		step(t, "reinstall", func(t *testing.T) { reinstalled(t, h) })
		r.SetPower(t, "blade-01", "off")
	})
	t.Run("BIOS and IPMI beside the workstation", func(t *testing.T) {
		r.Explain(t, []string{"blade-02"})
		c := r.NewCloud(t, "near", "ws", "blades=2", "ipmi=[2]")
		c.Expect(rack.Within(t, 25*time.Minute), t, 0, "apply", "--yes", "--target", "blade-02")
		b := host{Cloud: c, name: "blade-02", address: "10.77.0.12"}
		b.isDebian(t, "bios")
		b.hasBridge(t)
		b.asPlanned(t)
		r.SetPower(t, "blade-02", "off")
	})
}

// imagesAgain builds what was built before, and gets the same bytes.
func imagesAgain(t *testing.T, c *rack.Cloud) {
	digests := func(force ...string) map[string]string {
		var out struct {
			Images []struct{ Name, Digest string }
		}
		text := c.BuildImages(t, append([]string{"--json"}, force...)...)
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all := map[string]string{}
		for _, i := range out.Images {
			all[i.Name] = i.Digest
		}
		return all
	}
	first := digests()
	for name, again := range digests("--force") {
		if first[name] != again {
			t.Errorf("image %s was %s and is %s", name, first[name], again)
		}
	}
}

// dies: the power fails while the image is being written, and apply is there to see it.
func dies(t *testing.T, c *rack.Cloud) {
	apply := c.Begin(t, "apply", "--yes")
	c.Rack.Says(rack.Within(t, 15*time.Minute), t, "blade-01", "image: fill slot a")
	c.Rack.SetPower(t, "blade-01", "off")
	began := time.Now()
	run := apply.Wait(rack.Within(t, ops.SilenceLimit+2*time.Minute), t)
	rack.Figure(t, "dead blade noticed", time.Since(began))
	if run.Code != 1 {
		t.Fatalf("apply: exit %d, want 1\n%s", run.Code, run.All())
	}
	holds(t, run.All(), "has stopped reporting", "apply again")
}

// nobodySaysGood: a system on trial that works, and that nobody declares good, gives up by itself.
func nobodySaysGood(t *testing.T, h host) {
	writeIdle(t, h)
	was := h.bootID(t)
	h.slots(t, "try --slot b --deadline 4m")
	h.rebootedFrom(rack.Within(t, 15*time.Minute), t, was, "systemctl reboot")
	if s := h.slots(t, "status"); s.Booted != "b" {
		t.Fatalf("the slots are %+v", s)
	}
	ctx := rack.Within(t, 12*time.Minute)
	rack.Eventually(ctx, t, "the host to give the trial up", func() error {
		text, err := h.TrySSH(ctx, t, h.name, "cat /proc/cmdline")
		if err == nil && !strings.Contains(text, "nubo.slot=a") {
			err = errors.New("it still runs " + text)
		}
		return err
	})
}

// reinstalled: on request, and only then, a host is laid down anew; what outlives its slots stays, and so do its other disks.
func reinstalled(t *testing.T, h host) {
	h.ssh(t, "mkdir -p /var/lib/ceph/osd/ceph-7; echo kept >/var/lib/ceph/osd/ceph-7/keyring; echo lost >/root/lost; sync")
	keys, machine := h.hostKeys(t), h.ssh(t, "cat /etc/machine-id")
	disk := h.ssh(t, "ls /dev/disk/by-id/*osd-01 | head -n 1")
	h.ssh(t, "echo kept | dd of="+disk+" conv=sync,fsync bs=512 status=none")
	was := h.bootID(t)
	h.Expect(rack.Within(t, 30*time.Minute), t, 0, "reinstall", "--yes", h.name)
	if now := h.bootID(t); now == was {
		t.Error("the host was not restarted")
	}
	if got := h.ssh(t, "head -c 4 "+disk); got != "kept" {
		t.Errorf("the other disk begins with %q", got)
	}
	if got := h.ssh(t, "cat /var/lib/ceph/osd/ceph-7/keyring; ls /root/lost 2>&1"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, "No such file") {
		t.Errorf("what Ceph keeps, and what was in the slot: %q", got)
	}
	if now := h.ssh(t, "cat /etc/machine-id"); now != machine {
		t.Errorf("the machine-id was %s and is %s", machine, now)
	}
	if now := h.hostKeys(t); now != keys {
		t.Errorf("the host's key was %s and is %s", keys, now)
	}
	h.isDebian(t, "uefi")
	h.runsHello(t)
	h.asPlanned(t)
	known, err := os.ReadFile(filepath.Join(h.State, "ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, string(known), strings.Fields(h.hostKeys(t))[2])
}
