package provision

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// SlotOrder signs an order by which the agent of the node's running host writes its idle slot, and brings the relay of the node's network the image.
// It returns the signed order and the relay's base address. No machine boots by it: it is never armed, and the state does not keep it.
func (p *Provisioner) SlotOrder(ctx context.Context, n model.Node, spec model.Digest, report func(text string, done, total int64)) (envelope []byte, url string, err error) {
	if n.Image.Digest == "" {
		return nil, "", fmt.Errorf("%s: image %s is not in the image store; build it with: nuboctl image build %s", n.Path, n.Image.Name, n.Image.Name)
	}
	if got := facts.HostSpec(n.Image.Digest, n.Config); got != spec {
		return nil, "", fmt.Errorf("%s: its image and configuration are %s, the plan was made with %s; plan again", n.Path, got.Short(), spec.Short())
	}
	_, network, err := BootNIC(p.Desired, n)
	if err != nil {
		return nil, "", err
	}
	c, err := p.Relay(ctx, network.Name)
	if err != nil {
		return nil, "", err
	}
	if err := p.supply(ctx, c, nil, n.Image.Digest, report); err != nil {
		return nil, "", err
	}
	if url, err = c.URL(ctx); err != nil {
		return nil, "", err
	}
	o, err := p.write(n, order.Slot, spec, Record{})
	if err != nil {
		return nil, "", err
	}
	signed, err := order.Sign(o, p.Key)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", n.Path, err)
	}
	envelope, err = json.Marshal(signed)
	return envelope, url, err
}
