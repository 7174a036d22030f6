package remote

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is a Host over one SSH connection. It does not reconnect: see Link. Close it when done.
type Client struct {
	target Target
	ssh    *ssh.Client
	done   chan struct{} // closed when the connection has ended
	turns  chan struct{} // as many tokens as sessions may be open
	close  sync.Once
}

// maxSessions stays below sshd's default of MaxSessions (10); further commands wait for their turn.
const maxSessions = 8

// newClient watches over a connection that has just been made.
func newClient(t Target, conn *ssh.Client) *Client {
	c := &Client{target: t, ssh: conn, done: make(chan struct{}), turns: make(chan struct{}, maxSessions)}
	go func() {
		_ = conn.Wait() // the reason is seen by whoever was using it
		close(c.done)
	}()
	go c.keepAlive(cmp.Or(t.KeepAlive, 10*time.Second))
	return c
}

// Target says what this connection leads to.
func (c *Client) Target() Target { return c.target }

// Done is closed when the connection has ended, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection, with all that runs over it. It may be called more than once.
func (c *Client) Close() error {
	c.close.Do(func() { _ = c.ssh.Close() }) // fails only when it is closed already
	<-c.done
	return nil
}

// missedProbes is how many keep-alive probes may go unanswered.
const missedProbes = 3

// keepAlive probes the connection and ends it when the host stops answering: TCP alone takes a quarter of an hour for that.
func (c *Client) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan struct{}, 1)
	missed, asking := 0, false
	for {
		select {
		case <-c.done:
			return
		case <-answers:
			missed, asking = 0, false
		case <-tick.C:
			if missed++; missed > missedProbes {
				_ = c.ssh.Close()
				return
			}
			if !asking {
				asking = true
				go c.probe(answers)
			}
		}
	}
}

// probe asks for any answer; OpenSSH refuses the unknown request, which is one (PROTOCOL, ssh_config ServerAliveInterval).
func (c *Client) probe(answers chan<- struct{}) {
	if _, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil); err == nil {
		answers <- struct{}{}
	}
}

// errNotStarted marks a command that certainly was not begun: it may be tried on another connection.
var errNotStarted = errors.New("command was not begun")

// Run runs a command in a session of its own. When ctx ends, the session is closed and a KILL signal sent; sshd delivers signals to
// commands of ordinary users only, so what must end on the host needs Command.Limit.
func (c *Client) Run(ctx context.Context, cmd Command) (Result, error) {
	line, err := cmd.Line()
	if err != nil {
		return Result{}, c.target.fail("run "+cmd.String(), "", err)
	}
	if err := ctx.Err(); err != nil {
		return Result{}, c.target.fail("run "+cmd.String(), "", errors.Join(errNotStarted, context.Cause(ctx)))
	}
	out := newOutputs(cmd)
	ended := make(chan error, 1)
	go func() { ended <- c.session(ctx, line, cmd.Stdin, out) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return out.result(cmd), c.outcome(ctx, cmd, out, err)
}

// session runs one command line to its end.
func (c *Client) session(ctx context.Context, line string, stdin io.Reader, out *outputs) error {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return errors.Join(errNotStarted, context.Cause(ctx))
	}
	s, err := c.ssh.NewSession()
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused):
		return errors.Join(ErrRefused, err)
	case err != nil:
		return errors.Join(errNotStarted, ErrUnreachable, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = s.Signal(ssh.SIGKILL) // best effort: see Run
		_ = s.Close()
	})
	defer stop()
	s.Stdout, s.Stderr = &out.stdout, &out.stderr
	if stdin == nil {
		return s.Run(line)
	}
	pipe, err := s.StdinPipe()
	if err != nil {
		return errors.Join(errNotStarted, ErrUnreachable, err)
	}
	if err := s.Start(line); err != nil {
		return err
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(pipe, stdin) }()
	if err := s.Wait(); err != nil {
		return err
	}
	if err := fedWell(fed); err != nil {
		return errors.Join(errStdin, err)
	}
	return nil
}

// errStdin marks a command whose input could not be read on this side.
var errStdin = errors.New("standard input for the command cannot be read")

// fedWell gives what went wrong with stdin, if that is known: a command may end well without reading everything.
func fedWell(fed <-chan error) error {
	select {
	case err := <-fed:
		return err
	default:
		return nil
	}
}

// feed copies stdin. A command may end without reading all of it, so only a failing reader is an error.
func feed(pipe io.WriteCloser, stdin io.Reader) error {
	defer pipe.Close()
	source := &watchedReader{r: stdin}
	_, _ = io.Copy(pipe, source)
	return source.err
}

// watchedReader remembers why reading failed.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// outcome turns x/crypto's errors into this package's.
func (c *Client) outcome(ctx context.Context, cmd Command, out *outputs, err error) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	op := "run " + cmd.String()
	switch {
	case errors.As(err, &exit):
		code := exit.ExitStatus()
		if exit.Signal() != "" {
			code = -1
		}
		return cmd.exitError(c.target.String(), code, exit.Signal(), out.stderr.bytes())
	case err != nil && ctx.Err() != nil:
		return c.target.fail(op, "", context.Cause(ctx))
	case errors.Is(err, errNotStarted):
		return c.target.fail(op, "", err)
	case errors.Is(err, errStdin):
		return c.target.fail(op, "", err)
	case errors.As(err, &missing), broken(err), err != nil && c.ended():
		return c.target.fail(op, "whether the command ended is not known: observe the host before going on", errors.Join(ErrUnreachable, err))
	case err != nil:
		return c.target.fail(op, "", err)
	case out.overflowed():
		return c.target.fail(op, "", ErrTooMuchOutput)
	}
	return nil
}

// broken reports whether err is what x/crypto gives when the connection goes away under a session: the session hears of it before the connection
// itself counts as ended, so Client.ended alone does not tell.
func broken(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// ended reports whether the connection is gone.
func (c *Client) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Write replaces a file.
func (c *Client) Write(ctx context.Context, file File) error { return writeFile(ctx, c, file) }

// Dial connects from the host: direct-tcpip (RFC 4254 7.2) or direct-streamlocal@openssh.com. Deadlines are not supported on the
// connection (golang.org/x/crypto/ssh): close it instead.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	conn, err := c.ssh.DialContext(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	op := "dial " + network + " " + address + " from the host"
	var refused *ssh.OpenChannelError
	switch {
	case ctx.Err() != nil:
		return nil, c.target.fail(op, "", context.Cause(ctx))
	case errors.As(err, &refused):
		return nil, c.target.fail(op, "check that the service listens there and that sshd allows forwarding", errors.Join(ErrRefused, err))
	}
	return nil, c.target.fail(op, "", errors.Join(errNotStarted, ErrUnreachable, err))
}
