package order_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/order"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func armed() order.Record {
	o := good()
	o.MaxAttempts = 2
	return order.Record{Order: o, Phase: order.PhaseArmed, Updated: t0}
}

// consumed is a record whose first attempt was granted to boot-1.
func consumed(t *testing.T) order.Record {
	t.Helper()
	r, err := armed().Grant(ask("boot-1", ""), t0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// followed is a record whose second attempt was granted to boot-2.
func followed(t *testing.T) order.Record {
	t.Helper()
	r, err := consumed(t).Grant(ask("boot-2", nonce), t0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(boot, disk string) order.Consume {
	return order.Consume{Nonce: nonce, Serial: "S1", Boot: boot, DiskNonce: disk}
}

func in(r order.Record, p order.Phase) order.Record {
	r.Phase = p
	return r
}

func TestGrant(t *testing.T) {
	two := consumed(t)
	two.Attempts, two.Boot = 2, "boot-2"
	for _, tc := range []struct {
		name     string
		rec      order.Record
		ask      order.Consume
		at       time.Time
		want     error
		attempts int
	}{
		{"the first write", armed(), ask("boot-1", ""), t0, nil, 1},
		{"the first write of a machine seen booting", in(armed(), order.PhaseBooted), ask("boot-1", ""), t0, nil, 1},
		{"a first write on a disk of another order", armed(), ask("boot-1", "ffff"), t0, nil, 1}, // whether it may is for the disk rules to say
		{"the same boot, whose answer was lost", consumed(t), ask("boot-1", ""), t0, nil, 1},
		{"another boot, another disk", consumed(t), ask("boot-2", ""), t0, order.ErrConsumed, 0},
		{"another boot, a disk of another order", consumed(t), ask("boot-2", "ffff"), t0, order.ErrConsumed, 0},
		{"a continuation", consumed(t), ask("boot-2", nonce), t0, nil, 2},
		{"a continuation after a failure", in(consumed(t), order.PhaseFailed), ask("boot-2", nonce), t0, nil, 2},
		{"one attempt too many", two, ask("boot-3", nonce), t0, order.ErrConsumed, 0},
		{"the last attempt, whose answer was lost", two, ask("boot-2", nonce), t0, nil, 2},
		{"an order that is installed", in(consumed(t), order.PhaseInstalled), ask("boot-1", nonce), t0, order.ErrConsumed, 0},
		{"an order that was refused", in(armed(), order.PhaseRefused), ask("boot-1", ""), t0, order.ErrConsumed, 0},
		{"another machine", armed(), order.Consume{Nonce: nonce, Serial: "S2", Boot: "b"}, t0, order.ErrMachine, 0},
		{"another nonce", armed(), order.Consume{Nonce: "x", Serial: "S1", Boot: "b"}, t0, order.ErrMalformed, 0},
		{"a boot that has no name", armed(), ask("", ""), t0, order.ErrMalformed, 0},
		{"too late", armed(), ask("boot-1", ""), t0.Add(5 * time.Hour), order.ErrExpired, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.rec.Grant(tc.ask, tc.at)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && (got.Attempts != tc.attempts || got.Phase != order.PhaseConsumed || got.Boot != tc.ask.Boot) {
				t.Errorf("got %+v", got)
			}
			if err != nil && (got.Attempts != tc.rec.Attempts || got.Phase != tc.rec.Phase) {
				t.Error("a refusal has changed the record")
			}
		})
	}
}

func TestBoots(t *testing.T) {
	last := consumed(t)
	last.Attempts = 2
	for _, tc := range []struct {
		name string
		rec  order.Record
		at   time.Time
		want bool
	}{
		{"armed", armed(), t0, true},
		{"armed, too late", armed(), t0.Add(5 * time.Hour), false},
		{"booted, nothing written", in(armed(), order.PhaseBooted), t0, true},
		{"begun", consumed(t), t0, true},
		{"begun, no attempt left", last, t0, false},
		{"failed, an attempt left", in(consumed(t), order.PhaseFailed), t0, true},
		{"failed, no attempt left", in(last, order.PhaseFailed), t0, false},
		{"refused", in(armed(), order.PhaseRefused), t0, false},
		{"installed", in(consumed(t), order.PhaseInstalled), t0, false},
	} {
		if got := tc.rec.Boots(tc.at); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestReports(t *testing.T) {
	say := func(kind order.ReportKind, boot string) order.Report {
		r := reports()[string(kind)]
		r.Boot = boot
		return r
	}
	other := say(order.ReportProgress, "boot-1")
	other.Order = "another"
	wrong := say(order.ReportInstalled, "boot-1")
	wrong.Installed = &order.Installed{Nonce: "x"}
	empty := say(order.ReportInstalled, "boot-1")
	empty.Installed = nil
	for _, tc := range []struct {
		name string
		rec  order.Record
		rep  order.Report
		want order.Phase
		err  error
	}{
		{"facts", armed(), say(order.ReportFacts, "boot-1"), order.PhaseBooted, nil},
		{"facts again, of the boot that writes", consumed(t), say(order.ReportFacts, "boot-1"), order.PhaseConsumed, nil},
		{"facts of the next boot after a failure", in(consumed(t), order.PhaseFailed), say(order.ReportFacts, "boot-2"), order.PhaseBooted, nil},
		{"facts of the boot that failed", in(consumed(t), order.PhaseFailed), say(order.ReportFacts, "boot-1"), order.PhaseFailed, nil},
		{"progress", consumed(t), say(order.ReportProgress, "boot-1"), order.PhaseConsumed, nil},
		{"refused", in(armed(), order.PhaseBooted), say(order.ReportRefused, "boot-1"), order.PhaseRefused, nil},
		{"failed", consumed(t), say(order.ReportFailed, "boot-1"), order.PhaseFailed, nil},
		{"installed", consumed(t), say(order.ReportInstalled, "boot-1"), order.PhaseInstalled, nil},
		{"installed by a boot that was not granted", consumed(t), say(order.ReportInstalled, "boot-2"), order.PhaseConsumed, order.ErrMalformed},
		{"installed without a grant", in(armed(), order.PhaseBooted), say(order.ReportInstalled, ""), order.PhaseBooted, order.ErrMalformed},
		{"installed with another nonce", consumed(t), wrong, order.PhaseConsumed, order.ErrMalformed},
		{"installed without a result", consumed(t), empty, order.PhaseConsumed, order.ErrMalformed},
		{"failed after it was installed", in(consumed(t), order.PhaseInstalled), say(order.ReportFailed, "boot-1"), order.PhaseInstalled, nil},
		{"failed on a boot that was not granted", consumed(t), say(order.ReportFailed, "boot-2"), order.PhaseConsumed, order.ErrMalformed},
		{"failed without a grant", in(armed(), order.PhaseBooted), say(order.ReportFailed, "boot-1"), order.PhaseBooted, order.ErrMalformed},
		{"refused on the next boot", consumed(t), say(order.ReportRefused, "boot-2"), order.PhaseRefused, nil},
		{"refused by a boot that is over", followed(t), say(order.ReportRefused, "boot-1"), order.PhaseConsumed, order.ErrMalformed},
		{"failed, said by a boot that is over", followed(t), say(order.ReportFailed, "boot-1"), order.PhaseConsumed, order.ErrMalformed},
		{"progress of a boot that is over", followed(t), say(order.ReportProgress, "boot-1"), order.PhaseConsumed, order.ErrMalformed},
		{"failed on the boot that followed", followed(t), say(order.ReportFailed, "boot-2"), order.PhaseFailed, nil},
		{"of another order", armed(), other, order.PhaseArmed, order.ErrMalformed},
		{"of no known kind", armed(), say("dancing", "boot-1"), order.PhaseArmed, order.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.rep.Order == "" {
				tc.rep.Order = good().ID
			}
			got, err := tc.rec.Report(tc.rep, t0.Add(time.Minute))
			if got.Phase != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("it is %s (%v), want %s", got.Phase, err, tc.want)
			}
		})
	}
}

// Whatever machines ask and report, and in whatever order: the first write is granted once, only disks that carry the nonce go on, no more
// than MaxAttempts boots write, and what is installed stays installed.
func TestNonceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := armed()
		rec.Order.MaxAttempts = rapid.IntRange(1, 3).Draw(t, "max")
		granted := map[string]bool{}
		var installed bool
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			boot := fmt.Sprintf("boot-%d", rapid.IntRange(0, 4).Draw(t, "boot"))
			now := t0.Add(time.Duration(i) * time.Minute)
			if rapid.Bool().Draw(t, "asks") {
				disk := rapid.SampledFrom([]string{"", "ffff", nonce}).Draw(t, "disk")
				next, err := rec.Grant(ask(boot, disk), now)
				if err != nil {
					continue
				}
				if len(granted) > 0 && rec.Boot != boot && disk != nonce {
					t.Fatalf("granted to a disk that does not carry the nonce")
				}
				if installed {
					t.Fatal("granted after it was installed")
				}
				granted[boot], rec = true, next
			} else {
				kind := rapid.SampledFrom([]order.ReportKind{order.ReportFacts, order.ReportProgress, order.ReportRefused, order.ReportFailed, order.ReportInstalled}).Draw(t, "report")
				rep := reports()[string(kind)]
				rep.Boot = boot
				next, err := rec.Report(rep, now)
				if err == nil && kind == order.ReportInstalled && !installed && !granted[boot] {
					t.Fatal("installed by a boot that may not write")
				}
				rec = next
			}
			installed = installed || rec.Phase == order.PhaseInstalled
			switch {
			case rec.Attempts > rec.Order.MaxAttempts || len(granted) > rec.Attempts:
				t.Fatalf("%d attempts counted, %d boots granted, %d allowed", rec.Attempts, len(granted), rec.Order.MaxAttempts)
			case installed && (rec.Phase != order.PhaseInstalled || rec.Boots(now) || rec.Result == nil):
				t.Fatalf("what is installed became %s", rec.Phase)
			}
		}
	})
}

func TestStatusShowsTheRecord(t *testing.T) {
	rep := reports()["failed"]
	r, err := consumed(t).Report(rep, t0)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Status()
	if s.Order != r.Order.ID || s.Node != r.Order.Node || s.Phase != order.PhaseFailed || s.Attempts != 1 || s.Problem == nil || s.Last.Kind != order.ReportFailed {
		t.Errorf("got %+v", s)
	}
}
