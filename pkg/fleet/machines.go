// Package fleet reaches the nodes of an inventory: their management controllers, their hosts, and the virtual machines on them. It joins
// what the inventory and the state say of a node (address, trust, credentials, host keys) with the drivers of packages bmc, remote and host,
// and offers the ports that ops and observe declare.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
)

// Secrets resolves what the inventory only names.
type Secrets interface {
	Resolve(ref model.SecretRef) (user, password string, err error)
}

// Machines implements ops.Machines over package bmc: one session per machine at a time, and few per controller.
type Machines struct {
	Secrets Secrets
	Log     *slog.Logger

	mu    sync.Mutex
	turns map[string]chan struct{} // BMC address, or controller → tokens for whoever has a session there
}

// Open waits for its turn at the BMC, proves who it is, logs in, and compares the machine's serial number with the node's.
func (m *Machines) Open(ctx context.Context, n model.Node) (ops.Machine, error) {
	c, err := m.Client(ctx, n)
	if err != nil {
		return nil, err
	}
	return machine{c}, nil
}

// Client is Open with all that the BMC can do.
func (m *Machines) Client(ctx context.Context, n model.Node) (bmc.Client, error) {
	user, password, err := m.Secrets.Resolve(n.BMC.Credentials)
	if err != nil {
		return nil, fmt.Errorf("%s: BMC credentials: %w", n.Path, err)
	}
	give, err := m.take(ctx, n.BMC.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: wait for another session with its BMC to end: %w", n.Path, err)
	}
	c, err := bmc.Open(ctx, bmc.Target{
		Address:     n.BMC.Address,
		Credentials: bmc.Credentials{User: user, Password: password},
		Trust:       bmc.Trust{CA: []byte(n.BMC.CA), Pin: n.BMC.Pin, AllowPlainHTTP: n.BMC.Insecure, AllowUnverified: n.BMC.Insecure},
		Expect:      bmc.Expect{Serial: n.Serial, AllowUnknown: n.Serial == ""},
		Firmware:    bmc.Firmware(n.BMC.Firmware),
		Log:         m.Log,
	})
	if err != nil {
		give()
		return nil, fmt.Errorf("%s: %w", n.Path, err)
	}
	return &turn{Client: c, give: give}, nil
}

// perController is how many sessions one controller gets from us at once, where it is the BMC of several machines: controllers have few.
const perController = 4

// take waits until nobody has a session with the BMC of this machine, and its controller has few, and returns what ends the turn.
func (m *Machines) take(ctx context.Context, address string) (func(), error) {
	machine, err := take(ctx, m.places(address, 1))
	if err != nil {
		return nil, err
	}
	a, err := bmc.ParseAddress(address)
	if err != nil {
		return machine, nil // opening it will say what is wrong
	}
	controller, err := take(ctx, m.places("controller "+a.HostPort(), perController))
	if err != nil {
		machine()
		return nil, err
	}
	return func() { controller(); machine() }, nil
}

// places are the tokens for those who have a session there.
func (m *Machines) places(name string, n int) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turns == nil {
		m.turns = map[string]chan struct{}{}
	}
	t, ok := m.turns[name]
	if !ok {
		t = make(chan struct{}, n)
		m.turns[name] = t
	}
	return t
}

func take(ctx context.Context, t chan struct{}) (func(), error) {
	select {
	case t <- struct{}{}:
		return sync.OnceFunc(func() { <-t }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// turn is a session that gives its place back.
type turn struct {
	bmc.Client
	give func()
}

// Close ends the session and the turn.
func (t *turn) Close(ctx context.Context) error {
	defer t.give()
	return t.Client.Close(ctx)
}

// machine is a session in the words of ops.
type machine struct{ c bmc.Client }

func (m machine) Power(ctx context.Context) (model.Power, error) {
	p, err := m.c.Power(ctx)
	if err != nil {
		return model.PowerUnknown, err
	}
	return model.Power(p), nil
}

func (m machine) SetPower(ctx context.Context, want model.Power) error {
	return m.c.SetPower(ctx, bmc.PowerState(want))
}

func (m machine) Boot(ctx context.Context) (string, error) {
	o, err := m.c.BootOverride(ctx)
	if err != nil {
		return "", err
	}
	if o.Device == bmc.BootPXE || o.Device == bmc.BootHTTP {
		return facts.NetBoot, nil
	}
	return "", nil
}

// SetBoot goes to the disk where a BMC cannot do without any override: what firmware is set to is the disk for every machine of ours.
func (m machine) SetBoot(ctx context.Context, from string) error {
	if from == facts.NetBoot {
		return bmc.BootNetworkOnce(ctx, m.c)
	}
	err := m.c.BootOnce(ctx, bmc.BootNone)
	if err != nil && (errors.Is(err, bmc.ErrUnsupported) || errors.Is(err, bmc.ErrReverted)) {
		return m.c.BootOnce(ctx, bmc.BootDisk)
	}
	return err
}

func (m machine) Close(ctx context.Context) error { return m.c.Close(ctx) }
