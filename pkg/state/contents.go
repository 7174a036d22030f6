package state

import (
	"cmp"
	"slices"
)

// Contents is everything in a store but its leases and its journal: what moves when a state moves.
type Contents struct {
	// Epoch is the newest epoch ever given. Hosts and relays refuse older ones, so a state that moves must go on behind it.
	Epoch   int64   `json:"epoch"`
	Entries []Stray `json:"entries"`
}

// Stray is an entry with the bucket it belongs to.
type Stray struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Value  []byte `json:"value"`
}

// Sort puts the entries in the order of bucket and key.
func (c *Contents) Sort() {
	slices.SortFunc(c.Entries, func(a, b Stray) int { return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key)) })
}
