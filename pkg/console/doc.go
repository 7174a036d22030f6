// Package console keeps what a machine said last when something failed on it: the end of its serial console and of the agent's log, beside the
// journal. It listens to the console while ops run that start a machine, since most BMCs keep nothing of it for later.
package console
