package journal

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// BenchmarkPlain is the measure: the same bytes, written and synced by os.File, without a journal.
func BenchmarkPlain(b *testing.B) {
	r := intent(1)
	r.FormatVersion, r.Seq, r.Prev = 1, 1_000_000, digest(nil)
	line, err := Encode(&r)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend writes one record after the other.
func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{})
	for b.Loop() {
		r := mustAppend(b, j, intent(1))
		b.SetBytes(int64(len(mustLine(b, r))))
	}
	mustClose(b, j)
}

// BenchmarkAppend64 writes from 64 goroutines, as ops do that run at once.
func BenchmarkAppend64(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{})
	work := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range work {
				if _, err := j.Append(b.Context(), intent(1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	mustClose(b, j)
}

func mustLine(b *testing.B, r state.Record) []byte {
	line, err := Encode(&r)
	if err != nil {
		b.Fatal(err)
	}
	return line
}

// million makes a journal of a million records, the last run unfinished, without syncing each.
func million(b *testing.B) string {
	dir := b.TempDir()
	j := mustOpen(b, dir, Options{CheckpointEvery: 100_000, open: func(path string, size int64) (file, error) {
		f, err := openFile(path, size)
		return &unsynced{f}, err
	}})
	for run := range 100 {
		id := plan.OpID(string(rune('a' + run%26)))
		mustAppend(b, j, state.Record{Kind: state.KindApproved, Time: t0, Run: string(id), Plan: "sha256:0"})
		for i := range 4999 {
			r := intent(i)
			r.Run = string(id)
			mustAppend(b, j, r)
			r.Kind, r.Op = state.KindDone, nil
			mustAppend(b, j, r)
		}
		if run < 99 {
			mustAppend(b, j, state.Record{Kind: state.KindFinished, Time: t0, Run: string(id), Plan: "sha256:0"})
		}
	}
	for j.pos.Seq < 1_000_000 {
		mustAppend(b, j, state.Record{Kind: state.KindNote, Time: t0, Text: "to make it a million"})
	}
	mustClose(b, j)
	return dir
}

type unsynced struct{ file }

func (unsynced) Sync() error { return nil }

func BenchmarkMillion(b *testing.B) {
	dir := million(b)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			mustClose(b, mustOpen(b, dir, Options{}))
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if n := count(b, dir); n < 1_000_000 {
				b.Fatal(n)
			}
		}
	})
}
