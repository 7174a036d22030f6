package bmc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/bmc-toolbox/bmclib/v2"
	"github.com/go-logr/logr"
	"github.com/jacobweinstock/registrar"
)

// callTimeout bounds one exchange when the context does not.
const callTimeout = time.Minute

// client is bmclib with one driver of ours in its registry, and what bmclib does not do: it
// reads back, retries, and gives errors a kind.
type client struct {
	target Target
	addr   Address
	log    *slog.Logger
	lib    *bmclib.Client
	driver any // the one in lib's registry
	turn   chan struct{}
}

var _ Client = (*client)(nil)

// Open logs in to a BMC and makes sure that the expected machine is behind it. The certificate
// is verified before the credentials leave. The context bounds opening only. The caller closes
// the client; when Open fails there is nothing to close.
func Open(ctx context.Context, t Target) (Client, error) {
	// bmclib prints login bodies when this is set.
	if err := os.Unsetenv("DEBUG_BMCLIB"); err != nil {
		return nil, fmt.Errorf("unset DEBUG_BMCLIB: %w", err)
	}
	addr, err := ParseAddress(t.Address)
	if err != nil {
		return nil, err
	}
	c := &client{target: t, addr: addr, log: t.logger(), turn: make(chan struct{}, 1)}
	if err := c.prepare(); err != nil {
		return nil, &Error{Op: "open", Address: addr.String(), Kind: ErrInvalid, Cause: clean(err, t.Credentials), Remedy: remedies[ErrInvalid]}
	}
	if err := c.retry(ctx, "log in", c.lib.Open); err != nil {
		return nil, err
	}
	if err := c.recognise(ctx); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// prepare checks the target and puts its driver into a registry. Nothing is sent.
func (c *client) prepare() error {
	if err := c.target.check(c.addr); err != nil {
		return err
	}
	registry := registrar.NewRegistry()
	var err error
	switch c.addr.Protocol {
	case Redfish:
		c.driver, err = newRedfishDriver(c.target, c.addr)
	case IPMI:
		c.driver, err = newIPMIDriver(c.target, c.addr)
	}
	if err != nil {
		return err
	}
	registry.Register(string(c.addr.Protocol), string(c.addr.Protocol), nil, nil, c.driver)
	// The credentials are the driver's; the façade needs none.
	c.lib = bmclib.NewClient(c.addr.Host, "", "",
		bmclib.WithRegistry(registry), bmclib.WithLogger(logr.Discard()), bmclib.WithPerProviderTimeout(callTimeout))
	return nil
}

// recognise compares the machine with what is expected.
func (c *client) recognise(ctx context.Context) error {
	want := strings.TrimSpace(c.target.Expect.Serial)
	if want == "" {
		return nil
	}
	got, err := c.Identity(ctx)
	if err != nil {
		return err
	}
	const op = "check identity"
	switch {
	case strings.EqualFold(got.Serial, want):
		return nil
	case got.Serial == "" && c.target.Expect.AllowUnknown:
		c.log.Warn("BMC: it tells no serial number, the machine is not identified", "address", c.addr.String(), "expected", want)
		return nil
	case got.Serial == "":
		return c.wrap(op, fault(ErrIdentity, "the BMC tells no serial number, expected %s", want).
			advise("if its BMC cannot tell one, leave serial out of the node: the installer then knows the machine by its MAC addresses"))
	}
	return c.wrap(op, fault(ErrIdentity, "serial number %s is behind this address, expected %s", got.Serial, want))
}

// Close implements Client.
func (c *client) Close(ctx context.Context) error { return c.call(ctx, "log out", c.lib.Close) }

// call runs one exchange: alone, bounded, and with its failure in our words.
func (c *client) call(ctx context.Context, op string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return c.wrap(op, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return c.wrap(op, err)
	}
	err := do(ctx)
	if ended := ctx.Err(); err != nil && ended != nil {
		err = errors.Join(err, ended)
	}
	return c.wrap(op, err)
}

// wrap gives an error the operation and the address, and takes the password out of it.
func (c *client) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := Error{Kind: ErrUnreachable, Cause: err}
	var known *Error
	if errors.As(err, &known) {
		wrapped = *known
	}
	if wrapped.Remedy == "" {
		wrapped.Remedy = remedies[wrapped.Kind]
	}
	wrapped.Op, wrapped.Address = op, c.addr.String()
	wrapped.Cause = clean(wrapped.Cause, c.target.Credentials, c.secret()).endedBy(err)
	return &wrapped
}

// secret is what the driver knows that must not be shown, beside the password.
func (c *client) secret() string {
	if d, ok := c.driver.(interface{ secret() string }); ok {
		return d.secret()
	}
	return ""
}

// lacks is the error for an operation that the driver does not have.
func (c *client) lacks(op string) error {
	return c.wrap(op, fault(ErrUnsupported, "the driver for %s does not have it", c.addr.Protocol))
}
