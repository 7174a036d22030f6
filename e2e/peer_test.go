//go:build e2e && e2elong

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/peer"
	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/images"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// peerBlade is the blade that both sides install, each on a new disk.
const peerBlade, peerAddress = "blade-01", "10.77.0.11"

// TestPeer measures power-on to SSH for one blade, beside what package-by-package installers do: see package peer. Both have all that they
// need on the blade's own network before the power is switched on, and the machine does nothing else.
func TestPeer(t *testing.T) {
	dir := t.TempDir()
	var setup peer.Config
	var ours, theirs time.Duration
	step(t, "nuboctl", func(t *testing.T) {
		r := rack.Start(t, "peer")
		r.Explain(t, []string{peerBlade})
		c := r.NewCloud(t, "peer", "ws")
		setup = preparePeer(rack.Within(t, 10*time.Minute), t, c, dir)
		ours = installOurs(t, c)
		rack.Figure(t, "nuboctl's blade, processor time", r.Processor(t, peerBlade)) // with what follows the first answer over SSH
		h := host{Cloud: c, name: peerBlade, address: peerAddress}
		samePackages(t, h.ssh(t, listPackages), setup.Image)
	})
	step(t, "peer", func(t *testing.T) {
		r := rack.Start(t, "peer")
		r.Explain(t, []string{peerBlade}, filepath.Join(dir, "nginx.log"))
		theirs = installPeer(t, r, dir, setup)
	})
	fmt.Fprintf(t.Output(), "FIGURE power-on→ssh nuboctl %.1f s, peer %.1f s, ratio %.1f (at least 4)\n", ours.Seconds(), theirs.Seconds(), theirs.Seconds()/ours.Seconds())
}

// load is the machine's load, without which the figures say little.
func load(t *testing.T, when string) {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(t.Output(), "FIGURE load %s %s\n", when, strings.TrimSpace(string(text)))
}

