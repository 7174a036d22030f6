package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// Case is a rollout that can be told in one command: a seed, the faults that are left out of a profile, and the hosts that are changed.
type Case struct {
	Seed    uint64
	Faults  string
	Without []string     // names of faults, see FaultNames
	Only    []model.Path // the hosts that are changed; nil: all
	Method  string       // how hosts are changed; empty: as the fleet's policy says
}

// knobs are the faults that can be left out.
var knobs = map[string]func(*world.Faults){
	"death": func(f *world.Faults) { f.Death = 0 }, "hang": func(f *world.Faults) { f.Hang = 0 }, "fall_back": func(f *world.Faults) { f.FallBack = 0 },
	"install": func(f *world.Faults) { f.Install = 0 }, "migration": func(f *world.Faults) { f.Migration = 0 }, "reply": func(f *world.Faults) { f.Reply = 0 },
	"silent": func(f *world.Faults) { f.Silent = 0 }, "bmc": func(f *world.Faults) { f.BMC = 0 }, "operator": func(f *world.Faults) { f.Operator = 0 },
	"disk": func(f *world.Faults) { f.Disk = 0 }, "split": func(f *world.Faults) { f.Split = 0 },
	"tenant": func(f *world.Faults) { f.Tenant = 0 }, "kill": func(f *world.Faults) { f.Kill = 0 },
}

// FaultNames are what Case.Without may name, sorted.
func FaultNames() []string {
	var out []string
	for name := range knobs {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// faults are those of the profile that are left.
func (c Case) faults() (world.Faults, error) {
	f, ok := world.Profiles[c.Faults]
	if !ok {
		return f, fmt.Errorf("there are no faults called %q; there are none, default and harsh", c.Faults)
	}
	for _, name := range c.Without {
		leave, ok := knobs[name]
		if !ok {
			return f, fmt.Errorf("there is no fault called %q; there are %s", name, strings.Join(FaultNames(), ", "))
		}
		leave(&f)
	}
	return f, nil
}

// only leaves all other hosts as they are.
func (c Case) only(f plan.Fleet) plan.Fleet {
	if c.Only == nil {
		return f
	}
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		if h := &f.Hosts[i]; h.Change && !slices.Contains(c.Only, h.Path) {
			h.Change = false
			h.Class = h.ClassAfter
		}
	}
	return f
}

// Check tells whether faults and method have the names that they are called by.
func (c Case) Check() (world.Faults, error) {
	if c.Method != "" && c.Method != facts.MethodSlot && c.Method != facts.MethodReinstall && c.Method != facts.MethodPackages {
		return world.Faults{}, fmt.Errorf("there is no method %q to simulate; there are slot, reinstall and packages", c.Method)
	}
	return c.faults()
}

// Run carries the case out.
func (c Case) Run(fleet Fleet, opt Options) (Result, error) {
	faults, err := c.faults()
	if err != nil {
		return Result{}, err
	}
	f, p := fleet(c.Seed)
	if c.Method != "" {
		if p, err = facts.WithMethod(p, c.Method); err != nil {
			return Result{}, err
		}
	}
	opt.Seed, opt.Faults = c.Seed, faults
	return Rollout(c.only(f), p, opt), nil
}

// Shrink looks for a smaller case that violates the same invariant: fewer kinds of faults, then fewer hosts. It takes at most a hundred rollouts.
func Shrink(c Case, fleet Fleet, opt Options, invariant string) Case {
	tries := 100
	fails := func(c Case) bool {
		if tries--; tries < 0 {
			return false
		}
		r, err := c.Run(fleet, opt)
		return err == nil && slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == invariant })
	}
	for _, name := range FaultNames() {
		smaller := c
		if smaller.Without = append(slices.Clone(c.Without), name); fails(smaller) {
			c = smaller
		}
	}
	if c.Only == nil {
		f, _ := fleet(c.Seed)
		c.Only = changed(f)
	}
	for part := len(c.Only) / 2; part > 0; part /= 2 {
		for at := 0; at+part <= len(c.Only); {
			smaller := c
			if smaller.Only = slices.Delete(slices.Clone(c.Only), at, at+part); len(smaller.Only) > 0 && fails(smaller) {
				c = smaller
				continue
			}
			at += part
		}
	}
	return c
}

func changed(f plan.Fleet) []model.Path {
	var out []model.Path
	for i := range f.Hosts {
		if f.Hosts[i].Change {
			out = append(out, f.Hosts[i].Path)
		}
	}
	return out
}

// Args are the case as flags of nuboctl simulate.
func (c Case) Args() string {
	out := fmt.Sprintf("--rollouts 1 --seed %d --faults %s", c.Seed, c.Faults)
	if c.Method != "" {
		out += " --method " + c.Method
	}
	if len(c.Without) > 0 {
		out += " --without " + strings.Join(c.Without, ",")
	}
	if c.Only != nil {
		names := make([]string, len(c.Only))
		for i, p := range c.Only {
			names[i] = string(p)
		}
		out += " --only " + strings.Join(names, ",")
	}
	return out
}
