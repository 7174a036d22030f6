package etcd

import clientv3 "go.etcd.io/etcd/client/v3"

// WrapKV puts something between the store and etcd.
func (s *Store) WrapKV(wrap func(clientv3.KV) clientv3.KV) { s.client.KV = wrap(s.client.KV) }
