// Package ovs observes and changes Open vSwitch on a host through ovs-vsctl (ovs-vsctl(8), ovs-vswitchd.conf.db(5)).
//
// What is wanted is a [Spec], what is there a [State]; [Diff] computes the smallest change as data, and one ovs-vsctl call makes it in a
// single database transaction. [Driver.Ensure] arms an undo on the host before it changes anything: a snapshot of the database that a systemd
// timer puts back, unless the change is confirmed over a new connection in time.
package ovs