// preparePeer makes the peer's mirror and boot files of what building our images has left.
func preparePeer(ctx context.Context, t *testing.T, c *rack.Cloud, dir string) peer.Config {
	t.Helper()
	store := image.Store{Dir: c.Rack.Path("images")}
	get := func(name string) *manifest.Manifest {
		digest, err := store.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := store.Manifest(digest)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	file := func(m *manifest.Manifest, name string) string {
		at, err := store.Extract(ctx, m, name)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	key := filepath.Join(dir, "key")
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	def, err := image.Load(images.FS, "debian-13")
	if err != nil {
		t.Fatal(err)
	}
	ramdisk := get("ramdisk")
	setup := peer.Config{
		Definition: def, Image: get("debian-13"), Cache: filepath.Join(store.CacheDir(), "debs"),
		Kernel: file(ramdisk, manifest.Kernel), Initrd: file(ramdisk, manifest.Initrd),
		Station: "10.77.0.1", Address: peerAddress, MAC: "52:54:00:77:00:01", Disk: "/dev/disk/by-id/virtio-root-01", PublicKey: string(public),
	}
	if err := peer.Prepare(ctx, dir, setup); err != nil {
		t.Fatal(err)
	}
	return setup
}

// installOurs applies, and takes from the journal the time from power-on until the host was looked at over SSH.
func installOurs(t *testing.T, c *rack.Cloud) time.Duration {
	t.Helper()
	load(t, "before nuboctl")
	c.Expect(rack.Within(t, 30*time.Minute), t, 0, "apply", "--yes")
	load(t, "after nuboctl")
	ctx := rack.Within(t, time.Minute)
	c.Figures(ctx, t, "nuboctl")
	memory(t, c.Rack)
	at := map[string]time.Time{}
	for _, r := range c.Journal(ctx, t) {
		kind, _, _ := strings.Cut(string(r.OpID), " ")
		at[kind+" "+string(r.Kind)] = r.Time
	}
	on, answered := at[string(plan.PowerOn)+" "+string(state.KindIntent)], at[string(plan.HostVerify)+" "+string(state.KindDone)]
	if on.IsZero() || answered.IsZero() {
		t.Fatalf("the journal has no power-on, or no verified host: %v", slices.Collect(maps.Keys(at)))
	}
	return answered.Sub(on)
}

// memory prints what the agent said at its end.
func memory(t *testing.T, r *rack.Rack) {
	t.Helper()
	logs, err := filepath.Glob(r.Path("blades", peerBlade, "serial-*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		text, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, said, ok := strings.Cut(string(text), "memory at its highest: "); ok {
			said, _, _ = strings.Cut(said, "\n")
			fmt.Fprintf(t.Output(), "FIGURE agent's memory at its highest %s (at most 100 MB)\n", strings.TrimSpace(said))
		}
	}
}

// installPeer switches the blade on with the peer's boot files on its network, until the installed system lets us in.
func installPeer(t *testing.T, r *rack.Rack, dir string, setup peer.Config) time.Duration {
	t.Helper()
	for _, argv := range peer.Servers(dir, setup) {
		server := r.Begin(t, "ws", nil, argv...)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s printed:\n%s%s", argv[0], server.Stdout(), server.Stderr())
			}
		})
	}
	ctx := rack.Within(t, 3*time.Hour)
	rack.Eventually(ctx, t, "the mirror to answer", func() error {
		if run := r.On(ctx, t, "ws", "curl", "-sSf", "-o", "/dev/null", "http://"+setup.Station+":8080/boot.ipxe"); run.Code != 0 {
			return errors.New(run.Stderr)
		}
		return nil
	})
	load(t, "before the peer")
	began := time.Now()
	r.SetPower(t, peerBlade, "on")
	rack.Eventually(ctx, t, "the peer to have installed", func() error {
		said := r.Console(peerBlade)
		if strings.Contains(said, "peer: ") && strings.Contains(said, "s: failed at line") {
			t.Fatal("the peer's installer has failed")
		}
		if !strings.Contains(said, "s: installed") {
			return errors.New("it is not")
		}
		return nil
	})
	rack.Figure(t, "peer power-on→installed", time.Since(began))
	ssh := []string{
		"ssh", "-i", filepath.Join(dir, "key"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-o", "StrictHostKeyChecking=accept-new",
		"-o", "UserKnownHostsFile=" + filepath.Join(dir, "known_hosts"), "root@" + setup.Address,
	}
	rack.Eventually(ctx, t, "the peer's host to answer by SSH", func() error {
		if run := r.On(ctx, t, "ws", append(ssh, "true")...); run.Code != 0 {
			return errors.New(run.Stderr)
		}
		return nil
	})
	took := time.Since(began)
	rack.Figure(t, "peer power-on→ssh", took)
	rack.Figure(t, "peer's blade, processor time", r.Processor(t, peerBlade))
	load(t, "after the peer")
	for line := range strings.Lines(r.Console(peerBlade)) {
		if strings.HasPrefix(line, "peer: ") {
			fmt.Fprintf(t.Output(), "FIGURE peer since its kernel started: %s\n", strings.TrimSpace(strings.TrimPrefix(line, "peer: ")))
		}
	}
	samePackages(t, r.Must(ctx, t, "ws", append(ssh, listPackages)...), setup.Image)
	return took
}

const listPackages = `dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n'`

// samePackages fails the test unless a host has exactly an image's packages, all of them configured.
func samePackages(t *testing.T, listed string, m *manifest.Manifest) {
	t.Helper()
	have := map[string]bool{}
	for line := range strings.Lines(listed) {
		have[strings.TrimSpace(line)] = true
	}
	for _, p := range m.Packages {
		want := "installed " + p.Name + " " + p.Version
		if !have[want] {
			t.Errorf("the host has not %q", want)
		}
		delete(have, want)
	}
	if len(have) > 0 {
		t.Errorf("the host has more than the image: %q", slices.Sorted(maps.Keys(have)))
	}
}
