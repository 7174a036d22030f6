// Package etcd is the shared driver of state.Store, for several operators and CI at once: state, leases and journal in etcd (version 3.4 or
// newer), each change one transaction.
//
// A lease of a scope is a key that etcd removes when its holder has not been heard for the time to live. Every write names that key as it was
// made, so what a holder writes after its lease has ended is refused by etcd itself, not by the holder's clock. The holder stops earlier: at
// two thirds of the time to live after the last sign of life that etcd has confirmed, by a clock that goes on while the machine sleeps.
//
// The journal is one chain for all scopes: the same records, with the same hashes, as the one in files (package journal).
package etcd
