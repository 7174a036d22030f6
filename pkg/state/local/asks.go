package local

import (
	"context"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
)

func (s *Store) socket() string { return filepath.Join(s.dir, control.FileName) }

// Ask implements state.Asks, over the socket beside the store.
func (s *Store) Ask(ctx context.Context, a state.Ask) (state.Answer, error) {
	return control.Dial(s.socket()).Ask(ctx, a)
}

// Answer implements state.Asks.
func (s *Store) Answer(ctx context.Context, l state.Lease, do func(state.Ask) state.Answer) error {
	return control.Answer(ctx, s.socket(), l, do)
}
