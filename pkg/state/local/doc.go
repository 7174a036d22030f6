// Package local is the embedded driver of state.Store: one bbolt file in a directory, and beside it a lock file that says who holds it.
//
// The lock is the kernel's (an open file description lock, fcntl(2)), so it ends with its process, however that ends. The holder keeps the
// file open for writing. Everybody else reads without asking the holder, who may be stopped or hung: bbolt never overwrites a page that
// its last committed meta page leads to, so a copy of the file is consistent whenever both meta pages are the same before and after.
package local
