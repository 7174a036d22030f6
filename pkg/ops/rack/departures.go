package rack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
)

// departures are nodes that leave their cluster: data needs a while to move, and Ceph lets nothing go before that.
type departures struct{ f *Rack }

// moveTime is from an OSD that is marked out to one that holds nothing.
const moveTime = 12 * time.Minute

// moved reports whether the data of a blade's OSD is elsewhere.
func (f *Rack) moved(b *blade) bool { return !b.out.IsZero() && f.clock.Now().Sub(b.out) >= moveTime }

// cluster acts on the node's cluster, through the host of another member.
func (p departures) cluster(ctx context.Context, n model.Node, do func(b *blade) error) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, m := range p.f.desired.Nodes {
		other := p.f.blades[m.Path]
		if m.Path.Region() == n.Path.Region() && m.Path != n.Path && slices.Contains(other.daemons, model.RoleCephMon) && other.answers() {
			return do(p.f.blades[n.Path])
		}
	}
	return fmt.Errorf("%s: no other monitor answers", n.Path)
}

func (p departures) Out(ctx context.Context, n model.Node, osds []int) error {
	return p.cluster(ctx, n, func(b *blade) error {
		if len(osds) > 0 && b.out.IsZero() {
			b.out = p.f.clock.Now()
		}
		return b.reply("mark it out")
	})
}

func (p departures) destroyable(b *blade) error {
	if !b.purged && !p.f.moved(b) {
		return fmt.Errorf("EBUSY: placement groups are on it: %w", ops.ErrNeeded)
	}
	return nil
}

func (p departures) Destroyable(ctx context.Context, n model.Node, osds []int) error {
	if len(osds) == 0 {
		return ctx.Err()
	}
	return p.cluster(ctx, n, p.destroyable)
}

func (p departures) Purge(ctx context.Context, n model.Node, _ []int) error {
	return p.cluster(ctx, n, func(b *blade) error {
		if err := p.destroyable(b); err != nil {
			return err
		}
		b.purged = true
		return b.reply("remove it")
	})
}

func (p departures) Leave(ctx context.Context, n model.Node) error {
	return p.cluster(ctx, n, func(b *blade) error {
		b.daemons = slices.DeleteFunc(slices.Clone(b.daemons), func(r model.Role) bool {
			return r == model.RoleCephMon || r == model.RoleCephMgr || r == model.RoleCephMDS || r == model.RoleCephRGW
		})
		b.ceph = false
		return b.reply("take its daemons out")
	})
}

func (p departures) Wipe(ctx context.Context, n model.Node, serials []string) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	b := p.f.blades[n.Path]
	switch {
	case !b.answers():
		return fmt.Errorf("%s does not answer", n.Path)
	case !b.purged:
		return errors.New("an OSD still runs there")
	}
	b.wiped = b.wiped || slices.Contains(serials, "osd-"+n.Name)
	return b.reply("wipe a disk")
}
