package running

import (
	"context"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// Watch waits until the booted slot is declared good, and reboots the host when that has not happened by the deadline. GRUB then boots
// the default slot. Ask is how often it looks.
func (h Host) Watch(ctx context.Context, deadline time.Duration, ask time.Duration, log func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tick := time.NewTicker(ask)
	defer tick.Stop()
	log(fmt.Sprintf("slot %s is on trial: it reboots in %s unless it is declared good", h.Booted, deadline.Round(time.Second)))
	for {
		if good, err := h.IsGood(); err != nil {
			log("look at the boot environment: " + err.Error())
		} else if good {
			log("slot " + h.Booted + " was declared good")
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if context.Cause(ctx) != context.DeadlineExceeded {
				return context.Cause(ctx)
			}
			return h.giveUp(log)
		}
	}
}

// giveUp reboots in order, and hard when that cannot even be asked for.
func (h Host) giveUp(log func(string)) error {
	log("slot " + h.Booted + " was not declared good in time: rebooting into the default slot")
	ctx := context.Background()
	_, err := h.Runner.Run(ctx, run.New("systemctl", "reboot"))
	if err == nil {
		return nil
	}
	log("reboot: " + err.Error() + "; forcing it")
	_, err = h.Runner.Run(ctx, run.New("systemctl", "reboot", "--force", "--force"))
	return err
}
