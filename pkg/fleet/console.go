package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// RecordConsole writes what a node's serial console prints into out until the context ends. It is a session of its own, beside those of Open: it
// lasts as long as the machine starts, and Serial-over-LAN is made for that.
func (m *Machines) RecordConsole(ctx context.Context, n model.Node, out io.Writer) error {
	user, password, err := m.Secrets.Resolve(n.BMC.Credentials)
	if err != nil {
		return fmt.Errorf("%s: BMC credentials: %w", n.Path, err)
	}
	return bmc.RecordConsole(ctx, bmc.Target{Address: n.BMC.Address, Credentials: bmc.Credentials{User: user, Password: password}, Log: m.Log}, out)
}

// ConsoleLog reads what a node's BMC has kept of its serial console.
func (m *Machines) ConsoleLog(ctx context.Context, n model.Node) (lines []string, err error) {
	c, err := m.Client(ctx, n)
	if err != nil {
		return nil, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, c.Close(ending))
	}()
	return c.ConsoleLog(ctx)
}
