package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// certified is a plan with a certificate: a fleet and policy of a seed, a batch for each rack's worth of hosts, each machine moved to its neighbour, and as
// many ops as a rollout has. It is no good plan, but one in all its parts.
func certified(seed uint64, size plantest.Size) plan.Plan {
	f, policy := plantest.Fleet(seed, size)
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Initial: plan.State{},
		Certificate: &plan.Certificate{Fleet: f, Policy: policy, Grade: "A+C", Bound: plan.Bound{Binding: "memory in <az>", Zones: []plan.ZoneBound{{Zone: "a"}}}}}
	guests := make([]plan.Ints, len(f.Hosts))
	for vm, h := range f.VMs.Host {
		guests[h] = append(guests[h], int32(vm))
	}
	old, fresh := string(model.DigestBytes([]byte("old"))), string(model.DigestBytes([]byte("new")))
	const per = 20
	for first := 0; first < len(f.Hosts); first += per {
		b := plan.Batch{Zone: f.Hosts[first].Path.Zone(), Stage: len(p.Stages), Grade: "A+C", Short: []string{"B: pool vms has 1 copy left when a rack is lost"}}
		s := plan.Stage{Title: fmt.Sprintf("batch %d", len(p.Stages)), Invariants: []string{"I1", "I2"}}
		for i := first; i < min(first+per, len(f.Hosts)); i++ {
			b.Hosts = append(b.Hosts, int32(i))
			for _, vm := range guests[i] {
				b.Moves.VM, b.Moves.To = append(b.Moves.VM, vm), append(b.Moves.To, int32((i+per)%len(f.Hosts)))
			}
			sub := plan.NodeSubject(f.Hosts[i].Path)
			p.Initial[sub] = map[plan.Attr]string{plan.AttrHost: old, plan.AttrDefault: old, plan.AttrPower: "on", plan.AttrKVM: "ready", plan.AttrMachine: fmt.Sprint("S", i)}
			s.Ops = append(s.Ops, chainOf(sub, f.Hosts[i].Path, fresh)...)
		}
		p.Certificate.Batches, p.Stages = append(p.Certificate.Batches, b), append(p.Stages, s)
	}
	return p
}

func chainOf(sub plan.Subject, path model.Path, fresh string) (ops []plan.Op) {
	fact := func(a plan.Attr, v string) []plan.Fact { return []plan.Fact{{Attr: a, Subject: sub, Value: v}} }
	for _, o := range []plan.Op{
		{Kind: plan.SlotWrite, Post: fact(plan.AttrIdle, fresh), Args: map[string]string{"image": fresh, "config": fresh}},
		{Kind: plan.HostCordon, Post: fact(plan.AttrCordon, plan.Set)},
		{Kind: plan.HostDrain, Pre: fact(plan.AttrCordon, plan.Set), Post: fact(plan.AttrGuests, plan.None)},
		{Kind: plan.CephNoout, Post: fact(plan.AttrNoout, plan.Set)},
		{Kind: plan.CephStop, Pre: fact(plan.AttrNoout, plan.Set), Post: fact(plan.AttrCeph, plan.Stopped)},
		{Kind: plan.SlotBoot, Pre: fact(plan.AttrIdle, fresh), Post: fact(plan.AttrHost, fresh), Args: map[string]string{"spec": fresh}},
		{Kind: plan.CephStart, Pre: fact(plan.AttrHost, fresh), Post: fact(plan.AttrCeph, plan.Up)},
		{Kind: plan.SlotCommit, Pre: fact(plan.AttrHost, fresh), Post: fact(plan.AttrDefault, fresh)},
		{Kind: plan.HostUncordon, Pre: fact(plan.AttrHost, fresh), Post: fact(plan.AttrCordon, "")},
	} {
		o.Target, o.ID, o.Uses = sub, plan.ID(o.Kind, sub), []string{"rack:" + string(path.Rack())}
		if len(ops) > 0 {
			o.Needs = []plan.OpID{ops[len(ops)-1].ID}
		}
		ops = append(ops, o)
	}
	return ops
}

// canonical is what the form of a plan means: encoding/json reads it, knows every field, and would write the same.
func canonical(text []byte) bool {
	var p plan.Plan
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || p.FormatVersion != plan.FormatVersion {
		return false
	}
	again, err := json.Marshal(p)
	return err == nil && bytes.Equal(again, text)
}

// parsesAsJSON compares Parse with encoding/json.
func parsesAsJSON(t rapid.TB, file, text []byte) {
	t.Helper()
	p, digest, err := plan.Parse(file)
	if want := canonical(text); (err == nil) != want {
		t.Fatalf("canonical: %v, and Parse says %v:\n%s", want, err, text)
	}
	if err != nil {
		return
	}
	again, err := json.Marshal(p)
	if err != nil || !bytes.Equal(again, text) || digest != model.DigestBytes(text) {
		t.Fatalf("read otherwise than it stands there: %v\n%s\n%s", err, text, again)
	}
}

// Whatever is done to a plan's text, Parse accepts it exactly when encoding/json would write it so.
func TestParseIsCanonical(t *testing.T) {
	var texts [][]byte
	for seed := range uint64(3) {
		text, err := json.Marshal(certified(seed, plantest.Tiny))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
		parsesAsJSON(t, pack(t, text), text)
	}
	small, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"", "0", "-", "-0", "01", "1e2", "1.0", "null", "[]", "{}", `""`, `"a"`, ",", " ", "}", "]", "{", "[", ":", "true", "false", `\u003c`, "<", "é", `\u00e9`, `\/`, "\xff", "\x7f", `\`, `"`}
	rapid.Check(t, func(rt *rapid.T) {
		text := bytes.Clone(rapid.SampledFrom(append(texts, small, small, small)).Draw(rt, "text"))
		for range rapid.IntRange(1, 2).Draw(rt, "edits") {
			at := rapid.IntRange(0, len(text)).Draw(rt, "at")
			end := min(len(text), at+rapid.IntRange(0, 6).Draw(rt, "length"))
			text = bytes.Join([][]byte{text[:at], text[end:]}, []byte(rapid.SampledFrom(parts).Draw(rt, "part")))
		}
		parsesAsJSON(rt, pack(t, text), text)
	})
}

func FuzzParse(f *testing.F) {
	small := good()
	small.Certificate = &plan.Certificate{Fleet: plan.Fleet{Hosts: []plan.Host{{Path: "s/r/z/k/h", Cells: []plan.Cell{{CPUs: 1}}}}, Shapes: []plan.Shape{{DirtyMiBs: 1.5}}}}
	for _, p := range []plan.Plan{good(), small} {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) { parsesAsJSON(t, pack(t, text), text) })
}

// BenchmarkParse reads a plan for 10,000 hosts with all their virtual machines; BenchmarkParseByJSON is the same by encoding/json.
func BenchmarkParse(b *testing.B) {
	file, text := large(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := plan.Parse(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseByJSON(b *testing.B) {
	_, text := large(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !canonical(text) {
			b.Fatal("not canonical")
		}
	}
}

func large(b *testing.B) (file, text []byte) {
	p := certified(1, plantest.Full)
	file, err := plan.Encode(p)
	if err != nil {
		b.Fatal(err)
	}
	text = unpack(b, file)
	b.ReportMetric(float64(len(p.Certificate.Fleet.VMs.Names)), "machines")
	b.ReportMetric(float64(p.Ops()), "ops")
	b.ReportMetric(float64(len(file))/1e6, "MB-file")
	return file, text
}
