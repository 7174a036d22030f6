package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/statetest"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func acquire(t *testing.T, s *etcd.Store, scope string) state.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), scope, statetest.Holder("ann"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openJournal(t *testing.T, s *etcd.Store, l state.Lease) *etcd.Journal {
	t.Helper()
	j, err := s.Journal(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func appendTo(t *testing.T, j *etcd.Journal, r state.Record) state.Record {
	t.Helper()
	r, err := j.Append(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closing(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func intent(run string, i int) state.Record {
	op := plan.Op{Kind: plan.PowerOn, Target: plan.Subject(fmt.Sprintf("node:lab/r1/az1/a/blade-%04d", i))}
	op.ID = plan.ID(op.Kind, op.Target)
	return state.Record{Kind: state.KindIntent, Time: t0, Run: run, Plan: "sha256:00", OpID: op.ID, Op: &op}
}

// verified reads the whole journal and returns how many records it has.
func verified(t *testing.T, s *etcd.Store) int64 {
	t.Helper()
	rep, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rep.Records
}

func TestJournal(t *testing.T) {
	cfg := fresh()
	s := open(t, cfg)
	j := openJournal(t, s, acquire(t, s, "lab"))
	appendTo(t, j, state.Record{Kind: state.KindApproved, Time: t0, Run: "r", Plan: "sha256:00", By: "ann"})
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 150 { // enough for a checkpoint in the middle
				if _, err := j.Append(t.Context(), intent("r", 1000*c+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	last := appendTo(t, j, state.Record{Kind: state.KindDone, Time: t0, Run: "r", Plan: "sha256:00", OpID: intent("r", 0).OpID})
	if last.Seq != 1202 || last.Epoch == 0 || last.Ack != 1201 {
		t.Fatalf("%+v", last)
	}
	closing(t, j)
	closing(t, s)

	s = open(t, cfg)
	defer closing(t, s)
	if n := verified(t, s); n != 1202 {
		t.Fatalf("%d records", n)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 1 || len(runs[0].Open()) != 1199 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	l := acquire(t, s, "lab")
	j = openJournal(t, s, l)
	if r := appendTo(t, j, state.Record{Kind: state.KindFinished, Time: t0, Run: "r", Plan: "sha256:00"}); r.Seq != 1203 || r.Prev != last.Hash || r.Epoch <= last.Epoch {
		t.Fatalf("%+v", r)
	}
	if _, ok := j.Finished("sha256:00"); !ok || len(j.Runs()) != 0 {
		t.Fatal("the run is not finished")
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), intent("r", 1)); !errors.Is(err, state.ErrFenced) {
		t.Fatalf("a journal without its lease took a record: %v", err)
	}
	closing(t, j)
}

// TestJournalOfTwoRegions: holders of different regions write into one chain at the same time, and each knows what the other wrote.
func TestJournalOfTwoRegions(t *testing.T) {
	cfg := fresh()
	var wg sync.WaitGroup
	for _, region := range []string{"lab/r1", "lab/r2"} {
		wg.Go(func() {
			s := open(t, cfg)
			defer closing(t, s)
			j := openJournal(t, s, acquire(t, s, region))
			defer closing(t, j)
			for i := range 40 {
				appendTo(t, j, intent(region, i))
			}
		})
	}
	wg.Wait()
	s := open(t, cfg)
	defer closing(t, s)
	if n := verified(t, s); n != 80 {
		t.Fatalf("%d records", n)
	}
}

// TestJournalEdited changes records behind the program's back: it is found.
func TestJournalEdited(t *testing.T) {
	cfg := fresh()
	s := open(t, cfg)
	defer closing(t, s)
	j := openJournal(t, s, acquire(t, s, ""))
	for i := range 5 {
		appendTo(t, j, intent("r", i))
	}
	raw, err := clientv3.New(clientv3.Config{Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.User, Password: cfg.Password})
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, raw)
	key := func(n int) string { return fmt.Sprintf("%s/journal/%016d", cfg.Prefix, n) }
	for name, edit := range map[string]func() (undo func() error, err error){
		"one byte": func() (func() error, error) {
			was, err := raw.Get(t.Context(), key(2))
			if err != nil {
				return nil, err
			}
			bad := append([]byte(nil), was.Kvs[0].Value...)
			bad[len(bad)/2] ^= 1
			_, err = raw.Put(t.Context(), key(2), string(bad))
			return func() error { _, err := raw.Put(t.Context(), key(2), string(was.Kvs[0].Value)); return err }, err
		},
		"taken away": func() (func() error, error) {
			was, err := raw.Get(t.Context(), key(5))
			if err == nil {
				_, err = raw.Delete(t.Context(), key(5))
			}
			return func() error { _, err := raw.Put(t.Context(), key(5), string(was.Kvs[0].Value)); return err }, err
		},
		"put behind": func() (func() error, error) {
			_, err := raw.Put(t.Context(), key(6), "{}")
			return func() error { _, err := raw.Delete(t.Context(), key(6)); return err }, err
		},
	} {
		undo, err := edit()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(t.Context()); !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
	if n := verified(t, s); n != 5 {
		t.Fatalf("%d records", n)
	}
}

// lossy does what it is asked and loses every second answer.
type lossy struct {
	clientv3.KV
	mu   *sync.Mutex
	n    *int
	lost *int
}

type lossyTxn struct {
	clientv3.Txn
	l lossy
}

func (l lossy) Txn(ctx context.Context) clientv3.Txn { return lossyTxn{l.KV.Txn(ctx), l} }

func (t lossyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t lossyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t lossyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }
func (t lossyTxn) Commit() (*clientv3.TxnResponse, error) {
	resp, err := t.Txn.Commit()
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if *t.l.n++; err == nil && *t.l.n%2 == 1 {
		*t.l.lost++
		return nil, status.Error(codes.Unavailable, "the answer was lost")
	}
	return resp, err
}

// TestAnswersLost: every transaction is made, and every second answer is lost. Nothing is done twice, and nothing that was done is refused.
func TestAnswersLost(t *testing.T) {
	s := open(t, fresh())
	defer closing(t, s)
	lost, n := 0, 0
	s.WrapKV(func(kv clientv3.KV) clientv3.KV { return lossy{kv, new(sync.Mutex), &n, &lost} })
	l := acquire(t, s, "lab")
	j := openJournal(t, s, l)
	counter := state.NewBucket[int](s, l.Fence(), "counters")
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for i := range 5 {
				if _, err := j.Append(t.Context(), intent("r", 10*c+i)); err != nil {
					t.Error(err)
				}
				if _, err := counter.Update(t.Context(), "n", func(n int) (int, error) { return n + 1, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, err := counter.Get(t.Context(), "n"); err != nil || v != 20 {
		t.Fatalf("counted to %d (%v)", v, err)
	}
	if n := verified(t, s); n != 20 || lost < 10 {
		t.Fatalf("%d records, %d answers were lost", n, lost)
	}
}

// overtaken loses the answer to the first transaction and has somebody else write before it is asked again.
type overtaken struct {
	clientv3.KV
	then func()
}

type overtakenTxn struct {
	clientv3.Txn
	then func()
}

func (o overtaken) Txn(ctx context.Context) clientv3.Txn { return overtakenTxn{o.KV.Txn(ctx), o.then} }

func (t overtakenTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t overtakenTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t overtakenTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }
func (t overtakenTxn) Commit() (*clientv3.TxnResponse, error) {
	resp, err := t.Txn.Commit()
	if t.then != nil && err == nil {
		t.then()
		return nil, status.Error(codes.Unavailable, "the answer was lost")
	}
	return resp, err
}

// TestAnswerLostAndOvertaken: a record is written, the answer is lost, and the holder of another region writes behind it. It is in the journal once.
func TestAnswerLostAndOvertaken(t *testing.T) {
	cfg := fresh()
	s, other := open(t, cfg), open(t, cfg)
	defer closing(t, s)
	defer closing(t, other)
	j := openJournal(t, s, acquire(t, s, "lab/r1"))
	elsewhere := openJournal(t, other, acquire(t, other, "lab/r2"))
	var plain clientv3.KV
	s.WrapKV(func(kv clientv3.KV) clientv3.KV {
		plain = kv
		return overtaken{kv, func() {
			s.WrapKV(func(clientv3.KV) clientv3.KV { return plain })
			appendTo(t, elsewhere, intent("elsewhere", 0))
		}}
	})
	mine := appendTo(t, j, intent("mine", 0))
	next := appendTo(t, j, intent("mine", 1))
	if n := verified(t, s); n != 3 || mine.Seq != 1 || next.Seq != 3 {
		t.Errorf("%d records; mine are %d and %d, and somebody else's is between", n, mine.Seq, next.Seq)
	}
	closing(t, j)
	closing(t, elsewhere)
}

// TestLargeCommit makes more writes and conditions than etcd takes in a transaction: all or none.
func TestLargeCommit(t *testing.T) {
	s := open(t, fresh())
	defer closing(t, s)
	f := acquire(t, s, "").Fence()
	many := func(n int, c state.Condition) []state.Write {
		out := make([]state.Write, n)
		for i := range out {
			out[i] = state.Write{Bucket: "b", Key: fmt.Sprintf("key-%04d", i), Value: []byte("v"), If: c}
		}
		return out
	}
	if err := s.Commit(t.Context(), f, many(3000, state.Condition{Absent: true})...); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context(), "b", "")
	if err != nil || len(list) != 3000 {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	again := append([]state.Write{{Bucket: "b", Key: "before", Value: []byte("v")}}, many(3000, state.Condition{})...)
	again[2900].If.Absent = true
	for i := range 200 {
		again[100+i].If.Rev = list[99+i].Rev
	}
	if err := s.Commit(t.Context(), f, again...); !errors.Is(err, state.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "b", "before"); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("half of a commit was made: %v", err)
	}
	again[2900].If.Absent = false
	if err := s.Commit(t.Context(), f, again...); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), f, many(5000, state.Condition{})...); err == nil {
		t.Fatal("more than etcd takes")
	}
}
