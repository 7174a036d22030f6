package fleet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// agent speaks as nubo-agent does (cmd/nubo-agent/slot.go) and keeps its slots in files. While "hold" is there, a writing does not end; "fail" breaks it.
const agent = `#!/bin/sh
set -eu
cd /var/lib/nubo/slots
verb=$2
shift 2
echo "$verb $*" >>log
slot= deadline=
while [ $# -gt 0 ]; do
  case $1 in --slot) slot=$2 ;; esac
  shift 2
done
case $verb in
write)
  read -r image config
  if [ ! -e "$slot" ] || [ "$(cat "$slot")" != "$image $config" ]; then
  rm -f "$slot"
  echo "begins" >>log
  echo '{"step":"fetch","done":1,"total":2}' >&2
  while [ -e hold ]; do sleep 0.1; done
  if [ -e fail ]; then echo "fetch chunk: digest is wrong" >&2; exit 1; fi
  echo "$image $config" >"$slot"
  fi ;;
try) [ -e "$slot" ] || { echo "slot $slot is empty" >&2; exit 3; }; echo "$slot" >next ;;
good) cp booted default ;;
cancel) : >next ;;
esac
one() {
  state=writing image= config=
  if [ -e "$1" ]; then read -r image config <"$1"; state=written; fi
  printf '{"name":"%s","image":"%s","config":"%s","order":"","state":"%s"}' "$1" "$image" "$config" "$state"
}
printf '{"format_version":1,"booted":"%s","default_slot":"%s","next_slot":"%s","slots":[%s,%s]}\n' "$(cat booted)" "$(cat default)" "$(cat next)" "$(one a)" "$(one b)"
`

// reboot does what GRUB does: the slot that is to be booted once, otherwise the default.
const reboot = `#!/bin/sh
cd /var/lib/nubo/slots
if [ -s next ]; then cp next booted; : >next; else cp default booted; fi
echo reboot >>log
`

// slotHost is a host whose slots are files.
type slotHost struct {
	box   *hosttest.Box
	node  model.Node
	slots *fleet.Slots
	links *fleet.Links
}

