package slot

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testNonce = "00112233445566778899aabbccddeeff"

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference\ngot:\n%s", path, got)
	}
}

func write(t *testing.T, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoldens(t *testing.T) {
	golden(t, "fstab", Fstab(testNonce, disk.PartA))
	golden(t, "nubo-try.service", tryUnit)
	golden(t, "sshd.conf", sshdConfig)
	golden(t, "image.json", ContentsOf(order.Order{
		ID: "o-1", Nonce: testNonce, Image: model.ImageRef{Digest: model.DigestBytes([]byte("image"))}, Config: []byte("{}"),
		Spec: model.DigestBytes([]byte("spec")), KernelArgs: []string{"quiet"},
	}, testNonce).encode())
}

// The private half stays on the state partition, readable by root alone; the same pair serves every slot.
func TestIdentityIsKept(t *testing.T) {
	state := t.TempDir()
	job := Job{Root: t.TempDir(), State: state, Order: order.Order{Hostname: "blade-01"}}
	first, err := identity(job)
	if err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(job.Root, "etc/machine-id"))
	if err != nil || len(strings.TrimSpace(string(id))) != 32 {
		t.Errorf("machine-id %q, %v", id, err)
	}
	private := filepath.Join(state, NuboDir, sshKeyFile)
	if st, err := os.Stat(private); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v %v", st, err)
	}
	pem, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))); got != first[0] {
		t.Errorf("the halves differ: %s, %s", got, first[0])
	}
	job.Root = t.TempDir()
	second, err := identity(job)
	if err != nil || second[0] != first[0] {
		t.Errorf("another slot got another key: %v %v", second, err)
	}
	again, err := os.ReadFile(filepath.Join(job.Root, "etc/machine-id"))
	if err != nil || string(again) != string(id) {
		t.Errorf("another slot got another machine-id: %q %v", again, err)
	}
	if read, err := HostKeys(state); err != nil || read[0] != first[0] {
		t.Errorf("HostKeys: %v %v", read, err)
	}
}

// The first slot's directories are copied whole; later ones only add directories, so that what the host deleted stays deleted.
func TestPersist(t *testing.T) {
	state := t.TempDir()
	filler := Filler{Runner: run.Exec{}}
	root := func(files ...string) string {
		dir := t.TempDir()
		for _, p := range Persistent {
			if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range files {
			write(t, filepath.Join(dir, f), "of the image")
		}
		return dir
	}
	if err := filler.persist(t.Context(), Job{Root: root("etc/libvirt/qemu/default.xml", "etc/libvirt/libvirtd.conf"), State: state}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(state, "etc/libvirt/qemu/default.xml")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(state, "etc/libvirt/libvirtd.conf"), "of the host")
	next := root("etc/libvirt/qemu/default.xml", "etc/libvirt/libvirtd.conf", "var/lib/ceph/crash/posted/x")
	if err := os.Chmod(filepath.Join(next, "var/lib/ceph/crash"), 0o3770); err != nil {
		t.Fatal(err)
	}
	if err := filler.persist(t.Context(), Job{Root: next, State: state}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(state, "etc/libvirt/qemu/default.xml")); err == nil {
		t.Error("a file that the host deleted came back")
	}
	if b, err := os.ReadFile(filepath.Join(state, "etc/libvirt/libvirtd.conf")); err != nil || string(b) != "of the host" {
		t.Errorf("a file of the host: %q, %v", b, err)
	}
	if st, err := os.Stat(filepath.Join(state, "var/lib/ceph/crash/posted")); err != nil || !st.IsDir() {
		t.Errorf("a directory that is new in the image: %v", err)
	}
}

// put replaces links instead of following them, and cannot be led out of the root.
func TestPut(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "hostname"), "outside")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "hostname"), filepath.Join(root, "etc/hostname")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "var")); err != nil {
		t.Fatal(err)
	}
	if err := put(root, "/etc/hostname", "inside", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := put(root, "/var/x", "x", 0o644); err == nil {
		t.Error("written through a link that leads out")
	}
	if b, err := os.ReadFile(filepath.Join(outside, "hostname")); err != nil || string(b) != "outside" {
		t.Errorf("outside: %q %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/hostname")); err != nil || string(b) != "inside" {
		t.Errorf("inside: %q %v", b, err)
	}
}
