package bmc

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Pool gives everybody who wants the same BMC the same client, so that a BMC, which has few
// sessions, sees one of ours. The zero value is ready for use.
type Pool struct {
	mu      sync.Mutex
	clients map[string]*pooled
}

// pooled is one client and how many hold it. opened is closed once client or err is set.
type pooled struct {
	opened chan struct{}
	client Client
	err    error
	users  int
}

// Open is as the function Open, shared: the session ends when the last holder has closed its
// client. Targets of one address must agree on everything else; a target with other credentials,
// trust or expectation is ErrInvalid while the first is held.
func (p *Pool) Open(ctx context.Context, t Target) (Client, error) {
	addr, err := ParseAddress(t.Address)
	if err != nil {
		return nil, err
	}
	key := addr.String()
	for {
		entry, first := p.join(key)
		if first {
			return p.first(ctx, key, entry, t)
		}
		select {
		case <-entry.opened:
		case <-ctx.Done():
			return nil, errors.Join(&Error{Op: "log in", Address: key, Kind: ErrUnreachable, Cause: ctx.Err(), Remedy: remedies[ErrUnreachable]}, p.leave(ctx, key, entry))
		}
		if entry.err == nil {
			if c, ok := entry.client.(*client); ok && !c.target.same(t) {
				err := &Error{Op: "log in", Address: key, Kind: ErrInvalid, Cause: fmt.Errorf("the BMC is in use with another description"), Remedy: remedies[ErrInvalid]}
				return nil, errors.Join(err, p.leave(ctx, key, entry))
			}
			return &held{Client: entry.client, pool: p, key: key, entry: entry}, nil
		}
		// The first one failed, perhaps by its own deadline: try for ourselves.
		if err := p.leave(ctx, key, entry); err != nil {
			return nil, err
		}
	}
}

func (p *Pool) join(key string) (entry *pooled, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients == nil {
		p.clients = map[string]*pooled{}
	}
	entry = p.clients[key]
	if first = entry == nil; first {
		entry = &pooled{opened: make(chan struct{})}
		p.clients[key] = entry
	}
	entry.users++
	return entry, first
}

func (p *Pool) first(ctx context.Context, key string, entry *pooled, t Target) (Client, error) {
	entry.client, entry.err = Open(ctx, t)
	if entry.err != nil {
		p.mu.Lock()
		delete(p.clients, key)
		p.mu.Unlock()
		close(entry.opened)
		return nil, entry.err
	}
	close(entry.opened)
	return &held{Client: entry.client, pool: p, key: key, entry: entry}, nil
}

// leave closes the session when nobody holds it any more.
func (p *Pool) leave(ctx context.Context, key string, entry *pooled) error {
	p.mu.Lock()
	entry.users--
	last := entry.users == 0 && p.clients[key] == entry
	if last {
		delete(p.clients, key)
	}
	p.mu.Unlock()
	if !last || entry.client == nil {
		return nil
	}
	return entry.client.Close(ctx)
}

// held is one holder's share of a client.
type held struct {
	Client
	pool  *Pool
	key   string
	entry *pooled
	once  sync.Once
}

// Close gives the share back; a second call does nothing.
func (h *held) Close(ctx context.Context) (err error) {
	h.once.Do(func() { err = h.pool.leave(ctx, h.key, h.entry) })
	return err
}

// same tells whether two targets mean the same machine in the same way.
func (t Target) same(u Target) bool {
	return t.Credentials == u.Credentials && t.Expect == u.Expect && t.Firmware == u.Firmware &&
		t.Trust.Pin == u.Trust.Pin && t.Trust.AllowPlainHTTP == u.Trust.AllowPlainHTTP && string(t.Trust.CA) == string(u.Trust.CA)
}
