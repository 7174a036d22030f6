package netboot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sync/errgroup"
)

const (
	tftpTimeout = time.Second // before a block is sent again
	tftpRetries = 5           // a client silent for so many timeouts is given up
	tftpHeaders = 32          // IPv4, UDP and TFTP headers: what a block must leave free of the MTU
	tftpReadBuf = 64 << 10    // files are read in pieces of this size, not block by block
)

// tftpRefusedOptions is in the library's error when a client refuses the options it was given (RFC 2347). UEFI does so on
// purpose: it asks for the size of a file first, and for the file when it has made room.
const tftpRefusedOptions = "sending block 0: code=8,"

var errNotFirstStage = errors.New("TFTP gives the first stage only; take all else by HTTP")

// tftpServer is the library's server, one transfer per socket, below our queue. Its single-port mode is not used: in
// v3.2.0 a late packet of a transfer that just ended can hit a closed channel and panic.
type tftpServer struct {
	s     *Server
	queue *tftpQueue
	lib   *tftp.Server
	ctx   context.Context // ends transfers under way; a field because the library's handler has no context
}

func (s *Server) newTFTP(ctx context.Context, conn net.PacketConn, mtu int) *tftpServer {
	t := &tftpServer{s: s, queue: newTFTPQueue(conn, s.cfg.TFTPTransfers), ctx: ctx}
	t.lib = tftp.NewServer(t.read, nil)
	t.lib.SetBlockSize(mtu - tftpHeaders)
	t.lib.SetBlockSizeNegotiation(false) // it forgets TFTP's own header, and would take 512 on our connection
	t.lib.SetTimeout(tftpTimeout)
	t.lib.SetRetries(tftpRetries)
	t.lib.SetBackoff(func(int) time.Duration { return 0 }) // the timeout is the pause
	t.lib.SetHook(t)
	return t
}

// serve runs until ctx ends, and then until every transfer has noticed: at most tftpRetries+1 timeouts.
func (t *tftpServer) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = t.queue.Close() })()
	var g errgroup.Group
	g.Go(func() error {
		if err := t.queue.receive(); err != nil {
			_ = t.queue.Close()
			return fmt.Errorf("receive TFTP on %s: %w", t.queue.LocalAddr(), err)
		}
		return nil
	})
	g.Go(func() error { return t.lib.Serve(t.queue) })
	return g.Wait()
}

// read is one transfer, in the library's goroutine.
func (t *tftpServer) read(ticket string, out io.ReaderFrom) error {
	r := t.queue.claim(ticket)
	if r == nil {
		return net.ErrClosed
	}
	defer t.queue.release(r)
	n, err := t.send(r.file, out)
	st := &t.s.stats
	st.tftpBytes.Add(n)
	ev := Event{Protocol: TFTP, Peer: r.peer, Request: r.file, Reply: "sent", Bytes: n}
	if n == 0 && err != nil && strings.Contains(err.Error(), tftpRefusedOptions) {
		ev.Reply = "told its size"
		err = nil
	} else if err != nil {
		st.tftpFailed.Add(1)
		ev.Reply, ev.Err = "failed", fmt.Errorf("TFTP %q to %s, after %d bytes: %w", r.file, r.peer, n, err)
	} else {
		st.tftpDone.Add(1)
	}
	t.s.cfg.Observer.Observe(ev)
	return err
}

func (t *tftpServer) send(name string, out io.ReaderFrom) (int64, error) {
	name = strings.TrimPrefix(name, "/")
	if !slices.Contains(FirstStage(), name) {
		return 0, errNotFirstStage
	}
	f, info, err := t.s.openFile(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if ot, ok := out.(tftp.OutgoingTransfer); ok {
		ot.SetSize(info.Size())
	}
	return out.ReadFrom(bufio.NewReaderSize(contextReader{t.ctx, f}, tftpReadBuf))
}

// OnSuccess is the library's hook; successes are counted in read.
func (t *tftpServer) OnSuccess(tftp.TransferStats) {}

// OnFailure is the library's hook. A failure without a peer comes from the library's loop: no transfer was begun for the
// last ticket, or the queue is closed. Then the loop is ended here, since it would go on reading from a closed
// connection; that waits for the transfers, none of which can be the caller.
func (t *tftpServer) OnFailure(stats tftp.TransferStats, _ error) {
	if stats.RemoteAddr != nil {
		return
	}
	t.queue.failed()
	if t.queue.closed() {
		t.lib.Shutdown()
	}
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
