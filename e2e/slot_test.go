//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/order"
)

const agent = "/usr/lib/nubo/nubo-agent slot "

// slotStatus is what the agent prints about the slots.
type slotStatus struct {
	Booted  string `json:"booted"`
	Default string `json:"default_slot"`
	Next    string `json:"next_slot"`
	Slots   []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"slots"`
}

func (s slotStatus) state(name string) string {
	for _, one := range s.Slots {
		if one.Name == name {
			return one.State
		}
	}
	return ""
}

func (h host) slots(t *testing.T, verb string) slotStatus {
	t.Helper()
	var s slotStatus
	text := h.ssh(t, agent+verb)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("slot %s: %v: %s", verb, err, text)
	}
	return s
}

// slots writes the idle slot of a running host, sees the host come back from a broken one by itself, and then changes over for good.
func slots(t *testing.T, h host) {
	if s := h.slots(t, "status"); s.Booted != "a" || s.Default != "a" || s.state("b") != "empty" {
		t.Fatalf("after the install the slots are %+v", s)
	}
	step(t, "write the idle one", func(t *testing.T) { writeIdle(t, h) })
	keys := h.hostKeys(t)
	// init starts, cannot run, and the kernel panics; or the initramfs finds nothing to start. A machine that still starts hello does not listen
	// when the next reboot asks it to stop, for minutes.
	step(t, "one that panics falls back", func(t *testing.T) {
		h.fallsBack(t, "mv usr/lib/x86_64-linux-gnu/libc.so.6 libc.away", "Kernel panic", 15*time.Minute)
		h.hasBridge(t)
		h.runsHello(t)
	})
	step(t, "one without an init falls back", func(t *testing.T) {
		h.fallsBack(t, "mv libc.away usr/lib/x86_64-linux-gnu/libc.so.6; mv usr/sbin/init init.away", "nubo: this root has no program /sbin/init", 15*time.Minute)
		h.hasBridge(t)
		h.runsHello(t)
	})
	step(t, "a good one stays", func(t *testing.T) {
		h.inSlotB(t, "mv init.away usr/sbin/init")
		was := h.bootID(t)
		h.slots(t, "try --slot b")
		h.rebootedFrom(rack.Within(t, 15*time.Minute), t, was, "systemctl reboot")
		if s := h.slots(t, "status"); s.Booted != "b" || s.Default != "a" {
			t.Fatalf("the slots are %+v", s)
		}
		if s := h.slots(t, "good"); s.Default != "b" || s.state("b") != "good" {
			t.Errorf("after good the slots are %+v", s)
		}
		h.hasBridge(t)
		h.runsHello(t)
		if now := h.hostKeys(t); now != keys {
			t.Errorf("the host's key was %s and is %s", keys, now)
		}
		h.asPlanned(t)
	})
}

// fallsBack breaks slot b, tries it, and sees the host come back on slot a by itself, after the console has said why.
func (h host) fallsBack(t *testing.T, breakIt, said string, within time.Duration) {
	t.Helper()
	h.inSlotB(t, breakIt)
	was := h.bootID(t)
	if s := h.slots(t, "try --slot b"); s.Next != "b" || s.Default != "a" {
		t.Fatalf("after try the slots are %+v", s)
	}
	began := time.Now()
	h.rebootedFrom(rack.Within(t, within), t, was, "systemctl reboot")
	rack.Figure(t, "fall-back of a broken slot", time.Since(began))
	holds(t, h.Rack.Console(h.name), "nubo: slot b, this once", said)
	if s := h.slots(t, "status"); s.Booted != "a" || s.Default != "a" || s.Next != "" {
		t.Errorf("the slots are %+v", s)
	}
}

// inSlotB runs a command in the idle slot b.
func (h host) inSlotB(t *testing.T, command string) {
	t.Helper()
	h.ssh(t, "set -e; mkdir -p /run/slot-b; mount /dev/disk/by-partlabel/nubo-b /run/slot-b; cd /run/slot-b; "+command+"; cd /; umount /run/slot-b")
}

// writeIdle fills slot b with what the host was installed from, with the relay in the foreground, and looks at the agent's memory.
func writeIdle(t *testing.T, h host) {
	signed, err := json.Marshal(slotOrder(t, h))
	if err != nil {
		t.Fatal(err)
	}
	network := "prov-" + h.Rack.Name + "-uefi"
	boot := h.Begin(t, "boot", network)
	ctx := rack.Within(t, 15*time.Minute)
	rack.Eventually(ctx, t, "nuboctl boot to serve", func() error {
		if run := h.Rack.On(ctx, t, "ws", "curl", "-sf", "http://10.77.0.1:8080/v1/time"); run.Code != 0 {
			return fmt.Errorf("curl: exit %d; it says %s", run.Code, boot.Stderr())
		}
		return nil
	})
	began := time.Now()
	run := h.BeginWith(t, bytes.NewReader(signed), "ssh", h.name, watched(agent+"write --slot b --relay http://10.77.0.1:8080")).Wait(ctx, t)
	if run.Code != 0 {
		t.Fatalf("slot write: exit %d\n%s", run.Code, run.All())
	}
	rack.Figure(t, "slot write", time.Since(began))
	agentMemory(t, run.Stdout)
	if s := h.slots(t, "status"); s.state("b") != "written" || s.Default != "a" || s.Next != "" {
		t.Errorf("after the write the slots are %+v", s)
	}
	boot.Interrupt()
	if run := boot.Wait(rack.Within(t, oneCommand), t); run.Code != 0 && run.Code != 130 {
		t.Errorf("boot after Ctrl-C: exit %d\n%s", run.Code, run.All())
	}
}

// watched prints the largest memory that the agent's processes took, by the kernel's count, after what the command prints. The agent starts
// itself again under another name, so they are found by their arguments.
func watched(command string) string {
	return command + ` <&0 &
pid=$!
most=0
while kill -0 $pid 2>/dev/null; do
	for p in $(pgrep -f "slot write --slot"); do
		have=$(awk '/^VmHWM/{print $2}' /proc/$p/status 2>/dev/null)
		[ "${have:-0}" -le $most ] || most=$have
	done
	sleep 0.5
done
wait $pid
code=$?
echo "VmHWM $most"
exit $code`
}

func agentMemory(t *testing.T, printed string) {
	t.Helper()
	_, text, _ := strings.Cut(printed, "VmHWM ")
	kib, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || kib == 0 {
		t.Errorf("no memory was measured: %s", printed)
		return
	}
	rack.SizeFigure(t, "agent memory while writing", kib<<10)
	if kib<<10 > 100e6 {
		t.Errorf("the agent took %d KiB while writing an image, at most 100 MB are allowed", kib)
	}
}

// slotOrder is the order of the host's install, made one for its idle slot and signed again with the cloud's key.
func slotOrder(t *testing.T, h host) order.Signed {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.State, "keys", "sign.key"))
	if err != nil {
		t.Fatal(err)
	}
	var key minisign.PrivateKey
	if err := key.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	o, err := order.Open(signedOrder(t, h), key.Public().(minisign.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	o.Goal = order.Slot
	signed, err := order.Sign(o, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// signedOrder is the order of the host's install, as the relay in the workstation keeps it.
func signedOrder(t *testing.T, h host) order.Signed {
	t.Helper()
	books, err := filepath.Glob(filepath.Join(h.State, "relay", "*", "orders", h.name+"-*.json"))
	if err != nil || len(books) != 1 {
		t.Fatalf("the relay's order book has %d orders for %s (%v)", len(books), h.name, err)
	}
	text, err := os.ReadFile(books[0])
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		Signed order.Signed `json:"signed"`
	}
	if err := json.Unmarshal(text, &entry); err != nil {
		t.Fatal(err)
	}
	return entry.Signed
}
