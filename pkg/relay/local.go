package relay

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Local serves a relay's control interface inside the process, and returns a client for it and a function that ends both.
func Local(r *Relay) (*Client, func()) {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: r.Control(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // always http.ErrServerClosed
	}()
	c := NewClient("in this process", l.dial)
	return c, func() {
		c.Close()
		_ = srv.Close()
		<-ended
	}
}

// pipeListener hands both ends of pipes around, so that HTTP needs no socket.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, errors.Join(net.ErrClosed, near.Close(), far.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), near.Close(), far.Close())
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "relay", Net: "unix"} }
