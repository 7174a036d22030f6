// Package image builds, keeps, signs, checks and serves the images that nubo boots and installs: root file systems of hosts, the
// ramdisk, a small guest. Building runs Debian's mmdebstrap from the machine's own apt configuration and gives the same bytes for the
// same inputs; a Store keeps the result by digest, cut in chunks, as package manifest describes it.
package image
