// Package pki gives hosts X.509 certificates of an authority that the operator keeps. The key of each is made on its host and never leaves it: what
// travels is a request one way and a certificate the other.
package pki
