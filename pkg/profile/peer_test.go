package profile

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vincent-petithory/dataurl"
)

// content is a file of a rendered host.
func content(t *testing.T, in Input, path string) string {
	t.Helper()
	_, c := mustRender(t, in)
	for _, f := range c.Storage.Files {
		if f.Path == path {
			u, err := dataurl.DecodeString(*f.Contents.Source)
			if err != nil {
				t.Fatal(err)
			}
			return string(u.Data)
		}
	}
	t.Fatalf("there is no file %s", path)
	return ""
}

// need skips where a program of the host packages is missing: CI installs them.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: run e2e/host-packages", p)
		}
	}
}

// vswitch starts Open vSwitch's own database, without the switch, and gives a directory of programs for the script's PATH.
func vswitch(t *testing.T) func(name string, args ...string) string {
	t.Helper()
	need(t, "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	for name, text := range map[string]string{
		"ovs-vsctl": "#!/bin/sh\nexec " + mustLook(t, "ovs-vsctl") + " --no-wait \"$@\"\n", // there is no switch to wait for
		"udevadm":   "#!/bin/sh\n", "ip": "#!/bin/sh\necho ip \"$@\" >&2\n",
	} {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "OVS_RUNDIR="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
	run := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	db := filepath.Join(dir, "conf.db")
	run("ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema")
	server := exec.Command("ovsdb-server", db, "--remote=punix:"+filepath.Join(dir, "db.sock"), "--unixctl=none", "--no-chdir")
	server.Env = env
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	waitFor(t, "ovsdb-server's socket", func() bool { _, err := os.Stat(filepath.Join(dir, "db.sock")); return err == nil })
	run(filepath.Join(bin, "ovs-vsctl"), "init")
	return func(name string, args ...string) string {
		if name == "ovs-vsctl" {
			name = filepath.Join(bin, name)
		}
		return run(name, args...)
	}
}

func mustLook(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func waitFor(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func script(t *testing.T, in Input) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "network")
	if err := os.WriteFile(name, []byte(content(t, in, "/usr/lib/nubo/network")), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// The script makes the bridges in Open vSwitch's own database, changes nothing when it runs again, leaves a virtual machine's port alone, and
// removes what it made once the inventory no longer wants it.
func TestNetworkScript(t *testing.T) {
	run := vswitch(t)
	in := bonded("")
	run("sh", script(t, in))
	if got := strings.Fields(run("ovs-vsctl", "list-ports", "br-ex")); strings.Join(got, " ") != "bond0 stor0" {
		t.Errorf("ports %v", got)
	}
	for _, q := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "Bridge", "br-ex", "other-config:hwaddr"}, `"52:54:00:77:00:01"`},
		{[]string{"get", "Port", "bond0", "bond_mode"}, "active-backup"},
		{[]string{"get", "Port", "stor0", "tag"}, "101"},
		{[]string{"get", "Interface", "stor0", "type"}, "internal"},
		{[]string{"get", "Interface", "stor0", "mtu_request"}, "9000"},
		{[]string{"get", "Interface", "lan1", "mtu_request"}, "9000"},
	} {
		if got := strings.TrimSpace(run("ovs-vsctl", q.args...)); got != q.want {
			t.Errorf("%v: %s, want %s", q.args, got, q.want)
		}
	}
	run("ovs-vsctl", "add-port", "br-ex", "vnet0")
	before := run("ovs-vsctl", "show")
	run("sh", script(t, in))
	if after := run("ovs-vsctl", "show"); after != before {
		t.Errorf("a second run changed\n%s\nto\n%s", before, after)
	}
	in.Desired.Profiles[0].Bridges[0].VLANs = nil
	in.Node.Ports = nil
	run("sh", script(t, in))
	if got := strings.Fields(run("ovs-vsctl", "list-ports", "br-ex")); strings.Join(got, " ") != "bond0 vnet0" {
		t.Errorf("ports after a vlan was removed: %v", got)
	}
}

// sshd itself reads the file, and lets root in by certificate only.
func TestSSHDAccess(t *testing.T) {
	need(t, "sshd", "ssh-keygen")
	if os.Geteuid() == 0 { // sshd's privilege separation directory, made at boot by its service
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "host")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ours := filepath.Join(dir, "20-nubo-access.conf")
	whole := filepath.Join(dir, "sshd_config")
	for name, text := range map[string]string{
		ours:  content(t, bonded(""), "/etc/ssh/sshd_config.d/20-nubo-access.conf"),
		whole: "HostKey " + key + "\nInclude " + ours + "\nPasswordAuthentication yes\nX11Forwarding yes\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(user string) string {
		out, err := exec.Command(mustLook(t, "sshd"), "-T", "-f", whole, "-C", "user="+user+",host=h,addr=10.0.0.1").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	root, other := ask("root"), ask("ops")
	for _, want := range []string{"authorizedkeysfile none\n", "passwordauthentication no\n", "permitrootlogin without-password\n", "trustedusercakeys /etc/ssh/nubo_user_ca.pub\n",
		"authorizedprincipalsfile /etc/ssh/nubo_principals/%u\n", "x11forwarding no\n", "allowstreamlocalforwarding yes\n"} {
		if !strings.Contains(root, want) {
			t.Errorf("sshd does not say %q for root", want)
		}
	}
	if strings.Contains(other, "authorizedkeysfile none") {
		t.Error("other users' keys are off too")
	}
}

// systemd's own checker has no complaint about the unit.
func TestNetworkUnit(t *testing.T) {
	need(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "nubo-network.service")
	text := strings.NewReplacer("/usr/lib/nubo/network", "/bin/true").Replace(networkUnit)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", unit).CombinedOutput()
	for _, l := range strings.Split(string(out), "\n") {
		if strings.Contains(l, "nubo-network.service:") && !strings.Contains(l, "not found") {
			t.Error(l)
		}
	}
}
