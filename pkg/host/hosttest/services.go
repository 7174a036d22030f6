package hosttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// request asks the service manager of the test (type services), and prints and returns what it answers.
const request = `request() {
  file=$$.$(date +%N)
  line=$file
  for word; do line="$line	$(printf '%s' "$word" | base64 -w 0)"; done
  printf '%s\n' "$line" >"DIR/init/requests"
  until [ -e "DIR/init/$file" ]; do sleep 0.02; done
  read -r status <"DIR/init/$file"
  tail -n +2 "DIR/init/$file"
  rm -f "DIR/init/$file"
  return "$status"
}
`

// systemdRun stands for systemd-run, since nothing boots in a namespace: it takes --unit, and runs the command as a service; with --on-active it
// runs it when the time is up unless systemctl stops the unit.
const systemdRun = `#!/bin/sh
set -eu
` + request + `
[ ! -e /run/no-timers ] || exit 1
wait=
for word; do
  case $word in
  --on-active=*) wait=${word#*=} ;;
  --unit=*) unit=${word#*=} ;;
  --*) ;;
  *) break ;;
  esac
  shift
done
if [ -z "$wait" ]; then
  request run "${unit%.service}.service" "$@"
  exit
fi
( exec >/dev/null 2>&1 </dev/null; trap 'kill $!; exit 0' TERM; sleep "${wait%s}" & wait $!; "$@" ) &
echo $! >"/run/$unit.timer"
`

// systemctl knows how to stop such units, whether they run, and the services that a test has named (Box.Service); and it starts and stops libvirtd, which listens for TLS once its socket was
// started, where the socket's drop-in says.
const systemctl = `#!/bin/sh
` + request + `
libvirtd() {
  listen=
  if [ -e /run/libvirtd-tls ]; then
    listen=--listen
    address=$(sed -n 's/^ListenStream=\(.*\):16514$/\1/p' /etc/systemd/system/libvirtd-tls.socket.d/*.conf)
    sed -i '/^listen_/d' /etc/libvirt/libvirtd.conf
    printf 'listen_tls = 1\nlisten_tcp = 0\nlisten_addr = "%s"\n' "$address" >>/etc/libvirt/libvirtd.conf
  fi
  /usr/sbin/libvirtd --daemon --pid-file /run/libvirtd.pid --config /etc/libvirt/libvirtd.conf $listen >/dev/null
}
stop() {
  pid=$(cat /run/libvirtd.pid) || return 0
  kill "$pid"
  tail --pid="$pid" -f /dev/null
}
case "$*" in
"stop libvirtd.service") stop ;;
"restart libvirtd.service") stop; libvirtd ;;
"restart libvirtd-tls.socket") : >/run/libvirtd-tls ;;
"is-active libvirtd-tls.socket") [ -e /run/libvirtd-tls ] && echo active ;;
"start "*libvirtd.service) libvirtd ;;
reboot) /usr/lib/nubo/reboot ;; # a test says what that is
"daemon-reload" | "enable "* | "reset-failed "*) ;;
"list-units "*) shift; for word; do case $word in --*) shift ;; *) break ;; esac; done; request list "$@" ;;
"start "*) for word; do case $word in start | --*) ;; *) request start "$word" || exit ;; esac; done ;;
"stop "*.service) for word; do case $word in stop) ;; *) request stop "$word" ;; esac; done ;;
"is-active --quiet "*.service) request is-active "$3" >/dev/null ;;
"is-active "*.service) request is-active "$2" ;;
"stop "*) [ -e "/run/$2" ] && kill "$(cat "/run/$2")" && rm "/run/$2" ;;
"is-active "*) [ -e "/run/$3" ] && kill -0 "$(cat "/run/$3")" ;;
*) exit 1 ;;
esac 2>/dev/null
`

