package ceph

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// mover is a part of the manager that moves data by itself, and is held while hosts are taken out of service: each of its moves would be one more that has
// to end before the next host may go.
type mover struct {
	name string
	look Command // what it does now
	// moves reads from the answer whether it works.
	moves func(Reply) bool
	hold  Command
	undo  string // the command of ceph(8) that lets it go on
}

// movers are the balancer and, from Ceph 17 on, the autoscaler of placement groups.
func movers() []mover {
	return []mover{
		{name: "balancer", look: toMgr(cmd("balancer status")), hold: toMgr(cmd("balancer off")), undo: "balancer on", moves: func(r Reply) bool {
			var status struct {
				Active bool `json:"active"`
			}
			return json.Unmarshal(r.Out, &status) == nil && status.Active
		}},
		{name: "autoscaler", look: toMgr(cmd("osd pool get noautoscale")), hold: toMgr(cmd("osd pool set noautoscale")), undo: "osd pool unset noautoscale",
			moves: func(r Reply) bool { return strings.HasSuffix(strings.TrimSpace(r.Text+string(r.Out)), "off") }},
	}
}

// Hold holds what moves data by itself until the mark's end, and gives the keys of the marks, whose end hosts have to wait for (Arm). What does not move now
// and has no mark of ours was held by somebody else, and is left alone; so is what this release of Ceph does not know.
func Hold(ctx context.Context, h remote.Host, m Mark) (keys []string, err error) {
	for _, one := range movers() {
		key := "nubo/hold/" + one.name
		replies, err := ask(ctx, h, patience, false, one.look, cmd("config-key get", "key", key))
		if err != nil {
			return keys, err
		}
		var have Mark
		if replies[1].Code == 0 {
			if err := json.Unmarshal(replies[1].Out, &have); err != nil {
				return keys, fmt.Errorf("mark %s: %w", key, err)
			}
		}
		moves := replies[0].Code == 0 && one.moves(replies[0])
		if !moves && have.Until == 0 {
			continue
		}
		if have.Epoch > m.Epoch {
			return keys, fmt.Errorf("mark %s: %w: it has epoch %d, this is %d", key, remote.ErrFenced, have.Epoch, m.Epoch)
		}
		m.Undo = one.undo
		if err := m.set(ctx, h, key); err != nil {
			return keys, err
		}
		keys = append(keys, key)
		if moves {
			if err := tell(ctx, h, one.hold); err != nil {
				return keys, err
			}
		}
	}
	return keys, nil
}
