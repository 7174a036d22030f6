package ceph

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

func TestDestroyable(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reply  Reply
		needed bool
		fails  bool
	}{
		{"both are", Reply{Out: json.RawMessage(`{"safe_to_destroy":[3,4],"active":[],"missing_stats":[],"stored_pgs":[]}`)}, false, false},
		{"one is not named", Reply{Out: json.RawMessage(`{"safe_to_destroy":[3],"active":[],"missing_stats":[4],"stored_pgs":[]}`)}, true, true},
		{"busy", Reply{Code: -int(syscall.EBUSY), Text: "OSD(s) 3 have 8 pgs currently mapped to them."}, true, true},
		{"the manager has not heard of all", Reply{Code: -int(syscall.EAGAIN), Text: "not all PGs are active+clean"}, true, true},
		{"another error", Reply{Code: -int(syscall.EINVAL), Text: "must specify one or more OSDs"}, false, true},
		{"no answer", Reply{Out: json.RawMessage(`"yes"`)}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := destroyable(tc.reply, []int{3, 4})
			if errors.Is(err, ErrNeeded) != tc.needed || (err != nil) != tc.fails {
				t.Error(err)
			}
		})
	}
}

// Nothing is asked about no OSD, and a disk without a serial number is not wiped.
func TestLeavingNothing(t *testing.T) {
	h := (&remote.Fake{}).Fail("", 1, "it was asked")
	for what, err := range map[string]error{"out": Out(t.Context(), h, nil), "in": In(t.Context(), h, nil), "safe to destroy": SafeToDestroy(t.Context(), h, nil)} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Wipe(t.Context(), h, "/dev/vdb", " "); err == nil || !strings.Contains(err.Error(), "no serial number") {
		t.Error(err)
	}
}

// TestWipe runs wipe.sh on loop devices that are told to have the serial number osd-01. It needs root.
func TestWipe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes loop devices: run it as root")
	}
	for _, tc := range []struct {
		name    string
		prepare func(*testing.T, string)
		serial  string
		mounted string // where it is, by what lsblk says
		code    int
	}{
		{name: "a file system", prepare: command("mkfs.ext4", "-q"), serial: "osd-01"},
		{name: "a partition table", prepare: command("sgdisk", "--clear"), serial: "osd-01"},
		{name: "bytes that nothing knows", prepare: scribble, serial: "osd-01"},
		{name: "an OSD's directory on it", prepare: scribble, serial: "osd-01", mounted: "/var/lib/ceph/osd/ceph-3"},
		{name: "another disk", prepare: scribble, serial: "osd-02", code: 66},
		{name: "in use", prepare: scribble, serial: "osd-01", mounted: "/srv", code: 65},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			dev := loop(t, filepath.Join(dir, "disk"), 64<<20)
			tc.prepare(t, dev)
			lsblk := `#!/bin/sh
case "$*" in *SERIAL*) echo osd-01 ;; *MOUNTPOINT*) echo; echo '` + tc.mounted + `' ;; *) echo ` + dev + ` ;; esac
`
			for name, text := range map[string]string{"lsblk": lsblk, "pvs": "#!/bin/sh\n", "ceph-volume": "#!/bin/sh\nexit 9\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.Command("sh", "-euc", wipeScript, "nubo-ceph", dev, tc.serial)
			c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			code := 0
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tc.code {
				t.Fatalf("exit %d, want %d: %s", code, tc.code, out)
			}
			text, err := os.ReadFile(filepath.Join(dir, "disk"))
			if err != nil {
				t.Fatal(err)
			}
			if kept := bytes.ContainsFunc(text[:1<<20], func(r rune) bool { return r != 0 }); kept != (code != 0) {
				t.Errorf("its first MiB holds something: %v", kept)
			}
			if found, err := exec.Command("wipefs", "--no-act", "--noheadings", dev).Output(); code == 0 && (err != nil || len(found) > 0) {
				t.Errorf("signatures are left: %s, %v", found, err)
			}
		})
	}
}

func TestLeavingScripts(t *testing.T) {
	for name, text := range map[string]string{"leave": leaveScript, "wipe": wipeScript} {
		if out, err := exec.Command("sh", "-nc", text).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
