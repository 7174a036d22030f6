package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// checkpoint is where reading may begin: the fold of every record up to Pos.
type checkpoint struct {
	Pos  position
	Fold journal.Fold
}

// checkpointInfo is the value of the checkpoint's key; the fold itself stands in parts, compressed, because it can be larger than a request.
type checkpointInfo struct {
	FormatVersion int          `json:"format_version"`
	Pos           position     `json:"pos"`
	Parts         int          `json:"parts"`
	Digest        model.Digest `json:"digest"` // of the parts together
}

// partSize is the size of a part; see maxBytes.
const partSize = 512 << 10

// mostFold bounds what a fold may be when it is unpacked.
const mostFold = 1 << 30

func (s *Store) partKey(seq int64, part int) string {
	return s.key(keyParts, fmt.Sprintf("%016d/%06d", seq, part))
}

// checkpoint writes one: first its parts, then the key that leads to them, then the parts of older ones are removed.
func (j *Journal) checkpoint() error {
	j.mu.Lock()
	text, err := json.Marshal(&j.fold)
	j.mu.Unlock()
	if err != nil {
		return fmt.Errorf("journal checkpoint: %w", err)
	}
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		return fmt.Errorf("journal checkpoint: %w", err)
	}
	data := packer.EncodeAll(text, nil)
	info := checkpointInfo{FormatVersion: formatVersion, Pos: j.pos, Digest: model.DigestBytes(data)}
	ctx, cancel := j.lease.bound(context.Background())
	defer cancel()
	for ; len(data) > 0; info.Parts++ {
		n := min(partSize, len(data))
		if err := j.guarded(ctx, clientv3.OpPut(j.store.partKey(j.pos.Seq, info.Parts), string(data[:n]))); err != nil {
			return err
		}
		data = data[n:]
	}
	text, err = json.Marshal(info)
	if err != nil {
		return fmt.Errorf("journal checkpoint: %w", err)
	}
	if err := j.guarded(ctx, clientv3.OpPut(j.store.key(keyCheckpoint), string(text))); err != nil {
		return err
	}
	j.saved = j.pos.Seq
	return j.guarded(ctx, clientv3.OpDelete(j.store.key(keyParts), clientv3.WithRange(j.store.partKey(j.pos.Seq, 0))))
}

// guarded makes one write while the lease is held; it may be made twice.
func (j *Journal) guarded(ctx context.Context, op clientv3.Op) error {
	return j.store.call(ctx, "write the journal's checkpoint", func(ctx context.Context) error {
		resp, err := j.store.client.Txn(ctx).If(j.lease.here(j.store)).Then(op).Commit()
		if err == nil && !resp.Succeeded {
			return fenced(j.lease.fence)
		}
		return err
	})
}

// readCheckpoint returns the newest checkpoint up to a head. One that cannot be used, because it is gone or another one is being written, costs
// time only: then everything is read.
func (s *Store) readCheckpoint(ctx context.Context, h head) (checkpoint, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var info checkpointInfo
	found := false
	err := s.call(ctx, "read the journal's checkpoint", func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.key(keyCheckpoint), clientv3.WithRev(h.rev))
		if err == nil && len(resp.Kvs) > 0 {
			found = json.Unmarshal(resp.Kvs[0].Value, &info) == nil && info.FormatVersion == formatVersion
		}
		return err
	})
	if err != nil || !found || info.Pos.Seq > h.pos.Seq {
		return checkpoint{}, err
	}
	parts, err := s.scan(ctx, "read the journal's checkpoint", s.partKey(info.Pos.Seq, 0), s.partKey(info.Pos.Seq, info.Parts), h.rev)
	if err != nil {
		return checkpoint{}, err
	}
	var data bytes.Buffer
	for _, kv := range parts {
		data.Write(kv.Value)
	}
	c := checkpoint{Pos: info.Pos}
	if model.DigestBytes(data.Bytes()) != info.Digest || unpack(data.Bytes(), &c.Fold) != nil {
		return checkpoint{}, nil
	}
	return c, s.reached(ctx, c.Pos, h)
}

func unpack(data []byte, fold *journal.Fold) error {
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(mostFold))
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := r.DecodeAll(data, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, fold)
}

// reached checks that the record with which the checkpoint ends is there: otherwise records that were safe are gone.
func (s *Store) reached(ctx context.Context, pos position, h head) error {
	var line []byte
	err := s.call(ctx, "read the journal", func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.recordKey(pos.Seq), clientv3.WithRev(h.rev))
		if err == nil && len(resp.Kvs) > 0 {
			line = resp.Kvs[0].Value
		}
		return err
	})
	if err != nil {
		return err
	}
	r, err := journal.Decode(line)
	if err == nil && r.Hash != pos.Hash {
		err = fmt.Errorf("it holds record %d: %w", r.Seq, state.ErrDamaged)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal in etcd: record %d, which its checkpoint ends with, is not there: %w", pos.Seq, state.ErrDamaged), err)
	}
	return nil
}