func (b *Box) stubSystemd(t testing.TB) {
	t.Helper()
	for name, text := range map[string]string{"systemd-run": systemdRun, "systemctl": systemctl} {
		if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(strings.ReplaceAll(text, "DIR", b.Dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.serveSystemd(t)
}

// addAccounts gives the host the accounts that libvirtd looks up at its start; the package that makes them would start services.
func (b *Box) addAccounts(t testing.TB) {
	t.Helper()
	for name, lines := range map[string]string{
		"passwd": "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n", "group": "libvirt-qemu:x:64055:\nkvm:x:64056:\n",
	} {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			t.Fatal(err)
		}
		// The first entry of a name counts, so what the machine has already stays in force.
		if err := os.WriteFile(filepath.Join(b.Dir, name), append(text, lines...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startOVS runs the two daemons as ovs-ctl does, with the user-space datapath only.
func (b *Box) startOVS(t testing.TB) {
	t.Helper()
	db := filepath.Join(b.Dir, "ovs", "conf.db")
	if out, err := exec.Command("ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema").CombinedOutput(); err != nil {
		t.Fatalf("ovsdb-tool: %v: %s; install the Debian package openvswitch-switch (no service needs to run)", err, out)
	}
	b.Daemon(t, "ovsdb-server", db, "--remote=punix:/run/openvswitch/db.sock", "--unixctl=/run/openvswitch/ovsdb.ctl")
	b.await(t, "ovsdb-server answers", "ovs-vsctl", "--timeout=5", "--no-wait", "init")
	b.Must(t, "ovs-vsctl", "--timeout=60", "--no-wait", "set", "Open_vSwitch", ".", "external_ids:system-id=box", "ovs_version=3.1.0")
	b.Daemon(t, "ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--disable-system", "--unixctl=/run/openvswitch/vswitchd.ctl")
	b.await(t, "ovs-vswitchd answers", "ovs-appctl", "-t", "/run/openvswitch/vswitchd.ctl", "version")
}

// awaitLimit is for a busy machine: electing monitors, and managers that load their modules, take a minute there.
const awaitLimit = 5 * time.Minute

// await runs a command on the host until it succeeds.
func (b *Box) await(t testing.TB, what string, argv ...string) {
	t.Helper()
	full := append(b.enter(), argv...)
	remotetest.Within(t.Context(), t, awaitLimit, what, func() bool {
		return exec.CommandContext(t.Context(), full[0], full[1:]...).Run() == nil
	})
}

// BreakTimers makes systemd-run fail from now on.
func (b *Box) BreakTimers(t testing.TB) {
	t.Helper()
	b.Must(t, "touch", "/run/no-timers")
	t.Cleanup(func() { b.Must(t, "rm", "/run/no-timers") })
}

// StartLibvirt runs libvirtd with QEMU as root and without confinement, which its namespaces replace here.
func (b *Box) StartLibvirt(t testing.TB) {
	t.Helper()
	id := strings.TrimSpace(b.Must(t, "cat", "/proc/sys/kernel/random/uuid"))
	log := filepath.Join(b.Dir, "libvirtd.log")
	for name, text := range map[string]string{
		"libvirtd.conf": fmt.Sprintf("auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\nhost_uuid = %q\nlog_outputs = \"3:file:%s\"\n", id, log),
		"qemu.conf":     QEMUConf,
	} {
		if err := os.WriteFile(filepath.Join(b.Dir, "libvirt-etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.Must(t, "systemctl", "start", "libvirtd.service")
	t.Cleanup(func() {
		b.Must(t, "sh", "-c", "virsh list --name | xargs -r -n 1 virsh destroy >/dev/null; systemctl stop libvirtd.service")
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("libvirtd:\n%s", text)
		}
	})
	b.await(t, "libvirtd answers", "virsh", "--connect", "qemu:///system", "version")
}

// QEMUConf is what libvirt must know of QEMU to run it in a box.
const QEMUConf = "security_driver = \"none\"\nuser = \"root\"\ngroup = \"root\"\nstdio_handler = \"file\"\nnamespaces = []\ncgroup_controllers = []\n"
