// Package control is how other processes on the same machine speak to the one that holds the lease: HTTP with JSON over a Unix socket that
// only its owner can open. It answers status, and takes pause, resume and abort.
package control
