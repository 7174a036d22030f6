package running

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
)

// Try has GRUB boot a complete slot once. The default stays; deadline is how long the tried system has, from its boot, to be declared
// good before it reboots into the default. It does not reboot.
func (h Host) Try(name string, deadline time.Duration) error {
	status, err := h.Status()
	if err != nil {
		return err
	}
	switch one := status.Slot(name); {
	case name == h.Booted:
		return refuse("slot %s is the booted one", name)
	case one.State != Written && one.State != Good:
		return refuse("slot %s is %s: write it first", name, one.State)
	}
	return h.set(func(env boot.Env) bool {
		seconds := strconv.Itoa(int(deadline.Seconds()))
		if env[boot.NextSlot] == name && env[boot.TrySeconds] == seconds {
			return false
		}
		env[boot.NextSlot], env[boot.TrySeconds] = name, seconds
		return true
	})
}

// Good makes the booted slot the default and ends its trial.
func (h Host) Good(ctx context.Context) error {
	err := h.set(func(env boot.Env) bool {
		if env[boot.DefaultSlot] == h.Booted && env[boot.Good(h.Booted)] == "1" && env[boot.NextSlot] == "" {
			return false
		}
		env[boot.DefaultSlot], env[boot.Good(h.Booted)], env[boot.NextSlot] = h.Booted, "1", ""
		return true
	})
	if err != nil {
		return err
	}
	if _, err := h.Runner.Run(ctx, run.New("systemctl", "stop", slot.TryUnit)); err != nil {
		return fmt.Errorf("slot %s is the default now, but its trial goes on until it sees that: %w", h.Booted, err)
	}
	return nil
}

// Cancel takes a Try back that has not been booted yet.
func (h Host) Cancel() error {
	return h.set(func(env boot.Env) bool {
		if env[boot.NextSlot] == "" {
			return false
		}
		env[boot.NextSlot] = ""
		return true
	})
}

// IsGood reports whether the booted slot is the default.
func (h Host) IsGood() (bool, error) {
	nonce, err := h.diskNonce()
	if err != nil {
		return false, err
	}
	env, err := h.environment(nonce, nil)
	return env[boot.DefaultSlot] == h.Booted, err
}

// set changes the boot environment; change says whether it did.
func (h Host) set(change func(boot.Env) bool) error {
	nonce, err := h.diskNonce()
	if err != nil {
		return err
	}
	if _, err := h.environment(nonce, func(env boot.Env) (bool, error) { return change(env), nil }); err != nil {
		return fmt.Errorf("change what boots next: %w", err)
	}
	return nil
}
