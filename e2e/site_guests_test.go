//go:build e2e && e2elong

package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// stream writes random bytes to a guest's disk through its card (images/guest/init), reads them back, and prints how many bytes each second.
const stream = `
import hashlib, os, socket, sys, time
host, size = sys.argv[1], int(sys.argv[2])
data = os.urandom(size)
begun = time.monotonic()
with socket.create_connection((host, 5001)) as s:
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    told = s.makefile().read().strip()
written = time.monotonic()
assert told == str(size), f"the guest wrote {told!r} bytes"
got = hashlib.sha256()
with socket.create_connection((host, 5002)) as s, s.makefile("rb") as f:
    got.update(f.read(size))
assert got.digest() == hashlib.sha256(data).digest(), "what is read is not what was written"
print(f"{size / (written - begun):.0f} {size / (time.monotonic() - written):.0f}")
`

func (s site) streams(t *testing.T) {
	const size = 16 << 20
	for _, g := range guests {
		rack.Eventually(rack.Within(t, 15*time.Minute), t, g.name+" to take bytes for its disk", func() error { // it looks at its disks after its card is up
			if run := s.Rack.On(t.Context(), t, "ws", "bash", "-c", "exec 3<>/dev/tcp/"+g.address+"/5001"); run.Code != 0 {
				return errors.New(run.All())
			}
			return nil
		})
		out := s.Rack.Must(rack.Within(t, 30*time.Minute), t, "ws", "python3", "-c", stream, g.address, fmt.Sprint(size))
		var write, read int64
		if _, err := fmt.Sscan(out, &write, &read); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		rack.SizeFigure(t, "each second from outside to the disk of "+g.name, write)
		rack.SizeFigure(t, "each second from the disk of "+g.name+" to the outside", read)
		used := s.ssh(t, "rbd du --format json vms/"+g.name+`-data | sed 's/.*"used_size":\([0-9]*\).*/\1/'`)
		if n, err := strconv.ParseInt(used, 10, 64); err != nil || n < size {
			t.Errorf("the image of %s holds %q bytes (%v), less than what was written", g.name, used, err)
		}
	}
}

var downtime = regexp.MustCompile(`Total downtime: +([0-9]+)`)

// moves moves a machine by hand to the other blade that has what it boots from, and back, over TLS, while it is asked from outside five times a second.
func (s site) moves(t *testing.T) {
	g := guests[0]
	for _, hop := range []struct{ from, to, address string }{{"blade-01", "blade-02", "10.77.1.12"}, {"blade-02", "blade-01", "10.77.1.11"}} {
		ctx := rack.Within(t, 20*time.Minute)
		asking := s.Rack.Begin(t, "ws", nil, "ping", "-i", "0.2", "-W", "5", g.address)
		began := time.Now()
		s.SSH(ctx, t, hop.from, migrateByHand(g.name, hop.address))
		rack.Figure(t, g.name+" moved from "+hop.from+" to "+hop.to, time.Since(began))
		s.answers(t, g)
		asking.Interrupt()
		t.Logf("asked meanwhile: %s", asking.Wait(ctx, t).Stdout)
		job := s.on(t, hop.to, "virsh domjobinfo --completed "+g.name)
		if m := downtime.FindStringSubmatch(job); m != nil {
			ms, _ := strconv.Atoi(m[1]) // digits
			rack.Figure(t, g.name+" stood still", time.Duration(ms)*time.Millisecond)
		} else {
			t.Errorf("libvirt tells no downtime:\n%s", job)
		}
		if got := strings.Fields(s.on(t, hop.to, "virsh list --name --state-running")); !slices.Contains(got, g.name) {
			t.Errorf("%s runs %q, not %s", hop.to, got, g.name)
		}
		if got := strings.Fields(s.on(t, hop.from, "virsh list --all --name")); slices.Contains(got, g.name) {
			t.Errorf("%s still knows %s", hop.from, g.name)
		}
		s.plans(t, 0, "No changes")
	}
}

// migrateByHand is the command that moves a machine to the host of an address.
func migrateByHand(vm, address string) string {
	return "virsh migrate --live --p2p --tls --persistent --undefinesource " + vm + " qemu+tls://" + address + "/system tcp://" + address
}

// received is how many bytes the switch has sent to a blade: boot files, image, and whatever else.
func (s site) received(t *testing.T, blade string) int64 {
	t.Helper()
	text := s.Rack.Must(rack.Within(t, oneCommand), t, "sw", "cat", "/sys/class/net/"+blade+".0/statistics/tx_bytes")
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
