package order

import (
	"fmt"
	"slices"
	"time"
)

// Record is all that must be kept of an order to answer for it after a crash: plain data, stored by whoever keeps the book.
type Record struct {
	Order    Order      `json:"order"`
	Phase    Phase      `json:"phase"`
	Attempts int        `json:"attempts"`
	Boot     string     `json:"boot,omitempty"` // boot id of the last granted attempt
	Result   *Installed `json:"result,omitempty"`
	Problem  *Problem   `json:"problem,omitempty"`
	Facts    *Facts     `json:"facts,omitempty"`
	Last     *Report    `json:"last,omitempty"`
	Updated  time.Time  `json:"updated"`
	// Heard is the machine's boot that was heard last, and Over are those that it has followed, the newest last: what they still say is late.
	Heard string   `json:"heard,omitempty"`
	Over  []string `json:"over,omitempty"`
}

// overMost bounds how many boots are remembered; an order has few attempts.
const overMost = 8

// hear takes in which boot the machine is in.
func (r Record) hear(boot string) Record {
	if boot == r.Heard || slices.Contains(r.Over, boot) {
		return r
	}
	if r.Heard != "" {
		r.Over = append(slices.Clone(r.Over[max(0, len(r.Over)-overMost+1):]), r.Heard)
	}
	r.Heard = boot
	return r
}

// Grant decides whether a machine may write its first disk under this order, and returns the record to keep when it may. A nonce is
// granted once; afterwards only a disk that carries the same nonce goes on, and only MaxAttempts times in all. The same boot asking
// again (its answer was lost) is told the same attempt.
func (r Record) Grant(c Consume, now time.Time) (Record, error) {
	if err := r.Order.CheckTime(now); err != nil {
		return r, err
	}
	switch {
	case c.Boot == "":
		return r, fmt.Errorf("%w: it does not say which boot of the machine asks", ErrMalformed)
	case c.Nonce != r.Order.Nonce:
		return r, fmt.Errorf("%w: nonce of another order", ErrMalformed)
	case r.Order.Machine.Serial != "" && c.Serial != r.Order.Machine.Serial:
		return r, fmt.Errorf("%w: serial number %q, the order names %q", ErrMachine, c.Serial, r.Order.Machine.Serial)
	case r.Phase == PhaseInstalled:
		return r, fmt.Errorf("%w: order %s is installed", ErrConsumed, r.Order.ID)
	case r.Phase == PhaseRefused:
		return r, fmt.Errorf("%w: order %s was refused on the machine and has ended", ErrConsumed, r.Order.ID)
	case r.Attempts == 0 || r.Boot == c.Boot:
		// first attempt, or the same boot once more
	case c.DiskNonce != r.Order.Nonce:
		return r, fmt.Errorf("%w: and the root disk does not carry it", ErrConsumed)
	case r.Attempts >= r.Order.MaxAttempts:
		return r, fmt.Errorf("%w: %d of %d attempts were made", ErrConsumed, r.Attempts, r.Order.MaxAttempts)
	}
	if r.Boot != c.Boot || r.Attempts == 0 {
		r.Attempts++
	}
	r.Boot, r.Phase, r.Updated = c.Boot, PhaseConsumed, now
	return r.hear(c.Boot), nil
}

// Boots reports whether the machine's next network boot is answered with the installer: armed and unexpired orders are, and begun ones
// that may still go on. Everything else boots its disk.
func (r Record) Boots(now time.Time) bool {
	if r.Order.CheckTime(now) != nil {
		return false
	}
	switch r.Phase {
	case PhaseArmed:
		return true
	case PhaseBooted, PhaseConsumed, PhaseFailed:
		return r.Attempts < r.Order.MaxAttempts
	default:
		return false
	}
}

// Report takes what an agent said into the record. Reports of a boot that was not granted can neither finish the order nor fail it, and those of a boot that another
// has followed are late: they change nothing.
func (r Record) Report(rep Report, now time.Time) (Record, error) {
	if rep.Order != r.Order.ID {
		return r, fmt.Errorf("%w: report for order %q", ErrMalformed, rep.Order)
	}
	if r.Phase == PhaseInstalled {
		return r, nil
	}
	if slices.Contains(r.Over, rep.Boot) {
		return r, fmt.Errorf("%w: order %s: the machine has booted again since this boot", ErrMalformed, r.Order.ID)
	}
	was := r
	r = r.hear(rep.Boot)
	switch rep.Kind {
	case ReportFacts:
		r.Facts = rep.Facts
		if r.Phase == PhaseArmed || (r.Phase == PhaseFailed && rep.Boot != r.Boot) {
			r.Phase, r.Problem = PhaseBooted, nil // a failed attempt is over when the machine has booted for the next
		}
	case ReportProgress:
	case ReportRefused, ReportFailed:
		if rep.Kind == ReportFailed && (r.Attempts == 0 || rep.Boot != r.Boot) {
			return was, fmt.Errorf("%w: order %s is %s, its disk was not granted to this boot, which cannot have failed on it", ErrMalformed, r.Order.ID, r.Phase)
		}
		r.Problem = rep.Problem
		r.Phase = map[ReportKind]Phase{ReportRefused: PhaseRefused, ReportFailed: PhaseFailed}[rep.Kind]
	case ReportInstalled:
		if rep.Installed == nil || rep.Installed.Nonce != r.Order.Nonce {
			return was, fmt.Errorf("%w: an installed report must return the order's nonce", ErrMalformed)
		}
		if r.Phase != PhaseConsumed || rep.Boot != r.Boot {
			return was, fmt.Errorf("%w: order %s is %s, its disk was not granted to this boot", ErrMalformed, r.Order.ID, r.Phase)
		}
		r.Result, r.Phase = rep.Installed, PhaseInstalled
	default:
		return was, fmt.Errorf("%w: report of kind %q", ErrMalformed, rep.Kind)
	}
	r.Last, r.Updated = &rep, now
	return r, nil
}

// Status is what is shown of the record.
func (r Record) Status() Status {
	return Status{Order: r.Order.ID, Node: r.Order.Node, Phase: r.Phase, Attempts: r.Attempts, Updated: r.Updated,
		Last: r.Last, Facts: r.Facts, Result: r.Result, Problem: r.Problem}
}
