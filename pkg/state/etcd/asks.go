package etcd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// How often a holder looks for asks, and who asks for the answer.
const (
	hearEvery = 500 * time.Millisecond
	waitEvery = 250 * time.Millisecond
	// backTime bounds the taking back of an ask.
	backTime = 10 * time.Second
)

// askInfo is the value of an ask's key. Until it is taken the key ends with a lease of the asker's, which he does not renew. Who takes it makes it end
// with the lease that it is for, and his answer with the asker's again, so that it can be read when he is gone. Nothing is ever left behind, and whether an
// ask can still be acted on is decided by etcd, in one place.
type askInfo struct {
	FormatVersion int           `json:"format_version"`
	Ask           state.Ask     `json:"ask"`
	Lease         int64         `json:"lease"` // the asker's
	Taken         bool          `json:"taken,omitempty"`
	Answer        *state.Answer `json:"answer,omitempty"`
}

func (s *Store) askKeys(epoch int64) string { return s.key(keyAsks, strconv.FormatInt(epoch, 10), "/") }

// pending is an ask that this process has written.
type pending struct {
	s      *Store
	ask    state.Ask
	key    string
	grant  clientv3.LeaseID // what the key ends with until it is taken
	holder heldLease
	taken  bool // seen to be
}

// Ask implements state.Asks. It needs no lease.
func (s *Store) Ask(ctx context.Context, a state.Ask) (state.Answer, error) {
	p := &pending{s: s, ask: a, key: s.askKeys(a.Fence.Epoch) + rand.Text()}
	var answer *state.Answer
	err := p.put(ctx)
	if err == nil {
		answer, err = p.wait(ctx)
	}
	if answer != nil {
		_ = p.revoke(ctx) // it ends by itself otherwise
		return *answer, nil
	}
	if !errors.Is(err, state.ErrNobody) && !errors.Is(err, state.ErrUnanswered) {
		err = fmt.Errorf("%w; %w", err, p.withdraw(ctx))
	}
	return state.Answer{}, fmt.Errorf("ask to %s: %w", a.Verb, err)
}

// nobody says that nobody will act on an ask.
func (p *pending) nobody(why string) error { return fmt.Errorf("%w: %s", state.ErrNobody, why) }

func (p *pending) over() error {
	return p.nobody(fmt.Sprintf("the lease of %q, epoch %d, has ended", p.ask.Fence.Scope, p.ask.Fence.Epoch))
}

