package batch_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/state/batch"
)

// TestAllAreWrittenOnce: whatever comes at once is written exactly once, each caller's items in its own order, and those who wait share a batch.
func TestAllAreWrittenOnce(t *testing.T) {
	const callers, each = 16, 50
	var q batch.Queue[[2]int]
	var got [][2]int
	batches, blocked := 0, make(chan struct{})
	write := func(items [][2]int) {
		if batches++; batches == 1 {
			<-blocked // the others come meanwhile
		}
		got = append(got, items...)
	}
	var wg sync.WaitGroup
	var came sync.WaitGroup
	for c := range callers {
		came.Add(1)
		wg.Go(func() {
			came.Done()
			for i := range each {
				if err := q.Do([2]int{c, i}, write); err != nil {
					t.Error(err)
				}
			}
		})
	}
	came.Wait()
	close(blocked)
	wg.Wait()
	next := map[int]int{}
	for _, g := range got {
		if g[1] != next[g[0]] {
			t.Fatalf("caller %d: item %d where %d belongs", g[0], g[1], next[g[0]])
		}
		next[g[0]]++
	}
	if len(got) != callers*each {
		t.Fatalf("%d items were written, want %d", len(got), callers*each)
	}
}

func TestClose(t *testing.T) {
	var q batch.Queue[int]
	var got []int
	write := func(items []int) { got = append(got, items...) }
	if err := q.Do(1, write); err != nil {
		t.Fatal(err)
	}
	if !q.Close() || q.Close() {
		t.Fatal("only the first to close is the first")
	}
	if err := q.Do(2, write); !errors.Is(err, batch.ErrClosed) {
		t.Fatal(err)
	}
	if !slices.Equal(got, []int{1}) {
		t.Fatal(got)
	}
}
