// Package gate asks an operator's own health gates: a command, a web page, a query to Prometheus. A gate is open once it has given so many good answers in a
// row, since alarms come and go, and late when it has not for longer than it may.
package gate

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// What holds for a gate that does not say it, and the most that one question may take.
const (
	DefaultGood     = 3
	DefaultDeadline = time.Hour
	askWithin       = 20 * time.Second
)

// Set asks gates and remembers their answers. It is safe for concurrent use.
type Set struct {
	Gates []model.Gate
	// Run runs a gate's command: on a node, or on this machine when node is empty. An error, or an exit status other than 0, is a bad answer.
	Run func(ctx context.Context, node model.Path, argv []string) error
	// HTTP asks web pages and Prometheus; nil: a client that follows no redirects to other hosts and trusts what this machine trusts.
	HTTP *http.Client
	Now  func() time.Time

	mu   sync.Mutex
	seen map[string]*record
}

// record is what a gate has answered since Begin.
type record struct {
	good  int       // answers in a row
	open  bool      // it was, since Begin; from then on only its last answer counts
	since time.Time // of the first bad answer, or of the first question, after which it was not open
}

// Begin forgets all answers: every gate has to open again.
func (s *Set) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

// Check asks every gate that concerns a place, and tells what is not open, and which of that has taken longer than it may.
func (s *Set) Check(ctx context.Context, place model.Path) (wrong, late []string) {
	var mine []model.Gate
	for _, g := range s.Gates {
		if g.Scope == "" || g.Scope.Contains(place) || place.Contains(g.Scope) {
			mine = append(mine, g)
		}
	}
	answers := make([]error, len(mine))
	var wg sync.WaitGroup
	for i, g := range mine {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askWithin)
			defer cancel()
			answers[i] = s.ask(ctx, g)
		})
	}
	wg.Wait()
	if ctx.Err() != nil { // nobody was asked properly
		return nil, nil
	}
	for i, g := range mine {
		why, isLate := s.weigh(g, answers[i])
		if why == "" {
			continue
		}
		wrong = append(wrong, why)
		if isLate {
			late = append(late, why)
		}
	}
	return wrong, late
}

// weigh records an answer, and tells why the gate is not open; empty when it is.
func (s *Set) weigh(g model.Gate, answer error) (why string, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]*record{}
	}
	r, now := s.seen[g.Name], s.Now()
	if r == nil {
		r = &record{since: now}
		s.seen[g.Name] = r
	}
	need := cmp.Or(g.Good, DefaultGood)
	if answer != nil {
		r.good = 0
		why = fmt.Sprintf("gate %s: %v", g.Name, answer)
	} else if r.good++; r.good < need && !r.open {
		why = fmt.Sprintf("gate %s: good %d of %d times in a row", g.Name, r.good, need)
	}
	if why == "" {
		r.open, r.since = true, time.Time{}
		return "", false
	}
	if r.since.IsZero() {
		r.since = now
	}
	limit := cmp.Or(g.Deadline, DefaultDeadline)
	if answer != nil && now.Sub(r.since) >= limit {
		return fmt.Sprintf("%s, for longer than %s", why, limit), true
	}
	return why, false
}
