package peers

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Harm counts what rounds break, by invariant. What lost hosts break by themselves is not counted.
type Harm struct {
	Rounds  int // rounds that break anything but I6
	Quorums int // I1: groups without a majority, each round
	PGs     int // I2: placement groups below min_size, each round
	Data    int // of those, groups that cannot even be read
	Homes   int // I3, I8: virtual machines without a place, or that must not be stopped
	Apart   int // I4: anti-affinity groups with two members where only one may be
	Dead    int // I5: services without any member
	Crowded int // I3: hosts with more than they have room for
	Zones   int // I6: rounds that take hosts of several zones at once
}

// None reports whether nothing was broken.
func (h Harm) None() bool { return h == Harm{} }

// Count plays rounds over plain columns and counts what they break. It shares no code with those who made them.
func Count(f *plan.Fleet, rounds []Round) Harm {
	var total Harm
	at := slices.Clone(f.VMs.Host)
	for _, r := range rounds {
		before := total
		down := make([]bool, len(f.Hosts))
		for i, h := range f.Hosts {
			down[i] = h.Down
		}
		lost := slices.Clone(down)
		for _, h := range r.Hosts {
			down[h] = true
		}
		if slices.ContainsFunc(r.Hosts, func(h int32) bool { return f.Hosts[h].Path.Zone() != f.Hosts[r.Hosts[0]].Path.Zone() }) {
			total.Zones++
		}
		total.services(f, down, lost)
		total.storage(f, down, lost)
		total.Homes += len(r.Nowhere)
		for i, vm := range r.Moves.VM {
			at[vm] = r.Moves.To[i]
			if down[at[vm]] {
				total.Homes++
			}
		}
		total.together(f, at, r)
		total.room(f, at, r)
		if before.Zones = total.Zones; total != before {
			total.Rounds++
		}
	}
	return total
}

func (t *Harm) services(f *plan.Fleet, down, lost []bool) {
	for _, g := range f.Groups {
		up, were := 0, 0
		for _, h := range g.Hosts {
			if !down[h] {
				up++
			}
			if !lost[h] {
				were++
			}
		}
		switch {
		case g.Kind == plan.Quorum && 2*up <= len(g.Hosts) && 2*were > len(g.Hosts):
			t.Quorums++
		case g.Kind != plan.Quorum && up == 0 && were > 0:
			t.Dead++
		}
	}
}

func (t *Harm) storage(f *plan.Fleet, down, lost []bool) {
	for _, c := range f.Clusters {
		for _, p := range c.Pools {
			for i, n := range p.Count {
				up, were := 0, 0
				for _, h := range p.Acting[i*p.Size : (i+1)*p.Size] {
					if h >= 0 && !down[h] {
						up++
					}
					if h >= 0 && !lost[h] {
						were++
					}
				}
				if up < p.MinSize && were >= p.MinSize {
					t.PGs += int(n)
				}
				if up < p.Data && were >= p.Data {
					t.Data += int(n)
				}
			}
		}
	}
}

// together counts groups that a round's moves have brought together.
func (t *Harm) together(f *plan.Fleet, at []int32, r Round) {
	moved := map[int32]bool{}
	for _, vm := range r.Moves.VM {
		moved[vm] = true
	}
	for _, g := range f.Apart {
		for _, a := range g.VMs {
			if moved[a] && slices.ContainsFunc(g.VMs, func(b int32) bool {
				return a != b && (!moved[b] || b > a) && place(f, at[a], g.Level) == place(f, at[b], g.Level)
			}) {
				t.Apart++
				break
			}
		}
	}
}

// room counts hosts that a round's moves have filled beyond what they have.
func (t *Harm) room(f *plan.Fleet, at []int32, r Round) {
	arrived := map[int32]bool{}
	for _, h := range r.Moves.To {
		arrived[h] = true
	}
	vcpus, memory := map[int32]int64{}, map[int32]int64{}
	for vm, h := range at {
		if s := &f.Shapes[f.VMs.Shape[vm]]; arrived[h] && s.Cells == 0 {
			vcpus[h], memory[h] = vcpus[h]+s.VCPUs, memory[h]+s.MemoryMiB
		}
	}
	for h := range arrived {
		if vcpus[h] > f.Hosts[h].VCPUs || memory[h] > f.Hosts[h].MemoryMiB {
			t.Crowded++
		}
	}
}
