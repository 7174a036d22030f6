package ceph

import (
	"context"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Require has a cluster start no OSD of a major release below this one any more ("osd require-osd-release", OSDMonitor.cc). Ceph refuses one that an OSD which is up, or a
// monitor in quorum, does not have, and one below what it requires already. It may be repeated.
func Require(ctx context.Context, h remote.Host, release int) error {
	name := model.CephReleaseName(release)
	if name == "" {
		return fmt.Errorf("the name of release %d of Ceph is not known: ceph osd require-osd-release NAME, by hand", release)
	}
	return tell(ctx, h, cmd("osd require-osd-release", "release", name))
}
