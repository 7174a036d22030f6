package etcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// WrapKV puts something between the store and etcd.
func (s *Store) WrapKV(wrap func(clientv3.KV) clientv3.KV) { s.client.KV = wrap(s.client.KV) }

// CountAsks tells how many asks stand in etcd.
func (s *Store) CountAsks(ctx context.Context) (int, error) {
	resp, err := s.client.Get(ctx, s.key(keyAsks), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return int(resp.Count), nil
}
