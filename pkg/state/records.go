package state

import (
	"encoding/json"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// The names of the buckets. A key that is a node is its path.
const (
	bucketHostKeys  = "hostkeys"
	bucketAddresses = "addresses"
	bucketHosts     = "hosts"
	bucketOrders    = "orders"
)

// HostKeys are the public SSH host keys of each node, in authorized_keys form, as they were reported under an order's nonce.
func HostKeys(s Store, f Fence) Bucket[[]string] { return NewBucket[[]string](s, f, bucketHostKeys) }

// Address is an address that was given to something and must not be given to anything else.
type Address struct {
	IP      string    `json:"ip"` // with prefix length: "10.77.0.12/24"
	MAC     string    `json:"mac,omitempty"`
	Network string    `json:"network"`
	Given   time.Time `json:"given"`
}

// Addresses are the addresses given, by "NODE NETWORK".
func Addresses(s Store, f Fence) Bucket[Address] { return NewBucket[Address](s, f, bucketAddresses) }

// Host is what was last laid down on a node.
type Host struct {
	Spec   model.Digest      `json:"spec"` // of image, configuration and disks together
	Image  model.ImageRef    `json:"image"`
	Config model.Digest      `json:"config"`
	Slot   string            `json:"slot,omitempty"`
	Serial string            `json:"serial,omitempty"`
	Order  string            `json:"order,omitempty"`  // the order that laid it down
	Facets map[string]string `json:"facets,omitempty"` // digests of single services: "ovs", "kvm"
	At     time.Time         `json:"at"`
}

// Hosts are what was last laid down, by node.
func Hosts(s Store, f Fence) Bucket[Host] { return NewBucket[Host](s, f, bucketHosts) }

// Orders are the install orders. T is the record of the package that owns orders; the store knows only that it is JSON.
func Orders[T any](s Store, f Fence) Bucket[T] { return NewBucket[T](s, f, bucketOrders) }

// Raw is a bucket of JSON that is not looked into.
func Raw(s Store, f Fence, name string) Bucket[json.RawMessage] {
	return NewBucket[json.RawMessage](s, f, name)
}
