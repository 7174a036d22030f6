//go:build e2e

// Package e2e holds the end-to-end tests: on a virtual rack of this machine, nuboctl makes hosts of powered-off blades, and what it did is
// looked at with the services' own tools. They need root, the packages of e2e/host-packages, and make build; make e2e does all that.
package e2e
