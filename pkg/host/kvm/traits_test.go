package kvm

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

// recorded reads what a real libvirt (9.0) said of a domain.
func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTraits(t *testing.T) {
	for name, c := range map[string]struct {
		running, kept string
		want          Traits
		tied          string
	}{
		"one that runs": {"running-plain.xml", "kept-plain.xml", Traits{MachineType: "pc-q35-10.0", Networks: []string{"br-ex"}}, ""},
		"one with everything": {"kept-passthrough.xml", "kept-passthrough.xml", Traits{
			CPU: Passthrough, MachineType: "pc-q35-10.0", Networks: []string{"network default"}, NUMACells: 2,
			Ties: []string{"it has passthrough devices of its host (1)", "it has shared directories of its host (1)", "its card is one of the host's network card eno1"},
			Local: []LocalDisk{
				{Target: "vda", Path: "/dev/vg/data", Kind: "block", Format: "raw"},
				{Target: "sda", Path: "/srv/debian.iso", Kind: "read-only file", Format: "raw"},
			},
		}, "it has passthrough devices of its host (1); it has shared directories of its host (1); its card is one of the host's network card eno1; " +
			"its disk vda (block /dev/vg/data) is on its host only; its disk sda (read-only file /srv/debian.iso) is on its host only"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseTraits(recorded(t, c.running), recorded(t, c.kept))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if why := got.Tied(false, true); why != c.tied {
				t.Errorf("it is tied by %q, want %q", why, c.tied)
			}
		})
	}
}

func TestTied(t *testing.T) {
	own := Traits{Boot: []string{"/k"}, Local: []LocalDisk{{Target: "vda", Path: "/a", Kind: "file", Format: "qcow2"}}}
	for _, c := range []struct {
		brings, copies bool
		want           string
	}{
		{false, false, "/k, which it boots from, is on its host only; its disk vda (file /a) is on its host only"},
		{true, false, "its disk vda (file /a) is on its host only"},
		{true, true, ""},
	} {
		if got := own.Tied(c.brings, c.copies); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestSetSize(t *testing.T) {
	for text, want := range map[string]int{"0": 1, "0-1": 2, "0-3,8": 5, "0-3,^2": 3, "x": 0, "0-99999999": 0, "": 0} {
		if got := setSize(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// What was asked for by name is told as asked, whatever libvirt makes of it; what libvirt chose, as it chose.
func TestCPUWord(t *testing.T) {
	cpu := func(mode, check, model string, features ...string) *libvirtxml.DomainCPU {
		c := &libvirtxml.DomainCPU{Mode: mode, Check: check}
		if model != "" {
			c.Model = &libvirtxml.DomainCPUModel{Value: model}
		}
		for _, f := range features {
			c.Features = append(c.Features, libvirtxml.DomainCPUFeature{Policy: "require", Name: f})
		}
		return c
	}
	for _, c := range []struct {
		running, kept *libvirtxml.DomainCPU
		want          string
	}{
		{nil, nil, ""},
		{cpu("custom", "none", "qemu64"), nil, ""},
		{cpu("custom", "full", "qemu64", "hypervisor"), cpu("custom", "none", "qemu64"), ""},
		{cpu("custom", "full", "EPYC-Rome", "x2apic", "hypervisor"), cpu("custom", "partial", "EPYC-Rome", "x2apic"), "EPYC-Rome,+x2apic"},
		{cpu("custom", "full", "EPYC-Rome", "x2apic"), cpu("host-model", "", ""), "EPYC-Rome,+x2apic"},
		{cpu("host-passthrough", "", ""), cpu("host-passthrough", "", ""), Passthrough},
		{cpu("maximum", "", ""), cpu("maximum", "", ""), Passthrough},
	} {
		if got := cpuWord(c.running, c.kept); got != c.want {
			t.Errorf("%+v, kept %+v: %q, want %q", c.running, c.kept, got, c.want)
		}
	}
}

func TestHeldMark(t *testing.T) {
	const text = `<domain type="qemu"><name>a</name><metadata>
<nubo:domain xmlns:nubo="https://nuboctl.github.io/libvirt/1" spec="sha256:01"/>
<nubo-held:held xmlns:nubo-held="https://nuboctl.github.io/libvirt/held/1" autostart="true"/></metadata></domain>`
	o, err := Parse(text)
	if err != nil || !o.Ours || !o.Held || !o.HeldAutostart || o.Spec != "sha256:01" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = Parse(`<domain type="qemu"><name>a</name><metadata><x:held xmlns:x="https://example.org/held"/></metadata></domain>`); err != nil || o.Held {
		t.Errorf("somebody else's metadata: %+v, %v", o, err)
	}
}
