package ceph

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDisksWithDataAreNotTaken runs osd.sh on loop devices, with a ceph-volume that only tells what it was asked. It needs root.
func TestDisksWithDataAreNotTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes loop devices: run it as root")
	}
	const mib = 1 << 20
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, dev string)
		serial  string
		consent string
		lsblk   string // what lsblk says, beside the serial number: mount point and logical volume
		code    int
		says    string // in what it prints
	}{
		{name: "empty", says: "asked: lvm create --no-systemd --data"},
		{name: "a file system", prepare: command("mkfs.ext4", "-q"), code: notEmpty, says: "ext4"},
		{name: "a partition table", prepare: command("sgdisk", "--clear"), code: notEmpty, says: "gpt"},
		{name: "bytes that nothing knows", prepare: scribble, code: notEmpty, says: "data without a signature"},
		{name: "consent", prepare: command("mkfs.ext4", "-q"), consent: "yes", says: "asked: lvm zap --destroy"},
		{name: "consent, and a serial number with a blank in it", prepare: command("mkfs.ext4", "-q"), lsblk: "''", serial: "osd 01", consent: "yes", says: "asked: lvm zap --destroy"},
		{name: "consent, and in use", prepare: command("mkfs.ext4", "-q"), lsblk: "/srv", serial: "osd 01", consent: "yes", code: 67, says: "is in use: /srv"},
		{name: "consent, and an OSD of the cluster on a partition", prepare: scribble, lsblk: "'' /dev/mapper/ceph--1-osd--2", serial: "osd 01", consent: "yes", code: 67, says: "an OSD of this cluster (/dev/mapper/ceph--1-osd--2)"},
		{name: "consent, and an OSD of another cluster", prepare: scribble, lsblk: "'' /dev/mapper/ceph--3-osd--4", serial: "osd 01", consent: "yes", says: "asked: lvm zap --destroy"},
		{name: "another disk", serial: "osd-01", code: 66, says: "not osd-01"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			dev := loop(t, filepath.Join(dir, "disk"), 64*mib)
			if tc.prepare != nil {
				tc.prepare(t, dev)
			}
			tools := map[string]string{"ceph-volume": "echo asked: \"$@\"", "chown": "", "install": "for last; do :; done; mkdir -p \"$last\"", "systemctl": "",
				"lvs": "echo '  /dev/mapper/ceph--1-osd--2 ceph.cluster_fsid=f-1,ceph.type=db'; echo '  /dev/mapper/ceph--3-osd--4 ceph.cluster_fsid=f-2,ceph.type=block'"}
			if tc.lsblk != "" {
				tools["lsblk"] = "set -- \"$*\" " + tc.lsblk + "\ncase \"$1\" in *SERIAL*) echo 'osd 01 ' ;; *MOUNTPOINT*) echo; echo \"$2\" ;; *) echo " + dev + "; echo \"$3\" ;; esac"
			}
			for name, text := range tools {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			serial, consent := tc.serial, tc.consent
			if serial == "" {
				serial = "-"
			}
			if consent == "" {
				consent = "no"
			}
			c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc",
				`mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /etc/ceph; echo "fsid = f-1" >/etc/ceph/ceph.conf; PATH=$1:$PATH; shift; exec sh -euc "$@"`, "box", dir, osdScript, "osd", dev, serial, "no", consent)
			c.Stdin = strings.NewReader("[client.bootstrap-osd]\n")
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			err := c.Run()
			var exit *exec.ExitError
			code := 0
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tc.code || !strings.Contains(out.String(), tc.says) {
				t.Errorf("exit %d, want %d and %q:\n%s", code, tc.code, tc.says, out.String())
			}
			if code != 0 && strings.Contains(out.String(), "asked:") {
				t.Errorf("ceph-volume was run:\n%s", out.String())
			}
		})
	}
}

// loop is a loop device of so many bytes.
func loop(t *testing.T, file string, size int64) string {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

// command runs a program on the device.
func command(argv ...string) func(*testing.T, string) {
	return func(t *testing.T, dev string) {
		t.Helper()
		if out, err := exec.Command(argv[0], append(argv[1:], dev)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
}

// scribble leaves bytes that no tool has a name for.
func scribble(t *testing.T, dev string) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("kept"), 70000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
