// Package control is how other processes on the same machine ask the one that holds the lease: HTTP with JSON over a Unix socket that only its owner can
// open. It is the embedded store's way of handing asks over, and works on the holder's machine as well when a shared store cannot be reached.
package control
