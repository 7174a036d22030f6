package planner_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Machines come and go between plan and batch; the same hosts are certified again, also when one of them is restarting, and refused when there is no room.
func TestRecertify(t *testing.T) {
	in := rolled(6)
	c := mustMake(t, in).Certificate
	check := func(name string) {
		t.Helper()
		for i := range c.Batches {
			f, b, err := planner.Recertify(in, *c, i)
			if err != nil {
				t.Fatalf("%s, batch %d: %v", name, i, err)
			}
			if err := verify.Batch(f, c.Policy, b); err != nil {
				t.Errorf("%s, batch %d: %v", name, i, err)
			}
			if !slices.Equal(b.Hosts, c.Batches[i].Hosts) || b.Stage != c.Batches[i].Stage {
				t.Errorf("%s, batch %d has hosts %v, it had %v", name, i, b.Hosts, c.Batches[i].Hosts)
			}
		}
	}
	check("as it was")
	in.Observed.VMs = in.Observed.VMs[5:]
	for i := range 4 {
		in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: fmt.Sprintf("new-%d", i), Node: in.Desired.Nodes[i+2].Path, State: "running", VCPUs: 4,
			MemoryMiB: 16 << 10, CPUModel: "Skylake-Server", Machine: "pc-q35-7.2", Flavor: "l"})
	}
	check("after some have come and gone")

	restarting := c.Batches[0].Hosts[0]
	in.Observed.VMs = slices.DeleteFunc(in.Observed.VMs, func(v model.ObservedVM) bool { return v.Node == in.Desired.Nodes[restarting].Path })
	in.Observed.Nodes[restarting].Host = model.ObservedHost{}
	f, b, err := planner.Recertify(in, *c, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Batch(f, c.Policy, b); err != nil {
		t.Error(err)
	}

	for i := range in.Observed.VMs {
		in.Observed.VMs[i].MemoryMiB = 22 << 10
	}
	var r *planner.Refusal
	if _, _, err := planner.Recertify(in, *c, 1); !errors.As(err, &r) {
		t.Errorf("a full zone: %v", err)
	}
}
