package provision_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// progress is what an agent says while it writes.
func progress() order.Report {
	return order.Report{Kind: order.ReportProgress, Progress: &order.Progress{Phase: "image", Done: 1, Total: 2}}
}

func done() order.Report {
	return order.Report{Kind: order.ReportInstalled, Installed: &order.Installed{Slot: "a", Image: image.Digest, HostKeys: []string{"ssh-ed25519 KEY"}}}
}

// TestClockJumpsDuringAnInstall lets the clock of workstation and relay jump while a blade writes its disk. Forward beyond the silence that is borne, it looks
// stalled until the agent's next word; backward, nothing changes. The disk was given once, and the install ends as ever.
func TestClockJumpsDuringAnInstall(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -10 * 365 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			b := newBench(t)
			n := b.p.Desired.Nodes[0]
			rec := b.arm(n)
			b.grant(rec.ID)
			b.now = b.now.Add(jump)
			want := facts.PhaseStarted
			if jump > b.p.Silence {
				want = facts.PhaseStalled
			}
			if got := b.phase(n); got != want {
				t.Errorf("after the jump it is %s, want %s", got, want)
			}
			b.report(rec.ID, progress())
			if got := b.phase(n); got != facts.PhaseStarted {
				t.Errorf("when the agent is heard again it is %s", got)
			}
			b.report(rec.ID, done())
			status, _, err := b.p.Watch(t.Context(), n, 0)
			if err != nil || status.Phase != order.PhaseInstalled || status.Attempts != 1 {
				t.Fatalf("it ends as %+v, %v", status, err)
			}
			if err := b.p.Keep(t.Context(), n, *status.Result); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestClockJumpsBeyondAnOrder lets the clock jump to behind an order's end before the first write: nothing is written under it, and the next order installs, also
// when the clock has been put right before.
func TestClockJumpsBeyondAnOrder(t *testing.T) {
	for name, back := range map[string]time.Duration{"and stays": 0, "and back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			n := b.p.Desired.Nodes[0]
			first := b.arm(n)
			b.now = b.now.Add(24 * time.Hour)
			if err := b.signed(first.ID).CheckTime(b.now); !errors.Is(err, order.ErrExpired) {
				t.Errorf("the agent takes the order at %s: %v", b.now, err)
			}
			taken := order.Record{Order: b.signed(first.ID), Phase: order.PhaseBooted}
			if _, err := taken.Grant(order.Consume{Nonce: first.Nonce, Serial: n.Serial, Boot: "boot-1"}, b.now); !errors.Is(err, order.ErrExpired) {
				t.Errorf("the relay grants the first write at %s: %v", b.now, err)
			}
			if got := b.phase(n); got != facts.PhaseFailed {
				t.Errorf("the order is %s", got)
			}
			b.now = b.now.Add(back)
			if err := b.p.Arm(t.Context(), n, order.Install, model.DigestBytes([]byte("spec")), quiet); err != nil {
				t.Fatal(err)
			}
			second := b.record(n)
			b.grant(second.ID)
			b.report(second.ID, done())
			status, _, err := b.p.Watch(t.Context(), n, 0)
			if err != nil || status.Order != second.ID || status.Phase != order.PhaseInstalled {
				t.Errorf("it ends as %+v, %v", status, err)
			}
		})
	}
}
