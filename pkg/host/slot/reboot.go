package slot

import (
	"context"
	"errors"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Reboot asks for an orderly restart. That the connection breaks over it is no failure: WaitRebooted is the proof.
func Reboot(ctx context.Context, h remote.Host) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"systemctl", "reboot"}})
	if err != nil && !errors.Is(err, remote.ErrUnreachable) {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}

// PowerOff asks for an orderly shutdown that ends with the machine switched off. That the connection breaks over it is no failure: the BMC is the proof.
func PowerOff(ctx context.Context, h remote.Host) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"systemctl", "poweroff"}})
	if err != nil && !errors.Is(err, remote.ErrUnreachable) {
		return fmt.Errorf("power off: %w", err)
	}
	return nil
}

// errSameBoot is what WaitRebooted waits over.
var errSameBoot = errors.New("host has not restarted yet")

// WaitRebooted connects again and again until the host answers with another boot id than before, or ctx ends. waiting, which may be nil, is
// told why it is not so yet. The caller closes the connection.
func WaitRebooted(ctx context.Context, connect remote.Connector, before string, waiting func(error)) (*remote.Client, Facts, error) {
	var facts Facts
	client, err := remote.WaitReachable(ctx, func(ctx context.Context) (*remote.Client, error) {
		c, err := connect(ctx)
		if err != nil {
			return nil, err
		}
		facts, err = Observe(ctx, c)
		if err == nil && facts.BootID == before {
			err = errors.Join(errSameBoot, remote.ErrUnreachable)
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		return c, nil
	}, waiting)
	if err != nil {
		return nil, Facts{}, fmt.Errorf("wait for the restart: %w", err)
	}
	return client, facts, nil
}
