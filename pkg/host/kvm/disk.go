package kvm

import (
	"fmt"
	"path"
	"regexp"
	"slices"

	"libvirt.org/go/libvirtxml"
)

// Disk is a virtio disk: in a file or block device of the host, or an image of a Ceph pool.
type Disk struct {
	Path   string `json:"path,omitempty"`
	Format string `json:"format"` // raw or qcow2; an image of a pool is raw
	Block  bool   `json:"block,omitempty"`
	// Pool and Image name an RBD image. Monitors and the like come from the host's /etc/ceph/ceph.conf, so that a domain outlives them.
	Pool  string `json:"pool,omitempty"`
	Image string `json:"image,omitempty"`
	// User is the Ceph user without "client.", and Secret the UUID of the Secret that holds its key.
	User   string `json:"user,omitempty"`
	Secret string `json:"secret,omitempty"`
}

// poolName is what Ceph's own tools take without quoting; a slash or at sign would mean something else to librbd.
var poolName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// shared reports whether every host sees the same disk.
func (k Disk) shared() bool { return k.Pool != "" }

func (k Disk) check() error {
	if k.shared() {
		if k.Path != "" || k.Block || k.Format != "raw" || !poolName.MatchString(k.Pool) || !poolName.MatchString(k.Image) || !poolName.MatchString(k.User) || k.Secret == "" {
			return fmt.Errorf("disk %s/%s of user %q needs a pool, an image, a user, a secret, the format raw, and no path", k.Pool, k.Image, k.User)
		}
		return nil
	}
	if !path.IsAbs(k.Path) || !slices.Contains([]string{"raw", "qcow2"}, k.Format) {
		return fmt.Errorf("disk %q (format %q) needs an absolute path and the format raw or qcow2", k.Path, k.Format)
	}
	return nil
}

// xml describes the n-th disk. Of a file the host's cache is left out; an RBD image gets librbd's cache, which obeys the guest's flushes.
func (k Disk) xml(n int) libvirtxml.DomainDisk {
	source, cache := &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: k.Path}}, "none"
	switch {
	case k.Block:
		source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: k.Path}}
	case k.shared():
		source, cache = &libvirtxml.DomainDiskSource{Network: &libvirtxml.DomainDiskSourceNetwork{
			Protocol: "rbd", Name: k.Pool + "/" + k.Image,
			Auth: &libvirtxml.DomainDiskAuth{Username: k.User, Secret: &libvirtxml.DomainDiskSecret{Type: "ceph", UUID: k.Secret}},
		}}, "writeback"
	}
	return libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: k.Format, Cache: cache, Discard: "unmap"},
		Source: source,
		Target: &libvirtxml.DomainDiskTarget{Dev: target(n), Bus: "virtio"},
	}
}

// target is the name of the n-th disk in a domain.
func target(n int) string { return "vd" + string(rune('a'+n)) }

// projectDisk reads a disk back.
func projectDisk(x libvirtxml.DomainDisk) Disk {
	var k Disk
	switch s := x.Source; {
	case s.File != nil:
		k.Path = s.File.File
	case s.Block != nil:
		k.Path, k.Block = s.Block.Dev, true
	case s.Network != nil:
		k.Pool, k.Image = path.Split(s.Network.Name)
		k.Pool = path.Clean(k.Pool)
		auth := s.Network.Auth
		if auth == nil {
			auth = x.Auth
		}
		if auth != nil {
			k.User = auth.Username
			if auth.Secret != nil {
				k.Secret = auth.Secret.UUID
			}
		}
	}
	if x.Driver != nil {
		k.Format = x.Driver.Type
	}
	return k
}
