package remote

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Connector makes a new connection to one host.
type Connector func(ctx context.Context) (*Client, error)

// To is a Connector for a fixed target.
func To(t Target) Connector {
	return func(ctx context.Context) (*Client, error) { return Connect(ctx, t) }
}

// Link is a Host over a connection that is made when first needed, shared by all users, and made again when it broke. A command is tried
// again only when it certainly was not begun.
type Link struct {
	connect Connector
	turn    chan struct{} // holds one token: whoever has it may look at client and replace it

	mu     sync.Mutex
	client *Client
	closed bool

	talks talks
}

// NewLink makes a link; nothing is connected yet. Close it when done.
func NewLink(connect Connector) *Link {
	return &Link{connect: connect, turn: make(chan struct{}, 1)}
}

// errClosed is returned after Close.
var errClosed = errors.New("connection was closed by this side")

// get gives the shared connection.
func (l *Link) get(ctx context.Context) (*Client, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c, closed := l.current(); closed {
		return nil, errClosed
	} else if c != nil && !c.ended() {
		return c, nil
	}
	c, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	return l.keep(c)
}

func (l *Link) current() (*Client, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client, l.closed
}

// keep stores a new connection, unless Close came first.
func (l *Link) keep(c *Client) (*Client, error) {
	l.mu.Lock()
	if !l.closed {
		l.client = c
		l.mu.Unlock()
		return c, nil
	}
	l.mu.Unlock()
	_ = c.Close()
	return nil, errClosed
}

// Fresh makes a new connection beside the shared one: proof that the host can be reached now. The caller closes it.
func (l *Link) Fresh(ctx context.Context) (*Client, error) { return l.connect(ctx) }

// Pin gives the shared connection as it is now, for what must go over one and the same.
func (l *Link) Pin(ctx context.Context) (Host, error) {
	var pinned *Client
	// A connection that is dead is found out by asking something of it: then there is another one.
	err := l.use(ctx, func(c *Client) error {
		pinned = c
		_, err := c.Run(ctx, Command{Argv: []string{"true"}})
		return err
	})
	return pinned, err
}

// Drop ends the shared connection; the next use makes a new one. For after a reboot or a change of the network.
func (l *Link) Drop() {
	if c, _ := l.current(); c != nil {
		_ = c.Close()
	}
}

// Close ends the shared connection for good.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.talks.close()
	l.Drop()
	return nil
}

// Run runs a command over the shared connection.
func (l *Link) Run(ctx context.Context, cmd Command) (res Result, err error) {
	err = l.use(ctx, func(c *Client) error {
		res, err = c.Run(ctx, cmd)
		return err
	})
	return res, err
}

// Talk implements Talker. The programs end with the shared connection.
func (l *Link) Talk(ctx context.Context, program Command, line []byte) ([]byte, error) {
	return l.talks.ask(ctx, l, program, line)
}

// Write replaces a file over the shared connection.
func (l *Link) Write(ctx context.Context, file File) error { return writeFile(ctx, l, file) }

// Dial connects from the host over the shared connection.
func (l *Link) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = l.use(ctx, func(c *Client) error {
		conn, err = c.Dial(ctx, network, address)
		return err
	})
	return conn, err
}

// use calls do, a second time on a new connection when the first turned out to be dead before anything was begun.
func (l *Link) use(ctx context.Context, do func(*Client) error) error {
	c, err := l.get(ctx)
	if err != nil {
		return err
	}
	err = do(c)
	if err == nil || ctx.Err() != nil || !errors.Is(err, errNotStarted) {
		return err
	}
	_ = c.Close()
	if c, err = l.get(ctx); err != nil {
		return err
	}
	return do(c)
}

// WaitReachable connects, again and again with growing pauses (up to 5 s), until it succeeds or ctx ends. A wrong host key or a refused login
// ends it at once: waiting does not mend them. waiting, which may be nil, is told each failure.
func WaitReachable(ctx context.Context, connect Connector, waiting func(error)) (*Client, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 250*time.Millisecond, 5*time.Second
	var last error
	client, err := backoff.Retry(ctx, func() (*Client, error) {
		c, err := connect(ctx)
		switch {
		case err == nil:
			return c, nil
		case !errors.Is(err, ErrUnreachable):
			return nil, backoff.Permanent(err)
		}
		last = err
		if waiting != nil {
			waiting(err)
		}
		return nil, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		return client, nil
	case ctx.Err() != nil && last != nil:
		return nil, errors.Join(context.Cause(ctx), last)
	}
	return nil, err
}
