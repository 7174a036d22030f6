package state

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Moved is a view of a store in which nodes have moved: what is kept under a node's former path is found under its present one. Nothing is
// changed; Rename does that.
func Moved(s Store, moves []model.Move) Store {
	if len(moves) == 0 {
		return s
	}
	return &moved{Store: s, moves: moves}
}

type moved struct {
	Store
	moves []model.Move
}

// former gives the key under which a key was kept before its node moved.
func (m *moved) former(key string) (string, bool) {
	for _, v := range m.moves {
		if k, ok := rekey(key, v.To, v.From); ok {
			return k, true
		}
	}
	return "", false
}

// present gives the key under which a key is found now.
func (m *moved) present(key string) (string, bool) {
	for _, v := range m.moves {
		if k, ok := rekey(key, v.From, v.To); ok {
			return k, true
		}
	}
	return "", false
}

// rekey puts a path in the place of another at the beginning of a key: the key itself, or one below it.
func rekey(key string, from, to model.Path) (string, bool) {
	if !from.Contains(model.Path(key)) {
		return "", false
	}
	return string(to) + strings.TrimPrefix(key, string(from)), true
}

// Get implements Store.
func (m *moved) Get(ctx context.Context, bucket, key string) (Entry, error) {
	e, err := m.Store.Get(ctx, bucket, key)
	if !errors.Is(err, ErrNotFound) {
		return e, err
	}
	old, ok := m.former(key)
	if !ok {
		return e, err
	}
	if was, oldErr := m.Store.Get(ctx, bucket, old); oldErr == nil {
		was.Key = key
		return was, nil
	}
	return e, err
}

// List implements Store. What is there under the present path wins.
func (m *moved) List(ctx context.Context, bucket, prefix string) ([]Entry, error) {
	all, err := m.Store.List(ctx, bucket, "")
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, e := range all {
		have[e.Key] = true
	}
	var out []Entry
	for _, e := range all {
		if now, ok := m.present(e.Key); ok {
			if have[now] {
				continue
			}
			e.Key = now
		}
		if strings.HasPrefix(e.Key, prefix) {
			out = append(out, e)
		}
	}
	sortEntries(out)
	return out, nil
}

// Rename writes every entry of the buckets about nodes under its node's present path, and removes the former one, all or none.
func Rename(ctx context.Context, s Store, f Fence, moves []model.Move) error {
	m := &moved{Store: s, moves: moves}
	var writes []Write
	for _, bucket := range []string{bucketHostKeys, bucketAddresses, bucketHosts, bucketOrders} {
		all, err := s.List(ctx, bucket, "")
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for _, e := range all {
			have[e.Key] = true
		}
		for _, e := range all {
			now, ok := m.present(e.Key)
			if !ok || have[now] {
				continue
			}
			writes = append(writes, Write{Bucket: bucket, Key: now, Value: e.Value, If: Condition{Absent: true}}, Write{Bucket: bucket, Key: e.Key, If: Condition{Rev: e.Rev}})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return s.Commit(ctx, f, writes...)
}

func sortEntries(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
}