// put writes the ask, provided that the lease that it is for is held at that moment.
func (p *pending) put(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	t, err := p.s.table(ctx)
	if err != nil {
		return err
	}
	held := false
	for _, l := range t.leases {
		if l.info.Scope == p.ask.Fence.Scope && l.info.Epoch == p.ask.Fence.Epoch {
			p.holder, held = l, true
		}
	}
	if !held {
		return p.over()
	}
	err = p.s.call(ctx, "write what is asked", func(ctx context.Context) error {
		resp, err := p.s.client.Grant(ctx, int64(p.s.cfg.AskTTL.Seconds()))
		if err == nil {
			p.grant = resp.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	value, err := json.Marshal(askInfo{FormatVersion: formatVersion, Ask: p.ask, Lease: int64(p.grant)})
	if err != nil {
		return err
	}
	lease := p.s.key(keyLeases, p.ask.Fence.Scope)
	there := false
	err = p.s.call(ctx, "write what is asked", func(ctx context.Context) error {
		// An attempt whose answer was lost may have been made: what is there, taken perhaps, is not written again.
		resp, err := p.s.client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(lease), "=", p.holder.id), clientv3.Compare(clientv3.CreateRevision(p.key), "=", 0)).
			Then(clientv3.OpPut(p.key, string(value), clientv3.WithLease(p.grant))).Else(clientv3.OpGet(p.key)).Commit()
		there = err == nil && (resp.Succeeded || len(resp.Responses[0].GetResponseRange().Kvs) > 0)
		return err
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return p.nobody(fmt.Sprintf("it could not be written within %s", p.s.cfg.AskTTL))
	case err != nil:
		return err
	case !there:
		return p.over()
	}
	return nil
}

// wait looks what becomes of the ask, until it is answered, or nobody will.
func (p *pending) wait(ctx context.Context) (*state.Answer, error) {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	var late <-chan time.Time // set when it is taken: answering is a matter of moments
	for {
		answer, err := p.look(ctx)
		if answer != nil || err != nil && ctx.Err() == nil {
			return answer, err
		}
		if p.taken && late == nil {
			late = time.After(p.s.cfg.AskTTL)
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, state.ErrUnanswered
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// look tells the answer, when it is there, or why there will be none.
func (p *pending) look(ctx context.Context) (*state.Answer, error) {
	var resp *clientv3.TxnResponse
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := p.s.call(ctx, "wait for an answer", func(ctx context.Context) (err error) {
		resp, err = p.s.client.Txn(ctx).Then(clientv3.OpGet(p.key), clientv3.OpGet(p.s.key(keyLeases, p.ask.Fence.Scope))).Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	mine, lease := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	over := len(lease) == 0 || clientv3.LeaseID(lease[0].Lease) != p.holder.id
	var now askInfo
	if len(mine) > 0 {
		if err := json.Unmarshal(mine[0].Value, &now); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", p.key, state.ErrDamaged, err)
		}
		p.taken = p.taken || now.Taken
	}
	switch {
	case now.Answer != nil:
		return now.Answer, nil
	case len(mine) > 0 && over && !now.Taken:
		return nil, errors.Join(p.over(), p.revoke(ctx)) // and nobody can take it any more
	case len(mine) > 0:
		return nil, nil
	case p.taken || over:
		// A key that is gone before its time had been taken, and went with its taker's lease.
		return nil, p.gone(ctx)
	}
	return nil, p.nobody(fmt.Sprintf("nobody has taken it within %s", p.s.cfg.AskTTL))
}

// gone says what became of an ask whose key went away, as its taker's lease has, or whose taker has said nothing.
func (p *pending) gone(ctx context.Context) error {
	alive := true
	err := p.s.call(ctx, "wait for an answer", func(ctx context.Context) error {
		resp, err := p.s.client.TimeToLive(ctx, p.grant)
		alive = err == nil && resp.TTL > 0
		return err
	})
	switch {
	case err != nil:
		return err
	case p.taken || alive:
		return state.ErrUnanswered
	}
	return fmt.Errorf("%w; whether it was taken before is not known", p.over())
}

// errWithdrawn is what an ask comes to that was taken back in time.
var errWithdrawn = errors.New("nobody had taken it, and it is withdrawn")

// withdraw takes the ask back unless it was taken, and says which it was, or that this is not known. What it writes in the ask's place keeps an attempt to write
// that one, which is still under way, from being made later.
func (p *pending) withdraw(ctx context.Context) error {
	if p.grant == 0 {
		return errWithdrawn // it was never written
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTime)
	defer cancel()
	taken := false
	err := p.s.call(ctx, "withdraw what was asked", func(ctx context.Context) error {
		// Its second version is the one that was taken.
		resp, err := p.s.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(p.key), "<", 2)).Then(clientv3.OpPut(p.key, "", clientv3.WithLease(p.grant))).
			Else(clientv3.OpGet(p.key)).Commit()
		if err == nil && !resp.Succeeded {
			kvs := resp.Responses[0].GetResponseRange().Kvs
			taken = len(kvs) > 0 && len(kvs[0].Value) > 0
		}
		return err
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound) && !p.taken:
		return errWithdrawn // it has ended, and cannot be written any more
	case err != nil:
		return fmt.Errorf("it may have been taken; if not, it ends by itself within %s: %w", p.s.cfg.AskTTL, err)
	case taken || p.taken:
		return errors.New("it was taken before it could be withdrawn, and is acted on")
	}
	_ = p.revoke(ctx) // it ends by itself otherwise
	return errWithdrawn
}

// revoke ends the ask's lease, and with it the key, unless somebody has taken it.
func (p *pending) revoke(ctx context.Context) error {
	return p.s.revoke(context.WithoutCancel(ctx), p.grant)
}

// Answer implements state.Asks. While etcd does not answer, nothing is heard.
func (s *Store) Answer(ctx context.Context, l state.Lease, do func(state.Ask) state.Answer) error {
	own, ok := l.(*lease)
	if !ok || own.store != s {
		return errors.New("etcd: asks are answered under a lease of the same store")
	}
	ctx, cancel := own.bound(ctx)
	defer cancel()
	var last error // an error may pass, and a run goes on meanwhile
	h := hearing{s: s, l: own, do: do, done: map[string]state.Answer{}}
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	for {
		if err := h.all(ctx); ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if last != nil && !errors.Is(last, ErrUnreachable) {
				return fmt.Errorf("asks under lease %q, epoch %d: %w", own.fence.Scope, own.fence.Epoch, last)
			}
			return nil
		case <-tick.C:
		}
	}
}

// hearing answers what is asked of a lease.
type hearing struct {
	s    *Store
	l    *lease
	do   func(state.Ask) state.Answer
	done map[string]state.Answer // what was acted on, by key, until the key is gone: etcd may not know of the answer yet
}

// all answers what is there now.
func (h hearing) all(ctx context.Context) error {
	from := h.s.askKeys(h.l.fence.Epoch)
	kvs, err := h.s.scan(ctx, "look what is asked", from, clientv3.GetPrefixRangeEnd(from), 0)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	var errs []error
	for _, kv := range kvs {
		there[string(kv.Key)] = true
		errs = append(errs, h.one(ctx, kv))
	}
	maps.DeleteFunc(h.done, func(key string, _ state.Answer) bool { return !there[key] })
	return errors.Join(errs...)
}

// one takes an ask, acts on it once, and answers.
func (h hearing) one(ctx context.Context, kv *mvccpb.KeyValue) error {
	var info askInfo
	if json.Unmarshal(kv.Value, &info) != nil || info.FormatVersion != formatVersion || info.Ask.Fence != h.l.fence || info.Answer != nil {
		return nil // not of a program like this one, or answered
	}
	key := string(kv.Key)
	if !info.Taken { // otherwise by an earlier attempt of this lease, whose answer was lost
		if taken, err := h.take(ctx, kv, info); !taken {
			return err
		}
	}
	answer, acted := h.done[key]
	if !acted {
		answer = h.do(info.Ask)
		h.done[key] = answer
	}
	return h.answer(ctx, kv, info, answer)
}

// take makes an ask this lease's to act on, unless it was withdrawn, is over, or the lease is.
func (h hearing) take(ctx context.Context, kv *mvccpb.KeyValue, info askInfo) (taken bool, err error) {
	info.Taken = true
	value, err := json.Marshal(info)
	if err != nil {
		return false, err
	}
	key := string(kv.Key)
	err = h.s.call(ctx, "take what is asked", func(ctx context.Context) error {
		resp, err := h.s.client.Txn(ctx).If(h.l.here(h.s), clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).
			Then(clientv3.OpPut(key, string(value), clientv3.WithLease(h.l.id))).Else(clientv3.OpGet(key)).Commit()
		if err == nil {
			// Nobody else writes there: what stands there as taken was written by an earlier attempt whose answer was lost.
			taken = resp.Succeeded || len(resp.Responses[0].GetResponseRange().Kvs) > 0 && string(resp.Responses[0].GetResponseRange().Kvs[0].Value) == string(value)
		}
		return err
	})
	return taken, err
}

// answer writes the answer, also when the holder is about to end. An asker that is gone gets none.
func (h hearing) answer(ctx context.Context, kv *mvccpb.KeyValue, info askInfo, a state.Answer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	if len(a.Status) > maxBytes/2 {
		a.Status = nil // more than etcd takes at once
	}
	info.Taken, info.Answer = true, &a
	value, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return h.s.call(ctx, "answer what is asked", func(ctx context.Context) error {
		until := clientv3.LeaseID(info.Lease)
		if _, err := h.s.client.KeepAliveOnce(ctx, until); errors.Is(err, rpctypes.ErrLeaseNotFound) {
			until = h.l.id
		} else if err != nil {
			return err
		}
		_, err := h.s.client.Txn(ctx).If(h.l.here(h.s), clientv3.Compare(clientv3.CreateRevision(string(kv.Key)), "=", kv.CreateRevision)).
			Then(clientv3.OpPut(string(kv.Key), string(value), clientv3.WithLease(until))).Commit()
		return err
	})
}
