package slot_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

const printed = `== boot_id
 8f9b6c0e-0000-4000-8000-000000000001
== uptime
 93.51 100.00
== cmdline
 BOOT_IMAGE=/vmlinuz root=PARTUUID=x nubo.slot=a ro nubo.slot=b panic=30
== kernel
 6.12.48+deb13-amd64
== hostname
 blade-01
== machine_id
 0123456789abcdef0123456789abcdef
== os
 PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
 VERSION_ID="13"
 VERSION_CODENAME=trixie
 ID=debian
== image
 {"image":"sha256:aa","config":"sha256:bb","order":"o1","nonce":"n"}
== failed
 ceph-osd@1.service loaded failed failed Ceph object storage daemon
`

func TestParse(t *testing.T) {
	got, err := slot.Parse([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	want := slot.Facts{
		BootID: "8f9b6c0e-0000-4000-8000-000000000001", MachineID: "0123456789abcdef0123456789abcdef", Hostname: "blade-01",
		OS: "debian", Version: "13", Codename: "trixie", Kernel: "6.12.48+deb13-amd64", Uptime: 93510 * time.Millisecond,
		FailedUnits: []string{"ceph-osd@1.service"}, Slot: "b", Image: "sha256:aa", Config: "sha256:bb", Order: "o1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]string{
		"nothing": "", "greeting": "Welcome!\n" + printed, "bad image": strings.Replace(printed, `{"image"`, `{image`, 1),
		"no boot id": strings.Replace(printed, " 8f9b6c0e-0000-4000-8000-000000000001\n", "", 1),
	} {
		if f, err := slot.Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(printed))
	f.Add([]byte("== a\n b\n"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = slot.Parse(raw) })
}

// TestObserve asks the machine that runs the test, over a real SSH connection.
func TestObserve(t *testing.T) {
	client := remotetest.StartSSHD(t).Connect(t)
	got, err := slot.Observe(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || got.BootID != strings.TrimSpace(string(id)) || got.OS == "" || got.Uptime <= 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

const status = `{"format_version":1,"booted":"a","default_slot":"a","next_slot":"","slots":[
 {"name":"a","image":"sha256:aa","config":"sha256:bb","order":"o1","state":"good"},{"name":"b","image":"","config":"","order":"","state":"empty"}]}`

func TestAgentCommands(t *testing.T) {
	host := (&remote.Fake{}).Answer("nubo-agent slot", status)
	agent := slot.Agent{Host: host, Epoch: 7}
	ctx := t.Context()
	got, err := agent.Status(ctx)
	if err != nil || got.Idle() != "b" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if one, ok := got.Slot("a"); !ok || one.Condition != slot.Good || one.Image != "sha256:aa" {
		t.Errorf("slot a is %+v", one)
	}
	for _, call := range []func() (slot.Status, error){
		func() (slot.Status, error) { return agent.Try(ctx, "b", 30*time.Minute) },
		func() (slot.Status, error) { return agent.Good(ctx) },
		func() (slot.Status, error) { return agent.Cancel(ctx) },
	} {
		if _, err := call(); err != nil {
			t.Error(err)
		}
	}
	want := []remote.Call{
		{Line: "/usr/lib/nubo/nubo-agent slot status"},
		{Line: "/usr/lib/nubo/nubo-agent slot try --slot b --deadline 30m0s --epoch 7"},
		{Line: "/usr/lib/nubo/nubo-agent slot good --epoch 7"},
		{Line: "/usr/lib/nubo/nubo-agent slot cancel --epoch 7"},
	}
	if diff := cmp.Diff(want, host.Calls()); diff != "" {
		t.Error(diff)
	}
	if _, err := agent.Try(ctx, "c", 0); err == nil {
		t.Error("slot c was accepted")
	}
}

func TestAgentFaults(t *testing.T) {
	ctx := t.Context()
	refusing := (&remote.Fake{}).Fail("slot try", 3, "slot b is empty")
	if _, err := (slot.Agent{Host: refusing}).Try(ctx, "b", 0); !errors.Is(err, slot.ErrRefused) {
		t.Errorf("got %v", err)
	}
	broken := (&remote.Fake{}).Fail("slot good", 1, "disk is full")
	if _, err := (slot.Agent{Host: broken}).Good(ctx); err == nil || errors.Is(err, slot.ErrRefused) {
		t.Errorf("got %v", err)
	}
	for _, answer := range []string{"", "no", `{"format_version":2}`} {
		if s, err := (slot.Agent{Host: (&remote.Fake{}).Answer("slot", answer)}).Status(ctx); err == nil {
			t.Errorf("%q was accepted as %+v", answer, s)
		}
	}
}

// TestWaitRebooted never sees another boot id here, and says so.
func TestWaitRebooted(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	now, err := slot.Observe(t.Context(), sshd.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	client, _, err := slot.WaitRebooted(t.Context(), remote.To(sshd.Target()), "another boot", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, _, err = slot.WaitRebooted(ctx, remote.To(sshd.Target()), now.BootID, func(error) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not restarted") {
		t.Errorf("got %v", err)
	}
}
