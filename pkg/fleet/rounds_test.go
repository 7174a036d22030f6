package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// TestRoundsAreShared: however many ask while one answer is under way, one more is enough for all of them, and none gets an older one.
func TestRoundsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds[int]
		release := make(chan struct{})
		asked := 0 // by one at a time
		get := func(context.Context) (int, error) {
			asked++
			mine := asked
			<-release
			return mine, nil
		}
		const askers = 50
		got := make([]int, askers)
		var all sync.WaitGroup
		for i := range askers {
			all.Go(func() { got[i], _ = r.ask(t.Context(), get) })
			if i == 0 {
				synctest.Wait() // its answer is under way
			}
		}
		synctest.Wait() // all are waiting
		close(release)
		all.Wait()
		for i, n := range got {
			if want := min(i, 1) + 1; n != want {
				t.Errorf("caller %d got answer %d, want %d", i, n, want)
			}
		}
		if n, err := r.ask(t.Context(), get); err != nil || n != 3 {
			t.Errorf("a later one got %d, %v", n, err)
		}
	})
}

func TestRoundsEndForOneAndGoOnForOthers(t *testing.T) {
	var r rounds[string]
	begun, release := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	left := errors.New("he left")
	ended := make(chan error, 1)
	go func() {
		_, err := r.ask(ctx, func(ctx context.Context) (string, error) {
			close(begun)
			<-release
			return "", ctx.Err()
		})
		ended <- err
	}()
	<-begun
	cancel(left)
	if err := <-ended; !errors.Is(err, left) {
		t.Errorf("who left got %v", err)
	}
	close(release)
	if s, err := r.ask(t.Context(), func(context.Context) (string, error) { return "next", nil }); s != "next" || err != nil {
		t.Errorf("the next got %q, %v", s, err)
	}
}
