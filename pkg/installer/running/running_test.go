package running

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/installer/stream"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

const diskNonce = "00112233445566778899aabbccddeeff"

// tools runs the real tools, and nothing inside the tiny image or on this machine's own systemd.
type tools struct{ ran []string }

func (r *tools) Run(ctx context.Context, c run.Cmd) ([]byte, error) {
	if c.Name == "chroot" || c.Name == "systemctl" {
		r.ran = append(r.ran, c.String())
		return nil, nil
	}
	return run.Exec{}.Run(ctx, c)
}

// images serves one image from memory.
type images struct {
	envelope []byte
	frames   map[model.Digest][]byte
	read     int
}

func (s *images) Manifest(context.Context, model.Digest) ([]byte, error) { return s.envelope, nil }

func (s *images) Chunk(_ context.Context, d model.Digest) (io.ReadCloser, error) {
	s.read++
	return io.NopCloser(bytes.NewReader(s.frames[d])), nil
}

func loop(t *testing.T, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "--detach", dev).Run(); err != nil {
			t.Errorf("detach %s: %v", dev, err)
		}
	})
	return dev
}

type world struct {
	Host
	tools  *tools
	images *images
	key    minisign.PrivateKey
	public minisign.PublicKey
	order  order.Order
	write  Write
}

// newWorld is a host that was booted from slot a, with boot-state and slot b on loop devices.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts loop devices: needs root")
	}
	w := &world{tools: &tools{}}
	devices := map[string]string{disk.PartBoot: loop(t, 16<<20), disk.PartB: loop(t, 1<<30)}
	w.Host = Host{Root: t.TempDir(), Work: t.TempDir(), Booted: "a", Runner: w.tools, Device: func(_, name string) string { return devices[name] }}
	if err := disk.FormatExt4(t.Context(), w.tools, devices[disk.PartBoot], diskNonce, disk.PartBoot); err != nil {
		t.Fatal(err)
	}
	if err := w.with(diskNonce, disk.PartBoot, 0, "", func(dir string) error {
		return errors.Join(boot.InstallState(dir, boot.Disk{}), boot.WriteEnv(boot.EnvPath(dir), boot.Env{boot.DefaultSlot: "a", boot.Good("a"): "1"}))
	}); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(t.TempDir(), "agent")
	for path, body := range map[string]string{
		filepath.Join(w.Root, slot.ImageFile):  `{"image":"` + string(model.DigestBytes(nil)) + `","order":"first","disk_nonce":"` + diskNonce + `"}`,
		filepath.Join(w.Root, boot.SlotConfig): "", agent: "agent",
		filepath.Join(w.Root, slot.StateMount, slot.NuboDir, "machine-id"):                   "0123456789abcdef0123456789abcdef\n",
		filepath.Join(w.Root, slot.StateMount, slot.NuboDir, "ssh/ssh_host_ed25519_key.pub"): "ssh-ed25519 HOST\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.makeImage(t)
	w.order = order.Order{
		FormatVersion: 1, ID: "second", Goal: order.Slot, Node: "r/z/blade-01", Hostname: "blade-01", Nonce: strings.Repeat("ab", 16),
		Machine: order.Machine{MACs: []string{"52:54:00:77:00:01"}}, IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour), MaxAttempts: 1,
		Spec: model.DigestBytes(nil), Image: w.order.Image, Disks: order.Disks{Root: model.DeviceHints{Serial: "x"}}, Config: []byte(`{"ignition":{"version":"3.3.0"}}`),
	}
	w.write = Write{Slot: "b", Keys: []minisign.PublicKey{w.public}, Trust: []byte("keys"), Images: w.images, Agent: agent,
		MACs: []string{"52:54:00:77:00:01"}, Stream: stream.Options{Patience: time.Second}}
	w.sign(t)
	return w
}

func (w *world) sign(t *testing.T) {
	t.Helper()
	signed, err := order.Sign(w.order, w.key)
	if err != nil {
		t.Fatal(err)
	}
	w.write.Signed = signed
}

