package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Bucket is a typed view of one bucket of a store: values are kept as JSON. Reading needs no lease; a Bucket made with the zero Fence
// reads only.
type Bucket[T any] struct {
	store Store
	fence Fence
	name  string
}

// NewBucket views the bucket of that name; writes are made under the fence.
func NewBucket[T any](s Store, f Fence, name string) Bucket[T] {
	return Bucket[T]{store: s, fence: f, name: name}
}

// Item is one key of a bucket with its value.
type Item[T any] struct {
	Key   string
	Value T
}

// Get returns the value of a key; an absent one is ErrNotFound.
func (b Bucket[T]) Get(ctx context.Context, key string) (T, error) {
	v, _, err := b.get(ctx, key)
	return v, err
}

// Lookup returns the value of a key and whether it is there.
func (b Bucket[T]) Lookup(ctx context.Context, key string) (T, bool, error) {
	v, _, err := b.get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return v, false, nil
	}
	return v, err == nil, err
}

func (b Bucket[T]) get(ctx context.Context, key string) (T, int64, error) {
	var v T
	e, err := b.store.Get(ctx, b.name, key)
	if err != nil {
		return v, 0, err
	}
	return v, e.Rev, b.decode(e, &v)
}

// List returns the items whose keys begin with prefix, sorted by key.
func (b Bucket[T]) List(ctx context.Context, prefix string) ([]Item[T], error) {
	entries, err := b.store.List(ctx, b.name, prefix)
	if err != nil {
		return nil, err
	}
	out := make([]Item[T], len(entries))
	for i, e := range entries {
		out[i].Key = e.Key
		if err := b.decode(e, &out[i].Value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Put sets a key.
func (b Bucket[T]) Put(ctx context.Context, key string, v T) error {
	w, err := b.Write(key, v)
	if err != nil {
		return err
	}
	return b.store.Commit(ctx, b.fence, w)
}

// Write is the write that Put would make, for a Commit together with others.
func (b Bucket[T]) Write(key string, v T) (Write, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Write{}, fmt.Errorf("store %s/%s: %w", b.name, key, err)
	}
	return Write{Bucket: b.name, Key: key, Value: data}, nil
}

// Delete removes a key; removing an absent one is no error.
func (b Bucket[T]) Delete(ctx context.Context, key string) error {
	return b.store.Commit(ctx, b.fence, Write{Bucket: b.name, Key: key})
}

// Update reads a key, lets change decide, and writes the result if nobody wrote in between; otherwise it does so again. An absent key is
// given to change as the zero value. An error of change is returned as it is, and nothing is written.
func (b Bucket[T]) Update(ctx context.Context, key string, change func(T) (T, error)) (T, error) {
	for {
		old, rev, err := b.get(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return old, err
		}
		next, err := change(old)
		if err != nil {
			return next, err
		}
		w, err := b.Write(key, next)
		if err != nil {
			return next, err
		}
		w.If = Condition{Absent: rev == 0, Rev: rev}
		if err = b.store.Commit(ctx, b.fence, w); !errors.Is(err, ErrConflict) {
			return next, err
		}
	}
}

func (b Bucket[T]) decode(e Entry, v *T) error {
	if err := json.Unmarshal(e.Value, v); err != nil {
		return fmt.Errorf("store %s/%s: %w: %w", b.name, e.Key, ErrDamaged, err)
	}
	return nil
}
