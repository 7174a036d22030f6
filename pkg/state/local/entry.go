package local

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// epochBucket holds the newest epoch of each scope and, under epochKey, the newest of all.
var (
	epochBucket = []byte("_epochs")
	epochKey    = []byte("\x00newest")
)

// encode puts the revision, big-endian in 8 bytes, before the value.
func encode(rev int64, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(rev)), value...)
}

// decode copies an entry out of the transaction's memory. nil data is a key that is not there.
func decode(key string, data []byte) (state.Entry, error) {
	if data == nil {
		return state.Entry{}, state.ErrNotFound
	}
	if len(data) < 8 {
		return state.Entry{}, fmt.Errorf("entry %q has %d bytes: %w", key, len(data), state.ErrDamaged)
	}
	return state.Entry{Key: key, Value: bytes.Clone(data[8:]), Rev: int64(binary.BigEndian.Uint64(data))}, nil
}

func scan(b *bolt.Bucket, prefix string) ([]state.Entry, error) {
	var out []state.Entry
	c := b.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		e, err := decode(string(k), v)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// apply makes the writes. Their revision is the number of the transaction, which grows with each one that is committed.
func apply(tx *bolt.Tx, writes []state.Write) error {
	for _, w := range writes {
		b, err := tx.CreateBucketIfNotExists([]byte(w.Bucket))
		if err != nil {
			return fmt.Errorf("bucket %q: %w", w.Bucket, err)
		}
		if err := check(b, w); err != nil {
			return err
		}
		key := []byte(w.Key)
		if w.Value == nil {
			err = b.Delete(key)
		} else {
			err = b.Put(key, encode(int64(tx.ID()), w.Value))
		}
		if err != nil {
			return fmt.Errorf("key %s/%s: %w", w.Bucket, w.Key, err)
		}
	}
	return nil
}

func check(b *bolt.Bucket, w state.Write) error {
	data := b.Get([]byte(w.Key))
	if w.If.Absent && data != nil {
		return fmt.Errorf("key %s/%s exists: %w", w.Bucket, w.Key, state.ErrConflict)
	}
	if w.If.Rev == 0 {
		return nil
	}
	if e, err := decode(w.Key, data); err != nil || e.Rev != w.If.Rev {
		return fmt.Errorf("key %s/%s is not at revision %d: %w", w.Bucket, w.Key, w.If.Rev, state.ErrConflict)
	}
	return nil
}

func epochs(tx *bolt.Tx) (map[string]int64, error) {
	out := map[string]int64{}
	b := tx.Bucket(epochBucket)
	if b == nil {
		return out, nil
	}
	return out, b.ForEach(func(k, v []byte) error {
		if len(v) != 8 {
			return fmt.Errorf("epoch of %q: %w", k, state.ErrDamaged)
		}
		if !bytes.Equal(k, epochKey) {
			out[string(k[1:])] = int64(binary.BigEndian.Uint64(v))
		}
		return nil
	})
}

// nextEpoch records the acquisition of a scope and returns its epoch.
func nextEpoch(tx *bolt.Tx, scope string) (int64, error) {
	b, err := tx.CreateBucketIfNotExists(epochBucket)
	if err != nil {
		return 0, fmt.Errorf("epochs: %w", err)
	}
	var n uint64 = 1
	if v := b.Get(epochKey); len(v) == 8 {
		n = binary.BigEndian.Uint64(v) + 1
	}
	data := binary.BigEndian.AppendUint64(nil, n)
	if err := b.Put(epochKey, data); err != nil {
		return 0, fmt.Errorf("epochs: %w", err)
	}
	return int64(n), b.Put([]byte("s"+scope), data)
}