func (w *world) makeImage(t *testing.T) {
	t.Helper()
	var err error
	if w.public, w.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	for _, dir := range []string{"./", "./etc/", "./boot/", "./var/", "./var/lib/", "./var/lib/ceph/", "./var/lib/ceph/new/"} {
		if err := archive.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	w.images = &images{frames: map[model.Digest][]byte{}}
	file, err := manifest.Cut(t.Context(), manifest.RootTar, &b, func(c manifest.Chunk, frame []byte) error {
		w.images.frames[c.Digest] = frame
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{
		FormatVersion: 1, Name: "debian-13", Kind: manifest.Root, Release: "trixie", Architecture: "amd64", Version: "13.2-0123456789ab",
		Epoch: 1767225600, Inputs: model.DigestBytes(nil), KernelVersion: "6.12.1-amd64",
		Packages: []manifest.Package{{Name: "base-files", Version: "13.8", Architecture: "amd64"}}, Files: []manifest.File{file},
	}
	payload, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := manifest.Sign(payload, w.key)
	if err != nil {
		t.Fatal(err)
	}
	if w.images.envelope, err = json.Marshal(signed); err != nil {
		t.Fatal(err)
	}
	w.order.Image = model.ImageRef{Name: m.Name, Digest: manifest.Digest(payload)}
}

func (w *world) status(t *testing.T) Status {
	t.Helper()
	s, err := w.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A slot goes from empty to written, is booted once, and becomes the default when the booted system says so.
func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	if s := w.status(t); s.Slot("a").State != Good || s.Slot("b").State != Empty || s.DefaultSlot != "a" {
		t.Fatalf("at first: %+v", s)
	}
	if err := w.Try("b", time.Minute); !errors.Is(err, ErrRefused) {
		t.Errorf("try of an empty slot: %v", err)
	}
	if err := w.Write(t.Context(), w.write); err != nil {
		t.Fatal(err)
	}
	s := w.status(t)
	if got := s.Slot("b"); got.State != Written || got.Image != w.order.Image.Digest || got.Config != model.DigestBytes(w.order.Config) || got.Order != "second" {
		t.Errorf("written: %+v", got)
	}
	if err := w.with(diskNonce, disk.PartB, 0, "", func(dir string) error {
		for path, want := range map[string]string{
			"/etc/machine-id": "0123456789abcdef0123456789abcdef\n", "/etc/fstab": slot.Fstab(diskNonce, disk.PartB), slot.AgentFile: "agent",
		} {
			if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
				t.Errorf("%s: %v %q", path, err, got)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.Root, slot.StateMount, "var/lib/ceph/new")); err != nil {
		t.Errorf("a directory that is new in the image: %v", err)
	}
	read := w.images.read
	if err := w.Write(t.Context(), w.write); err != nil || w.images.read != read {
		t.Errorf("a second write: %v, %d chunks read", err, w.images.read-read)
	}
	if err := w.Try("b", 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	if s := w.status(t); s.NextSlot != "b" || s.DefaultSlot != "a" {
		t.Errorf("tried: %+v", s)
	}
	w.order.KernelArgs = []string{"quiet"}
	w.sign(t)
	if err := w.Write(t.Context(), w.write); !errors.Is(err, ErrRefused) {
		t.Errorf("write of the slot that boots next: %v", err)
	}
	if err := w.Cancel(); err != nil || w.status(t).NextSlot != "" {
		t.Errorf("cancel: %v", err)
	}
	w.Booted = "b" // as the one-shot would
	w.Root = rootOf(t, w, "second")
	if good, err := w.IsGood(); good || err != nil {
		t.Errorf("on trial: %v, %v", good, err)
	}
	if err := w.Good(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := w.IsGood()
	if !good || err != nil {
		t.Errorf("declared good: %v, %v", good, err)
	}
}

// rootOf is a root that holds an order's system, for a test that changes the booted slot.
func rootOf(t *testing.T, w *world, name string) string {
	t.Helper()
	root := t.TempDir()
	for path, body := range map[string]string{slot.ImageFile: `{"order":"` + name + `","disk_nonce":"` + diskNonce + `"}`, boot.SlotConfig: ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestWriteRefuses(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*world){
		"the booted slot":    func(w *world) { w.write.Slot = "a" },
		"a wrong signature":  func(w *world) { w.write.Signed.Payload = append([]byte(" "), w.write.Signed.Payload...) },
		"another machine":    func(w *world) { w.write.MACs = []string{"52:54:00:00:00:00"} },
		"the fallback":       func(w *world) { w.Booted, w.write.Slot = "b", "a" },
		"no slot was booted": func(w *world) { w.Booted = "" },
		"an order to install": func(w *world) {
			w.order.Goal = order.Install
			w.sign(t)
		},
	} {
		changed := *w
		change(&changed)
		if err := changed.Write(t.Context(), changed.write); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := w.status(t); s.Slot("b").State != Empty || w.images.read != 0 {
		t.Errorf("something was written: %+v", s)
	}
}

// A write that breaks leaves a slot that is not tried, and is done again from its beginning.
func TestBrokenWrite(t *testing.T) {
	w := newWorld(t)
	whole := w.images.frames
	w.images.frames = nil
	if err := w.Write(t.Context(), w.write); err == nil || errors.Is(err, ErrRefused) {
		t.Fatalf("got %v", err)
	}
	if got := w.status(t).Slot("b").State; got != Writing {
		t.Errorf("state %s", got)
	}
	if err := w.Try("b", time.Minute); !errors.Is(err, ErrRefused) {
		t.Errorf("try: %v", err)
	}
	w.images.frames = whole
	if err := w.Write(t.Context(), w.write); err != nil || w.status(t).Slot("b").State != Written {
		t.Errorf("again: %v", err)
	}
}

// A slot whose file system is damaged is written anew, like one whose writing was cut off.
func TestDamagedSlot(t *testing.T) {
	w := newWorld(t)
	if err := w.Write(t.Context(), w.write); err != nil {
		t.Fatal(err)
	}
	device := w.Device(diskNonce, disk.PartB)
	out, err := exec.Command("debugfs", "-R", "blocks /boot", device).Output()
	if err != nil {
		t.Fatal(err)
	}
	block, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 4096), block*4096)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got := w.status(t).Slot("b"); got.State != Writing || got.Image != "" {
		t.Fatalf("damaged: %+v", got)
	}
	if err := w.Try("b", time.Minute); !errors.Is(err, ErrRefused) {
		t.Errorf("try: %v", err)
	}
	if err := w.Write(t.Context(), w.write); err != nil || w.status(t).Slot("b").State != Written {
		t.Errorf("again: %v", err)
	}
}

func TestClaim(t *testing.T) {
	h := Host{Root: t.TempDir()}
	release, err := h.Claim(5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Claim(6); !errors.Is(err, ErrRefused) {
		t.Errorf("two at once: %v", err)
	}
	release()
	if _, err := h.Claim(4); !errors.Is(err, ErrRefused) {
		t.Errorf("an older epoch: %v", err)
	}
	for _, epoch := range []int64{5, 6, 0, 6} {
		release, err := h.Claim(epoch)
		if err != nil {
			t.Fatalf("epoch %d: %v", epoch, err)
		}
		release()
	}
}

// A tried slot that is never declared good reboots the host at the deadline, not before.
func TestWatchGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &tools{}
		h := Host{Root: t.TempDir(), Booted: "b", Runner: r}
		start := time.Now()
		if err := h.Watch(t.Context(), 10*time.Minute, time.Minute, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if spent := time.Since(start); spent != 10*time.Minute || len(r.ran) != 1 || r.ran[0] != "systemctl reboot" {
			t.Errorf("after %s: %v", spent, r.ran)
		}
	})
}
