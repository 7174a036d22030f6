package etcd

import (
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// FuzzValues reads anything as what stands in etcd beside the entries: versions, epochs, leases, the journal's head and the checkpoint's parts.
func FuzzValues(f *testing.F) {
	f.Add([]byte("1"), []byte("7"), []byte(`{"format_version":1,"scope":"lab","epoch":7,"holder":{"user":"ann","pid":1},"ttl_ns":1000,"process":"b pid:[1] 1 2"}`))
	f.Add([]byte("2"), []byte("-"), []byte(`{"seq":1,"hash":"00"}`))
	f.Add([]byte(""), []byte("9223372036854775808"), []byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, version, epoch, value []byte) {
		answer := func(key string, v []byte) *etcdserverpb.ResponseOp {
			kvs := []*mvccpb.KeyValue{{Key: []byte(key), Value: v, ModRevision: 1, CreateRevision: 1}}
			return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: &etcdserverpb.RangeResponse{Kvs: kvs}}}
		}
		resp := &clientv3.TxnResponse{Responses: []*etcdserverpb.ResponseOp{answer(keyVersion, version), answer(keyEpoch, epoch), answer(keyLeases, value)}}
		if table, err := readTable(resp); err == nil {
			for _, l := range table.leases {
				_ = l.locked().Error()
				ended(l.info.Process)
			}
		}
		if _, err := readHead([]*mvccpb.KeyValue{{Value: value}}, 1); err == nil && len(value) == 0 {
			t.Fatal("nothing is no head")
		}
		var fold journal.Fold
		_ = unpack(value, &fold)
	})
}
