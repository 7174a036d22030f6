package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// serialBacklog is how many pieces of output a user of a serial line may be behind before it loses some, as a real line loses what nobody takes.
const serialBacklog = 1024

// serialLine shares a blade's serial line, which QEMU gives to one connection at a time, among all who want it: nubo-lab console, and ipmi_sim for
// Serial-over-LAN. What users write goes to the blade. Safe for concurrent use.
type serialLine struct {
	source string // QEMU's socket

	mu    sync.Mutex
	line  net.Conn // nil while the blade is off
	users map[*serialUser]bool
}

// serialUser is one connection to a line.
type serialUser struct {
	conn   net.Conn
	out    chan []byte
	leaves bool // ends when the blade is switched off
}

func newSerialLine(source string) *serialLine {
	return &serialLine{source: source, users: map[*serialUser]bool{}}
}

// run connects to QEMU whenever it is there, until the context ends.
func (l *serialLine) run(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", l.source); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			l.copy(conn)
			stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// copy gives a power-on's output to all users.
func (l *serialLine) copy(conn net.Conn) {
	defer conn.Close()
	l.mu.Lock()
	l.line = conn
	l.mu.Unlock()
	for {
		piece := make([]byte, 4096)
		n, err := conn.Read(piece)
		l.mu.Lock()
		for u := range l.users {
			select {
			case u.out <- piece[:n]:
			default:
			}
		}
		if err != nil {
			l.line = nil
			for u := range l.users {
				if u.leaves {
					l.leave(u)
				}
			}
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// leave ends a user. The lock is held.
func (l *serialLine) leave(u *serialUser) {
	if l.users[u] {
		delete(l.users, u)
		close(u.out)
	}
}

// serve takes users until the context ends. Those who leave are turned away while the blade is off.
func (l *serialLine) serve(ctx context.Context, listener net.Listener, leaves bool) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = nil
			}
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { l.use(ctx, conn, leaves); return nil })
	}
}

// use serves one connection.
func (l *serialLine) use(ctx context.Context, conn net.Conn, leaves bool) {
	u := &serialUser{conn: conn, out: make(chan []byte, serialBacklog), leaves: leaves}
	l.mu.Lock()
	away := leaves && l.line == nil
	if !away {
		l.users[u] = true
	}
	l.mu.Unlock()
	if away {
		_ = conn.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go l.keys(u)
	for piece := range u.out {
		if _, err := conn.Write(piece); err != nil {
			break
		}
	}
	_ = conn.Close()
	l.mu.Lock()
	l.leave(u)
	l.mu.Unlock()
}

// keys brings what a user types to the blade; while that is off it goes nowhere.
func (l *serialLine) keys(u *serialUser) {
	buf := make([]byte, 1024)
	for {
		n, err := u.conn.Read(buf)
		l.mu.Lock()
		line := l.line
		if err != nil {
			l.leave(u)
		}
		l.mu.Unlock()
		if line != nil && n > 0 {
			_, _ = line.Write(buf[:n]) // a line that has just ended takes nothing, and its reader says so
		}
		if err != nil {
			return
		}
	}
}

// serial opens a blade's serial line: the socket of nubo-lab console and, for a blade behind ipmi_sim, a port on this namespace's loopback, which it
// returns.
func (s *server) serial(ctx context.Context, b Blade) (string, error) {
	files := s.dirs.files(b, 0)
	line := newSerialLine(files.Line)
	fail := func(err error) (string, error) { return "", fmt.Errorf("serial line of %s: %w", b.Name, err) }
	if err := remove(files.Console); err != nil {
		return fail(err)
	}
	console, err := net.Listen("unix", files.Console)
	if err != nil {
		return fail(err)
	}
	s.group.Go(func() error { return line.run(ctx) })
	s.group.Go(func() error { return line.serve(ctx, console, true) })
	if b.BMC.Protocol != "ipmi" {
		return "", nil
	}
	sol, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	s.group.Go(func() error { return line.serve(ctx, sol, false) })
	return sol.Addr().String(), nil
}
