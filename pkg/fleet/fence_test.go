package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// TestHostsRefuseOlderEpochs: every way in which a host is changed carries the epoch, and a host that has obeyed a newer one refuses it and stays as it is.
func TestHostsRefuseOlderEpochs(t *testing.T) {
	if testing.Short() {
		t.Skip("a host in namespaces of its own")
	}
	box := hosttest.New(t)
	n := model.Node{Name: "blade-01", Path: "lab/r1/az1/a/blade-01", Profile: "p", NICs: []model.NIC{{Name: "eth0"}}}
	vm := model.VM{Name: "hello", Node: n.Path, VCPUs: 1, MemoryMiB: 64}
	desired := model.Desired{Profiles: []model.Profile{{Name: "p", Bridges: []model.Bridge{{Name: "br-ex", Uplink: "eth0"}}}}, Nodes: []model.Node{n}, VMs: []model.VM{vm}}
	holder := func(epoch int64) (*fleet.Hosts, *fleet.VMs) {
		links := fleet.NewLinks(func(context.Context, model.Node) (remote.Target, error) { return box.Target(), nil })
		t.Cleanup(func() { _ = links.Close() })
		files := func(model.Digest) (string, string, error) {
			name := filepath.Join(box.Dir, "kernel")
			return name, name, os.WriteFile(name, []byte("kernel"), 0o600)
		}
		return &fleet.Hosts{Desired: desired, Links: links, Epoch: epoch, Log: slog.New(slog.DiscardHandler)}, &fleet.VMs{Desired: desired, Links: links, Epoch: epoch, Images: files}
	}
	_, newer := holder(6)
	pushed := filepath.Join(box.Dir, "libvirt-lib", "images", "nubo")
	if err := newer.Ensure(t.Context(), vm, ""); errors.Is(err, remote.ErrFenced) || !errors.Is(err, kvm.ErrNotRunning) { // there is no libvirt; kernel and ramdisk are there
		t.Fatal(err)
	}
	if err := os.RemoveAll(pushed); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(box.Dir, "nubo", "epoch"))
	if err != nil || strings.TrimSpace(string(kept)) != "6" {
		t.Fatalf("the host keeps %q: %v", kept, err)
	}
	hosts, vms := holder(5)
	guests, cordons := &fleet.Guests{VMs: vms}, &fleet.Cordons{Links: vms.Links, Epoch: 5, Now: time.Now}
	for what, change := range map[string]func() error{
		"a move":           func() error { return guests.Migrate(t.Context(), vm.Name, n, n, func(plan.Progress) {}) },
		"a stop":           func() error { return guests.Hold(t.Context(), vm.Name, n) },
		"a start":          func() error { return guests.Release(t.Context(), vm.Name, n) },
		"a cordon":         func() error { return cordons.SetCordon(t.Context(), n, ops.Mark{Until: time.Now().Add(time.Hour)}) },
		"its end":          func() error { return cordons.SetCordon(t.Context(), n, ops.Mark{}) },
		"bridges":          func() error { return hosts.EnsureBridges(t.Context(), n) },
		"shutdown":         func() error { return hosts.Shutdown(t.Context(), n) },
		"hypervisor":       func() error { return hosts.EnsureHypervisor(t.Context(), n) },
		"virtual machines": func() error { return vms.Ensure(t.Context(), vm, "") },
	} {
		if err := change(); !errors.Is(err, remote.ErrFenced) {
			t.Errorf("%s under an older epoch: %v", what, err)
		}
	}
	if _, err := os.Stat(pushed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files were brought to the host under an older epoch: %v", err)
	}
	if until, err := cordons.Cordon(t.Context(), n); err != nil || !until.Until.IsZero() {
		t.Errorf("a cordon was set under an older epoch, until %v (%v)", until, err)
	}
	if o, err := hosts.Observe(t.Context(), n); err != nil || strings.Contains(o.Error, "epoch") {
		t.Errorf("looking needs no epoch: %+v %v", o, err)
	}
}
