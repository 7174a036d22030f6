package ceph

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// BalancerKey is the key of the mark of the balancer that is held.
const BalancerKey = "nubo/hold/balancer"

// HoldBalancer keeps the manager's balancer from moving data until the mark's end: each of its moves would be one more that has to end before the next host
// may go. It gives whether there is a mark now, whose end hosts have to wait for (Arm). A balancer that is off without a mark of ours was switched off by
// somebody else, and is left alone.
//
// The autoscaler of placement groups is not held: "osd pool unset noautoscale" of Ceph 16 switches it on for every pool, also for those that had it off
// (pg_autoscaler/module.py).
func HoldBalancer(ctx context.Context, h remote.Host, m Mark) (marked bool, err error) {
	replies, err := ask(ctx, h, false, toMgr(cmd("balancer status")), cmd("config-key get", "key", BalancerKey))
	if err != nil {
		return false, err
	}
	var status struct {
		Active bool `json:"active"`
	}
	var have Mark
	switch answer, mark := replies[0], replies[1]; {
	case answer.Code != 0:
		return false, fmt.Errorf("ceph balancer status: %s (error %d)", answer.Text, -answer.Code)
	case json.Unmarshal(answer.Out, &status) != nil:
		return false, fmt.Errorf("ceph balancer status: its answer cannot be read: %.200s", answer.Out)
	case mark.Code == 0 && json.Unmarshal(mark.Out, &have) != nil:
		return false, fmt.Errorf("mark %s cannot be read: %.200s", BalancerKey, mark.Out)
	case !status.Active && have.Until == 0:
		return false, nil
	case have.Epoch > m.Epoch:
		return false, fmt.Errorf("mark %s: %w: it has epoch %d, this is %d", BalancerKey, remote.ErrFenced, have.Epoch, m.Epoch)
	}
	m.Undo = "balancer on"
	if err := m.set(ctx, h, BalancerKey); err != nil {
		return false, err
	}
	return true, tell(ctx, h, toMgr(cmd("balancer off")))
}
