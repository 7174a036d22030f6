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

// releases are hosts with a monitor's data on which one release ran, and another is in the slot.
var releases = []struct {
	name    string
	last    string // what ran last; empty: not known
	now     string
	cmdline string
	def     string // the default slot; b is booted
	good    bool   // declared good by whoever starts them
	code    int    // 0: they are started
	boot    int    // the same at boot, where nobody is there to declare anything
}{
	{name: "the same release", last: "18", now: "18.2.7", cmdline: "nubo.slot=b", def: "b"},
	{name: "the same release on trial", last: "18", now: "18.2.7", cmdline: "nubo.slot=b nubo.try=900", def: "a"},
	{name: "a newer one on trial", last: "16", now: "18.2.7", cmdline: "nubo.slot=b nubo.try=900", def: "a", code: held, boot: held},
	{name: "a newer one, declared good now", last: "16", now: "18.2.7", cmdline: "nubo.slot=b nubo.try=900", def: "a", good: true, boot: held},
	{name: "a newer one, declared good before", last: "16", now: "18.2.7", cmdline: "nubo.slot=b nubo.try=900", def: "b"},
	{name: "a newer one, booted for good", last: "16", now: "18.2.7", cmdline: "nubo.slot=b", def: "b"},
	{name: "nobody knows which, on trial", now: "18.2.7", cmdline: "nubo.slot=b nubo.try=900", def: "a", code: held, boot: held},
	{name: "nobody knows which", now: "18.2.7", cmdline: "nubo.slot=b", def: "b"},
	{name: "an older one", last: "18", now: "16.2.15", cmdline: "nubo.slot=a", def: "a", good: true, code: 76, boot: 1},
}

// TestNewerReleaseWaitsForGood runs what starts the daemons, by nuboctl and at boot, on a host of files. It needs root.
func TestNewerReleaseWaitsForGood(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a mount namespace: run it as root")
	}
	boot := bootScript(t)
	for _, tc := range releases {
		t.Run(tc.name, func(t *testing.T) {
			word := ""
			if tc.good {
				word = "good"
			}
			started, last, code := runStart(t, startScript, tc.last, tc.now, tc.cmdline, tc.def, word)
			if code != tc.code || started != (tc.code == 0) || (started && last != strings.Split(tc.now, ".")[0]) || (!started && last != tc.last) {
				t.Errorf("exit %d, started %v, on record is %q", code, started, last)
			}
			want := tc.boot
			if want == held {
				want = 0 // it waits, and nothing has failed
			}
			started, _, code = runStart(t, boot, tc.last, tc.now, tc.cmdline, tc.def, "")
			if code != want || started != (tc.boot == 0) {
				t.Errorf("at boot: exit %d, started %v", code, started)
			}
		})
	}
}

// TestActivatesWhatIsClosed runs ceph-volume only when an OSD of the host's disks has no directory yet, and starts all OSDs in any case.
func TestActivatesWhatIsClosed(t *testing.T) {
	for open, want := range map[string]bool{"": true, "3": true, "3 14": false} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"ceph-osd": "echo 'ceph version 18.2.7 (0) reef (stable)'", "systemctl": "echo \"$@\" >>" + dir + "/asked",
			"lvs":         "echo '  ceph.cluster_name=ceph,ceph.osd_id=3,ceph.type=block'; echo; echo '  ceph.osd_id=14,ceph.type=block'",
			"ceph-volume": "echo ceph-volume \"$@\" >>" + dir + "/asked; for id in 3 14; do mkdir -p /var/lib/ceph/osd/ceph-$id; : >/var/lib/ceph/osd/ceph-$id/keyring; done",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", `
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/nubo /var/lib/ceph
for id in $2; do mkdir -p "/var/lib/ceph/osd/ceph-$id"; : >"/var/lib/ceph/osd/ceph-$id/keyring"; done
PATH=$1:$PATH
sh -euc "$3" start`, "box", dir, open, startScript).CombinedOutput()
		if err != nil {
			t.Fatalf("open %q: %v\n%s", open, err, out)
		}
		asked, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(asked), "ceph-volume lvm activate --all"); got != want {
			t.Errorf("open %q: ceph-volume was run: %v\n%s", open, got, asked)
		}
		for _, unit := range []string{"ceph-osd@3.service", "ceph-osd@14.service"} {
			if !strings.Contains(string(asked), "start --no-block "+unit) {
				t.Errorf("open %q: %s was not started\n%s", open, unit, asked)
			}
		}
	}
}

// bootScript is what a host's profile lays down for its boot.
func bootScript(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../profile/ceph.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "const cephScript = `")
	script, _, ok := strings.Cut(rest, "`")
	if !ok {
		t.Fatal("package profile has no script that starts Ceph at boot")
	}
	return script
}

// runStart runs a script, and tells whether it started the monitor and what release is on record.
func runStart(t *testing.T, script, last, now, cmdline, def, word string) (started bool, kept string, code int) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ceph-osd": "echo 'ceph version " + now + " (0) some (stable)'", "systemctl": "echo \"$@\" >>" + dir + "/asked", "lvs": "",
		"nubo-agent": `echo '{"format_version":1,"booted":"b","default_slot":"` + def + `","next_slot":""}'`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(cmdline+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", `
mount -t tmpfs tmpfs /var/lib
mount --bind "$1/cmdline" /proc/cmdline
mkdir -p /usr/lib/nubo /var/lib/nubo /var/lib/ceph/mon/ceph-blade-01
mount --bind "$1" /usr/lib/nubo
: >/var/lib/ceph/mon/ceph-blade-01/keyring
[ -z "$2" ] || echo "$2" >/var/lib/nubo/ceph-release
PATH=$1:$PATH
code=0
sh -euc "$3" start $4 || code=$?
cat /var/lib/nubo/ceph-release >"$1/kept" 2>/dev/null || :
exit $code`, "box", dir, last, script, word)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	asked, _ := os.ReadFile(filepath.Join(dir, "asked"))
	text, _ := os.ReadFile(filepath.Join(dir, "kept"))
	t.Logf("%s", out.String())
	return strings.Contains(string(asked), "ceph-mon@blade-01.service"), strings.TrimSpace(string(text)), code
}