func newSlotHost(t *testing.T) *slotHost {
	if testing.Short() {
		t.Skip("a host in namespaces of its own")
	}
	h := &slotHost{box: hosttest.New(t), node: model.Node{Path: "lab/r1/az1/a/blade-01", Name: "blade-01",
		Image: model.ImageRef{Name: "debian-13", Digest: model.DigestBytes([]byte("new"))}, Config: model.DigestBytes([]byte("config"))}}
	files := map[string]string{"nubo-lib/nubo-agent": agent, "nubo-lib/reboot": reboot, "nubo/slots/booted": "a\n", "nubo/slots/default": "a\n", "nubo/slots/next": "",
		"nubo/slots/a": string(model.DigestBytes([]byte("old"))) + " " + string(h.node.Config) + "\n"}
	if err := os.Mkdir(filepath.Join(h.box.Dir, "nubo", "slots"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(h.box.Dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.slots, h.links = h.driver(t, 7)
	return h
}

// driver is a process of nuboctl.
func (h *slotHost) driver(t *testing.T, epoch int64) (*fleet.Slots, *fleet.Links) {
	links := fleet.NewLinks(func(context.Context, model.Node) (remote.Target, error) { return h.box.Target(), nil })
	t.Cleanup(func() { _ = links.Close() })
	return &fleet.Slots{Links: links, Epoch: epoch, Order: order}, links
}

// order is no real one: what the agent of this test understands.
func order(_ context.Context, n model.Node, spec model.Digest, report func(string, int64, int64)) ([]byte, string, error) {
	if spec != facts.HostSpec(n.Image.Digest, n.Config) {
		return nil, "", errors.New("not what the node wants")
	}
	report("image to the relay", 1, 1)
	return []byte(string(n.Image.Digest) + " " + string(n.Config) + "\n"), "http://192.0.2.1:8080", nil
}

func (h *slotHost) Slots() ops.Slots { return h.slots }
func (h *slotHost) Node() model.Node { return h.node }

// Runs is what the booted slot holds.
func (h *slotHost) Runs(t *testing.T) model.Digest {
	words := strings.Fields(h.box.Must(t, "sh", "-c", "cd /var/lib/nubo/slots; cat $(cat booted)"))
	return facts.HostSpec(model.Digest(words[0]), model.Digest(words[1]))
}

func (h *slotHost) file(t *testing.T, name string, there bool) {
	t.Helper()
	path := filepath.Join(h.box.Dir, "nubo", "slots", name)
	var err error
	if there {
		err = os.WriteFile(path, nil, 0o644)
	} else {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (h *slotHost) log(t *testing.T) string {
	return h.box.Must(t, "cat", "/var/lib/nubo/slots/log")
}

func TestSlots(t *testing.T) {
	h := newSlotHost(t)
	opstest.Slots(t, h)
	want := "write --slot b --relay http://192.0.2.1:8080 --rate-limit 50 --epoch 7"
	if log := h.log(t); strings.Count(log, "write ") != 1 || !strings.Contains(log, want) || !strings.Contains(log, "try --slot b --deadline 30m0s --epoch 7") {
		t.Errorf("the agent was asked:\n%s", log)
	}
}

// TestSlotWriteGoesOn: the writing goes on without its connection and without nuboctl, and is found again; something else takes its place.
func TestSlotWriteGoesOn(t *testing.T) {
	h := newSlotHost(t)
	spec := facts.HostSpec(h.node.Image.Digest, h.node.Config)
	h.file(t, "hold", true)
	begun := make(chan bool)
	once := sync.OnceFunc(func() { close(begun) })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		left <- h.slots.Write(ctx, h.node, spec, func(p plan.Progress) {
			if p.Text == "fetch" {
				once()
			}
		})
	}()
	<-begun
	h.links.To(h.node).Drop() // the connection breaks
	other, _ := h.driver(t, 7)
	joined := make(chan error, 1)
	go func() { joined <- other.Write(t.Context(), h.node, spec, func(plan.Progress) {}) }()
	cancel() // and the first process ends
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	if st, err := h.slots.State(t.Context(), h.node); err != nil || st.Idle != "" {
		t.Errorf("a slot that is being written holds %+v, %v", st, err)
	}
	if err := h.slots.BootOnce(t.Context(), h.node); err == nil || !strings.Contains(err.Error(), "nothing complete") {
		t.Errorf("it is booted: %v", err)
	}
	h.file(t, "hold", false)
	if err := <-joined; err != nil {
		t.Errorf("the second: %v", err)
	}
	if log := h.log(t); strings.Count(log, "begins") != 1 {
		t.Errorf("it was written more than once:\n%s", log)
	}
	t.Run("something else takes its place", func(t *testing.T) {
		h.file(t, "hold", true)
		newer := h.node
		newer.Config = model.DigestBytes([]byte("newer"))
		go func() {
			left <- h.slots.Write(t.Context(), newer, facts.HostSpec(newer.Image.Digest, newer.Config), func(plan.Progress) {})
		}()
		remotetest.Eventually(t.Context(), t, "the writing has begun", func() bool { return strings.Count(h.log(t), "begins") == 2 })
		newest := h.node
		newest.Config = model.DigestBytes([]byte("newest"))
		go func() {
			joined <- other.Write(t.Context(), newest, facts.HostSpec(newest.Image.Digest, newest.Config), func(plan.Progress) {})
		}()
		remotetest.Eventually(t.Context(), t, "the other writing has begun", func() bool { return strings.Count(h.log(t), "begins") == 3 })
		h.file(t, "hold", false)
		if err := <-joined; err != nil {
			t.Error(err)
		}
		if err := <-left; err == nil {
			t.Error("what was replaced is taken for done")
		}
		if st, err := other.State(t.Context(), h.node); err != nil || st.Idle != facts.HostSpec(newest.Image.Digest, newest.Config) {
			t.Errorf("the slot holds %+v, %v", st, err)
		}
	})
}

// TestSilentSystemdHasEndedNothing: a service manager that does not answer, as while it runs itself anew, has not said that a writing ended.
func TestSilentSystemdHasEndedNothing(t *testing.T) {
	h := newSlotHost(t)
	h.file(t, "hold", true)
	spec := facts.HostSpec(h.node.Image.Digest, h.node.Config)
	begun, left := make(chan bool), make(chan error, 1)
	once := sync.OnceFunc(func() { close(begun) })
	go func() {
		left <- h.slots.Write(t.Context(), h.node, spec, func(p plan.Progress) {
			if p.Text == "fetch" {
				once()
			}
		})
	}()
	<-begun
	systemctl := filepath.Join(h.box.Dir, "systemctl")
	speaks, err := os.ReadFile(systemctl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(systemctl, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	other, _ := h.driver(t, 7)
	err = other.Write(t.Context(), h.node, spec, func(plan.Progress) {})
	if err == nil || !strings.Contains(err.Error(), "systemd does not say") {
		t.Errorf("beginning: %v", err)
	}
	if err := <-left; err == nil || !strings.Contains(err.Error(), "systemd does not say") {
		t.Errorf("following: %v", err)
	}
	if err := os.WriteFile(systemctl, speaks, 0o755); err != nil {
		t.Fatal(err)
	}
	h.file(t, "hold", false)
	if err := other.Write(t.Context(), h.node, spec, func(plan.Progress) {}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if log := h.log(t); strings.Count(log, "begins") != 1 {
		t.Errorf("it was written more than once:\n%s", log)
	}
}

func TestSlotWriteFails(t *testing.T) {
	h := newSlotHost(t)
	h.file(t, "fail", true)
	err := h.slots.Write(t.Context(), h.node, facts.HostSpec(h.node.Image.Digest, h.node.Config), func(plan.Progress) {})
	if !errors.Is(err, slot.ErrWrite) || !strings.Contains(err.Error(), "digest is wrong") {
		t.Errorf("got %v", err)
	}
	if st, err := h.slots.State(t.Context(), h.node); err != nil || st.Idle != "" {
		t.Errorf("the slot holds %+v, %v", st, err)
	}
	h.file(t, "fail", false)
	older, _ := h.driver(t, 6)
	for what, err := range map[string]error{
		"write": older.Write(t.Context(), h.node, facts.HostSpec(h.node.Image.Digest, h.node.Config), func(plan.Progress) {}), "commit": older.Commit(t.Context(), h.node),
	} {
		if !errors.Is(err, remote.ErrFenced) {
			t.Errorf("%s under an older epoch: %v", what, err)
		}
	}
	began := time.Now()
	if err := h.slots.Write(t.Context(), h.node, facts.HostSpec(h.node.Image.Digest, h.node.Config), func(plan.Progress) {}); err != nil {
		t.Errorf("again, after %s: %v", time.Since(began), err)
	}
}
