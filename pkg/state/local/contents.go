package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Export reads everything, as it is at one moment. It needs no lease.
func (s *Store) Export(ctx context.Context) (state.Contents, error) {
	var c state.Contents
	err := s.view(ctx, func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if bytes.Equal(name, epochBucket) {
				if v := b.Get(epochKey); len(v) == 8 {
					c.Epoch = int64(binary.BigEndian.Uint64(v))
				}
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				e, err := decode(string(k), v)
				c.Entries = append(c.Entries, state.Stray{Bucket: string(name), Key: e.Key, Value: e.Value})
				return err
			})
		})
	})
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return c, fmt.Errorf("read the state: %w", err)
	}
	c.Sort()
	return c, nil
}

// Import puts contents in the place of everything that is there, all or nothing. Leases that are taken afterwards have newer epochs than
// both.
func (s *Store) Import(ctx context.Context, f state.Fence, c state.Contents) error {
	writes := make([]state.Write, len(c.Entries))
	for i, e := range c.Entries {
		writes[i] = state.Write{Bucket: e.Bucket, Key: e.Key, Value: e.Value}
	}
	return s.update(ctx, f, func(tx *bolt.Tx) error {
		var old [][]byte
		err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			if !bytes.Equal(name, epochBucket) {
				old = append(old, bytes.Clone(name))
			}
			return nil
		})
		for _, name := range old {
			err = errors.Join(err, tx.DeleteBucket(name))
		}
		if err := errors.Join(err, apply(tx, writes)); err != nil {
			return err
		}
		b := tx.Bucket(epochBucket)
		if v := b.Get(epochKey); len(v) == 8 && int64(binary.BigEndian.Uint64(v)) >= c.Epoch {
			return nil
		}
		return b.Put(epochKey, binary.BigEndian.AppendUint64(nil, uint64(c.Epoch)))
	})
}
