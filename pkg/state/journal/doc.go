// Package journal keeps the journal of what was tried and what came of it: JSON lines in segment files that are only appended to. A record
// is on disk (fdatasync) when Append returns; records that wait at the same time share one write and one sync. Each record carries the
// hash of the one before it. A checkpoint says where to begin reading, so opening does not depend on how much was ever written.
//
// What a crash leaves behind the last acknowledged record is recognised and cut off. What is wrong before it was edited or damaged, and is
// never touched: every record names the newest record that was safe when it was written, so the two cannot be confused.
package journal
