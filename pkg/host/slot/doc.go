// Package slot observes a running host — release, kernel, boot id, failed units, what it was made of — and asks nubo's agent there to write
// its idle slot, boot it once, and declare the booted one good. What a slot is: design, section 9.
package slot
