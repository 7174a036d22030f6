// Package installer is what runs in the ramdisk: it takes the signed order for this machine, proves it, chooses the root disk and
// nothing else, asks once for consent to write, lays the disk down, fills the first slot and reports. Whatever goes wrong before the
// consent leaves every disk as it was. The subpackages hold the parts that a running host uses too.
package installer
