// Package ceph observes a Ceph cluster and changes it, through the hosts it runs on: monitors, managers and OSDs from Debian's packages and
// ceph-volume, pools with their rules, and keys. What is observed is Ceph's own JSON, asked over one connection (ask.py). Keys are made on hosts, travel
// on stdin over SSH, and are taken out of every reply.
package ceph
