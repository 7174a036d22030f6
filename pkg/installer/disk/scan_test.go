package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// recorded answers commands with recorded output and fails on others.
type recorded map[string]string

func (r recorded) Run(_ context.Context, c run.Cmd) ([]byte, error) {
	out, ok := r[c.Name+" "+c.Args[len(c.Args)-1]]
	if !ok {
		return nil, errors.New("not recorded: " + c.String())
	}
	return []byte(out), nil
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestScan(t *testing.T) {
	runner := recorded{
		"lsblk " + columns: read(t, "lsblk.json"),
		"wipefs /dev/vda":  read(t, "wipefs-gpt.json"),
		"wipefs /dev/vda3": `{"signatures":[{"device":"vda3","offset":"0x438","type":"ext4","uuid":"x","label":"nubo-boot"}]}`,
		"sfdisk /dev/vda":  read(t, "sfdisk.json"),
		"wipefs /dev/vdb":  "",
		"wipefs /dev/sda":  `{"signatures":[{"device":"sda","offset":"0x52","type":"vfat","uuid":null,"label":null}]}`,
	}
	sys := t.TempDir()
	if err := os.MkdirAll(filepath.Join(sys, "block/vdb"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sys, "block/vdb/serial"), []byte("osd-01\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	devices, err := Scanner{Runner: runner, Sys: sys}.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range devices {
		got = append(got, strings.Join([]string{d.Path, d.Serial, d.Nonce, strings.Join(d.Signatures, ","), strings.Join(d.InUse, ",")}, " | "))
	}
	want := []string{
		"/dev/sda | USB-1 |  | vfat | /mnt/usb",
		"/dev/vda | root-01 | " + testNonce + " | nubo:" + testNonce + ",gpt,PMBR,ext4 | ",
		"/dev/vdb | osd-01 |  |  | lvm ceph--1-osd--1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestScanReportsWhatItCannotRead(t *testing.T) {
	runner := recorded{"lsblk " + columns: read(t, "lsblk.json")}
	if _, err := (Scanner{Runner: runner, Sys: t.TempDir()}).Scan(t.Context()); err == nil {
		t.Error("a disk that cannot be read passes for an empty one")
	}
}

func TestCephTag(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pv")
	text := strings.Repeat("\x00", 4096) + `tags = ["ceph.osd_fsid=8b", "ceph.osd_id=12", "ceph.type=block"]` + strings.Repeat("\x00", 4096)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := hasCephTag(path); !ok || err != nil {
		t.Errorf("tagged: %v, %v", ok, err)
	}
	if err := os.WriteFile(path, []byte("plain LVM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := hasCephTag(path); ok || err != nil {
		t.Errorf("not tagged: %v, %v", ok, err)
	}
}

func FuzzParseLsblk(f *testing.F) {
	for _, seed := range []string{`{"blockdevices":[]}`, `{"blockdevices":[{"name":"vda","size":1,"mountpoints":[null]}]}`, `{`, `null`, ``} {
		f.Add([]byte(seed))
	}
	b, err := os.ReadFile("testdata/lsblk.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := ParseLsblk(b)
		if err != nil && blocks != nil {
			t.Error("blocks and an error")
		}
		for _, block := range blocks {
			inUse(block)
		}
	})
}

func FuzzParseWipefs(f *testing.F) {
	for _, seed := range []string{``, `{"signatures":[]}`, `{"signatures":[{"type":"ext4"},{"type":null}]}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kinds, _ := ParseWipefs(b)
		for _, k := range kinds {
			if k == "" {
				t.Error("a signature without a name reads as none")
			}
		}
	})
}

func FuzzParseTable(f *testing.F) {
	b, err := os.ReadFile("testdata/sfdisk.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"partitiontable":{"label":"dos","partitions":[{"name":"nubo-boot"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if nonce, _, err := ParseTable(b); err != nil && nonce != "" {
			t.Error("a nonce and an error")
		}
	})
}
