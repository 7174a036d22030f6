package netboot

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	tftpQueueLength = 16384            // waiting requests; beyond it one of the machine that has most is dropped, and asked for again
	tftpStale       = 20 * time.Second // a waiting client that stopped repeating its request is gone
	tftpRestart     = time.Second      // a request repeated later than this during its transfer is a client that began anew
)

// tftpQueue is the packet connection under the TFTP library. It hands out a read request only when a transfer may
// begin, machines by turns (see turns), so that a waiting client costs a few bytes instead of a socket; and it drops the requests
// that clients repeat while they wait, which the library would answer with a second transfer. The library gets a ticket
// in place of the file name, by which its transfer finds the request again.
type tftpQueue struct {
	net.PacketConn // the socket of the TFTP port; only ever an UDP one

	ready chan struct{} // signals, with room for one, that somebody's turn may have come
	stop  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	turns   *turns[*tftpRequest]
	byPeer  map[netip.AddrPort]*tftpRequest // the newest request of each client, waiting or under way
	tickets map[string]*tftpRequest         // handed out and not yet claimed by a transfer
	last    uint64                          // number of the last ticket
}

type tftpRequest struct {
	peer    netip.AddrPort
	file    string
	rest    []byte    // mode and options, as in the packet
	seen    time.Time // last repeated, while waiting
	started time.Time // zero while waiting
}

func newTFTPQueue(conn net.PacketConn, transfers int) *tftpQueue {
	return &tftpQueue{
		PacketConn: conn,
		ready:      make(chan struct{}, 1),
		stop:       make(chan struct{}),
		turns:      newTurns[*tftpRequest](transfers, tftpQueueLength),
		byPeer:     map[netip.AddrPort]*tftpRequest{},
		tickets:    map[string]*tftpRequest{},
	}
}

// receive reads the socket until it is closed. It runs in a goroutine of its own.
func (q *tftpQueue) receive() error {
	buf := make([]byte, 1500)
	for {
		n, addr, err := q.PacketConn.ReadFrom(buf)
		if err != nil {
			if q.closed() {
				return nil
			}
			return err
		}
		peer := addr.(*net.UDPAddr).AddrPort()
		if file, rest, ok := parseRRQ(buf[:n]); ok {
			q.admit(&tftpRequest{peer: peer, file: file, rest: rest, seen: time.Now()})
		} else if isWRQ(buf[:n]) {
			_, _ = q.PacketConn.WriteTo(errorPacket(tftpAccessViolation, "read only"), addr) // it asks again if lost
		}
	}
}

// admit appends a request to the queue, or recognises it as a repetition.
func (q *tftpQueue) admit(r *tftpRequest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if old := q.byPeer[r.peer]; old != nil {
		if old.started.IsZero() { // still waiting: it keeps its place
			old.file, old.rest, old.seen = r.file, r.rest, r.seen
			return
		}
		if r.seen.Sub(old.started) < tftpRestart {
			return
		}
	}
	lost, full := q.turns.add(r.peer.Addr(), r)
	if full && q.byPeer[lost.peer] == lost {
		delete(q.byPeer, lost.peer)
	}
	if lost != r {
		q.byPeer[r.peer] = r
		q.signal()
	}
}

func (q *tftpQueue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// ReadFrom hands the next request to the library once its transfer may begin.
func (q *tftpQueue) ReadFrom(p []byte) (int, net.Addr, error) {
	for !q.closed() {
		if r, ticket := q.next(time.Now()); r != nil {
			return copy(p, ticketRRQ(ticket, r.rest)), net.UDPAddrFromAddrPort(r.peer), nil
		}
		select {
		case <-q.ready:
		case <-q.stop:
		}
	}
	return 0, nil, net.ErrClosed
}

// next takes the next client that is still there, and gives it a ticket.
func (q *tftpQueue) next(now time.Time) (*tftpRequest, string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		r, ok := q.turns.next()
		if !ok {
			return nil, ""
		}
		if now.Sub(r.seen) > tftpStale {
			q.endLocked(r)
			continue
		}
		q.last++
		ticket := strconv.FormatUint(q.last, 10)
		r.started, q.tickets[ticket] = now, r
		return r, ticket
	}
}

// claim finds the request of a transfer that the library began. It must be given back by release.
func (q *tftpQueue) claim(ticket string) *tftpRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.tickets[ticket]
	delete(q.tickets, ticket)
	return r
}

// failed is told that the library could not begin a transfer for the last ticket.
func (q *tftpQueue) failed() {
	q.mu.Lock()
	ticket := strconv.FormatUint(q.last, 10)
	q.mu.Unlock()
	if r := q.claim(ticket); r != nil {
		q.release(r)
	}
}

// release ends a transfer: somebody else's turn has come.
func (q *tftpQueue) release(r *tftpRequest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLocked(r)
	q.signal()
}

func (q *tftpQueue) endLocked(r *tftpRequest) {
	if q.byPeer[r.peer] == r {
		delete(q.byPeer, r.peer)
	}
	q.turns.done(r.peer.Addr())
}

// active and queued count transfers under way and clients waiting.
func (q *tftpQueue) active() (active, queued int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.byPeer {
		if !r.started.IsZero() {
			active++
		}
	}
	return active, int64(q.turns.waiting)
}

func (q *tftpQueue) closed() bool {
	select {
	case <-q.stop:
		return true
	default:
		return false
	}
}

// Close stops ReadFrom and receive.
func (q *tftpQueue) Close() error {
	var err error
	q.once.Do(func() {
		close(q.stop)
		err = q.PacketConn.Close()
	})
	return err
}
