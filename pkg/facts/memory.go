package facts

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// The bounds of an OSD's memory target, in bytes: Ceph's own minimum (osd_memory_target in global.yaml.in), and more than what helps.
const (
	osdMemoryLeast = 896 * mib
	osdMemoryMost  = 16 * gib
)

// OSDMemoryTarget is an OSD's share of a host's memory, both in bytes: seven tenths for all OSDs of a host that does nothing else, two where virtual
// machines need theirs. The shares are those of cephadm's autotuning (mgr/cephadm/autotune_memory_target_ratio and its advice for hyperconverged hosts).
func OSDMemoryTarget(memory int64, osds int, hyperconverged bool) int64 {
	share := memory / 10 * 7
	if hyperconverged {
		share = memory / 10 * 2
	}
	return min(max(share/int64(max(osds, 1)), osdMemoryLeast), osdMemoryMost)
}

// MDSCache is what a metadata server may keep in memory of names and directories, in bytes, on a host with so many: a sixteenth, and Ceph's own default at most
// (mds_cache_memory_limit). The server takes up to half as much again.
func MDSCache(memory int64) int64 { return min(max(memory/16, 256*mib), 4*gib) }

// ownMemory is what a host keeps of its memory for itself, in MiB: the system with Open vSwitch and libvirt; one part in 64 for page tables and for what QEMU
// needs beside each guest's memory; for each OSD its target and a quarter for peaks; monitors, managers, metadata servers and object gateways. System and daemons have a fixed
// share, or a part of the memory where that is less.
func ownMemory(n model.Node, p model.Profile) int64 {
	total := int64(n.MemoryGiB) << 10
	own := min(8<<10, total/8) + total/64
	for _, r := range n.Roles {
		switch r {
		case model.RoleCephOSD:
			osds := max(p.OSDs, 1)
			own += int64(osds) * OSDMemoryTarget(total*mib, osds, slices.Contains(n.Roles, model.RoleCompute)) / mib * 5 / 4
		case model.RoleCephMon:
			own += min(4<<10, total/16)
		case model.RoleCephRGW:
			own += min(4<<10, total/16)
		case model.RoleCephMDS:
			own += MDSCache(total*mib) / mib * 3 / 2
		case model.RoleCephMgr:
			own += min(2<<10, total/32)
		}
	}
	return own
}
