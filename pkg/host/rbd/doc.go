// Package rbd keeps the disks of virtual machines as images of Ceph pools (RADOS block devices), by Ceph's own tools on a host that holds the
// administrator's key. Images grow and never shrink, and none is removed here.
package rbd
