package facts

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func TestOSDMemoryTarget(t *testing.T) {
	for _, tc := range []struct {
		memory int64
		osds   int
		hyper  bool
		want   int64
	}{
		{3 * gib, 1, true, osdMemoryLeast}, {256 * gib, 8, false, osdMemoryMost}, {4096 * gib, 4, false, osdMemoryMost},
		{512 * gib, 10, true, 512 * gib / 10 * 2 / 10}, {gib, 0, false, osdMemoryLeast},
	} {
		if got := OSDMemoryTarget(tc.memory, tc.osds, tc.hyper); got != tc.want {
			t.Errorf("%d bytes, %d OSDs, hyperconverged %v: %d, want %d", tc.memory, tc.osds, tc.hyper, got, tc.want)
		}
	}
}

// TestRoom: what the OSDs are told to use is not offered to virtual machines, and small hosts keep a part for themselves, not the share of large ones.
func TestRoom(t *testing.T) {
	all := []model.Role{model.RoleCompute, model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD}
	for _, tc := range []struct {
		memory, osds int
		roles        []model.Role
		want         int64
	}{
		{512, 10, all, 512<<10 - 8<<10 - 8<<10 - 10*((512<<10)/10*2/10)*5/4 - 4<<10 - 2<<10},
		{1536, 0, all[:1], 1536<<10 - 8<<10 - 24<<10},
		{3, 1, all, 3<<10 - 384 - 48 - 896*5/4 - 192 - 96},
		{3, 0, all, 3<<10 - 384 - 48 - 896*5/4 - 192 - 96}, // where the OSDs are not counted there is one
		{1, 1, all, 0},
	} {
		var h plan.Host
		Room(&h, model.Node{Roles: tc.roles, Cores: 4, MemoryGiB: tc.memory}, model.Profile{OSDs: tc.osds})
		if d := h.MemoryMiB - tc.want; d < -16 || d > 16 { // each OSD's target, and its quarter, is rounded down to a MiB
			t.Errorf("%d GiB and %d OSDs leave %d MiB, want %d", tc.memory, tc.osds, h.MemoryMiB, tc.want)
		}
	}
}
