package boot

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testDisk = Disk{
	BootUUID:  "b0000000-0000-8000-8000-000000000000",
	SlotUUIDs: [2]string{"a0000000-0000-8000-8000-00000000000a", "a0000000-0000-8000-8000-00000000000b"},
}

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
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; run with -update and look at the difference\n%s", path, diff)
	}
}

func TestConfig(t *testing.T) {
	golden(t, "grub.cfg", testDisk.Config())
	golden(t, "stub.cfg", testDisk.Stub())
	file, err := SlotFile([]string{"intel_iommu=on", "isolcpus=2-7"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "nubo.cfg", file)
}

// GRUB's own parser accepts what is written for it.
func TestConfigParses(t *testing.T) {
	check, err := exec.LookPath("grub-script-check")
	if err != nil {
		t.Fatal("grub-script-check (grub-common) is not installed: run e2e/host-packages")
	}
	for _, name := range []string{"grub.cfg", "stub.cfg", "nubo.cfg"} {
		if out, err := exec.Command(check, "-v", filepath.Join("testdata", name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestSlotFileRefusesGRUBsOwnCharacters(t *testing.T) {
	for _, arg := range []string{`a"b`, "a b", "$root", "a;reboot", "a\nb", "{", `\`, "", "'"} {
		if _, err := SlotFile([]string{arg}); !errors.Is(err, ErrKernelArg) {
			t.Errorf("%q: got %v", arg, err)
		}
	}
}

func TestEnvRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := Env(rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,10}`), rapid.StringMatching(`[a-z0-9=#\\ ]{0,20}`), 0, 10).Draw(t, "env"))
		b, err := env.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEnv(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != envSize || !cmp.Equal(env, got) {
			t.Fatalf("%v became %v", env, got)
		}
	})
}

// Debian's grub-editenv reads what we write, and we read what it writes.
func TestEnvPeer(t *testing.T) {
	tool, err := exec.LookPath("grub-editenv")
	if err != nil {
		t.Fatal("grub-editenv (grub-common) is not installed: run e2e/host-packages")
	}
	path := filepath.Join(t.TempDir(), "grubenv")
	if err := WriteEnv(path, Env{DefaultSlot: "a", NextSlot: "b"}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, path, "list").CombinedOutput()
	if err != nil || string(out) != "default_slot=a\nnext_slot=b\n" {
		t.Fatalf("list: %v %q", err, out)
	}
	if out, err := exec.Command(tool, path, "unset", "next_slot").CombinedOutput(); err != nil {
		t.Fatalf("unset: %v %s", err, out)
	}
	env, err := ReadEnv(path)
	if err != nil || !cmp.Equal(env, Env{DefaultSlot: "a"}) {
		t.Fatalf("got %v, %v", env, err)
	}
}

// The file keeps its blocks: GRUB reads it without a journal.
func TestWriteEnvInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grubenv")
	if err := WriteEnv(path, Env{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteEnv(path, Env{DefaultSlot: "b"}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || after.Size() != envSize {
		t.Errorf("another file, or %d bytes", after.Size())
	}
}

func TestParseEnvRefuses(t *testing.T) {
	whole := envHeader + strings.Repeat("#", envSize-len(envHeader))
	for name, text := range map[string]string{
		"empty": "", "short": whole[:100], "long": whole + "#", "no header": strings.Repeat("#", envSize),
		"no value": envHeader + "abc\n" + strings.Repeat("#", envSize-len(envHeader)-4),
	} {
		if _, err := ParseEnv([]byte(text)); !errors.Is(err, ErrEnv) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := (Env{"a": strings.Repeat("x", envSize)}).Encode(); !errors.Is(err, ErrEnv) {
		t.Errorf("too much: got %v", err)
	}
	if _, err := (Env{"a": "x\ny"}).Encode(); !errors.Is(err, ErrEnv) {
		t.Errorf("newline: got %v", err)
	}
}

func FuzzParseEnv(f *testing.F) {
	b, err := Env{DefaultSlot: "a", "x": `\`}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(envHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		if env, err := ParseEnv(b); err == nil && len(env) > envSize {
			t.Error("more variables than bytes")
		}
	})
}

func TestInstallUEFI(t *testing.T) {
	slot, esp := t.TempDir(), t.TempDir()
	if err := InstallUEFI(slot, esp, testDisk); err == nil || !strings.Contains(err.Error(), "shimx64.efi.signed") {
		t.Errorf("an image without shim: %v", err)
	}
	for _, f := range signed {
		if err := writeFile(filepath.Join(slot, f.from), f.from); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // it can be done again
		if err := InstallUEFI(slot, esp, testDisk); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		"EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed", "EFI/debian/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
		"EFI/debian/grub.cfg": testDisk.Stub(),
	} {
		if got, err := os.ReadFile(filepath.Join(esp, file)); err != nil || string(got) != want {
			t.Errorf("%s: %v %q", file, err, got)
		}
	}
}
