// Package state holds what cannot be observed again: who owns what, digests last laid down, addresses given, orders with their nonces,
// host keys. It declares one port for the store, which the embedded driver (state/local) and a shared one implement alike, the records of
// the journal (state/journal), and the typed buckets that the rest of the program works with. Nothing in a store is secret.
package state
