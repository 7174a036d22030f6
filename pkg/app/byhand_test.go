package app

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/view"
)

func TestNeededImages(t *testing.T) {
	node := func(name string) model.Node { return model.Node{Image: model.ImageRef{Name: name}} }
	for _, c := range []struct {
		name string
		d    model.Desired
		want []string
	}{
		{"nothing", model.Desired{}, nil},
		{"nodes", model.Desired{Nodes: []model.Node{node("debian-13"), node("debian-12"), node("debian-13")}}, []string{"debian-12", "debian-13", "ramdisk"}},
		{"machines", model.Desired{Nodes: []model.Node{node("debian-13")}, VMs: []model.VM{{Image: model.ImageRef{Name: "guest"}}}}, []string{"debian-13", "guest", "ramdisk"}},
	} {
		if got := neededImages(c.d); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWithPassword(t *testing.T) {
	got := withPassword([]string{"A=1", "IPMITOOL_PASSWORD=old", "IPMI_PASSWORD=older", "B=2"}, "new")
	if want := []string{"A=1", "B=2", "IPMITOOL_PASSWORD=new"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBootWord(t *testing.T) {
	for _, c := range []struct {
		o    bmc.BootOverride
		want string
	}{
		{bmc.BootOverride{Device: bmc.BootNone}, "as its firmware is set"},
		{bmc.BootOverride{Device: bmc.BootPXE}, "network, once"},
		{bmc.BootOverride{Device: bmc.BootHTTP}, "network, once"},
		{bmc.BootOverride{Device: bmc.BootDisk, Persistent: true}, "disk, always"},
		{bmc.BootOverride{Device: "Tape"}, "Tape, once"},
	} {
		if got := bootWord(c.o); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}

func TestRequestLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newRequestLog(&out)).With("network", "prov")
	log.Debug("relay", "protocol", "dhcp", "mac", "52:54:00:77:00:01", "peer", "0.0.0.0:68", "request", "DISCOVER", "reply", "OFFER 10.77.0.11", "bytes", 0, "error", error(nil))
	log.Warn("relay", "protocol", "http", "mac", "", "peer", "10.77.0.11:4000", "request", "GET /boot/initrd", "reply", "sent", "bytes", 42, "error", errors.New("broken off"))
	log.Info("order armed", "order", "o-1")
	want := []string{
		"dhcp  52:54:00:77:00:01      DISCOVER → OFFER 10.77.0.11",
		"http  10.77.0.11:4000        GET /boot/initrd → sent (42 bytes)  failed: broken off",
		"order armed network=prov order=o-1",
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), &out)
	}
	for i, line := range lines {
		if _, rest, _ := strings.Cut(line, "  "); rest != want[i] {
			t.Errorf("line %d is %q, want %q", i+1, rest, want[i])
		}
	}
}

// Without a terminal every step is a line; on one, a single line is redrawn and taken away at the end.
func TestImageProgress(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []image.Event{
		{Step: "resolve", Text: "packages"}, {Step: "compress", Text: "root", Done: 1 << 20}, {Step: "compress", Text: "root", Done: 2 << 20}, {Step: "done", Text: "x"},
	}
	var out bytes.Buffer
	p := newImageProgress(Env{Err: &out, Now: func() time.Time { return now }}, "debian-13")
	for _, ev := range events {
		p.tell(ev)
	}
	p.end()
	if want := "debian-13:    0ms  resolve: packages\ndebian-13:    0ms  compress: root 1.0 MiB\n"; out.String() != want {
		t.Errorf("plain:\n%swant:\n%s", &out, want)
	}
	out.Reset()
	p = newImageProgress(Env{Err: &out, Now: func() time.Time { return now }, Interactive: true, ErrStyle: view.Style{Width: 20}}, "debian-13")
	p.tell(events[0])
	p.mu.Lock()
	p.draw(true)
	p.mu.Unlock()
	p.end()
	if got := out.String(); !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "\n") || !strings.Contains(got, "debian-13  0ms  res") {
		t.Errorf("on a terminal: %q", got)
	}
}
