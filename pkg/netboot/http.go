package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// The paths of the HTTP server; everything else is Config.Next's.
const (
	filesPath   = "/boot/"
	scriptPath  = "/ipxe"
	nothingPath = "/no-boot" // for UEFI HTTP boot without an order: always 404
)

const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = time.Minute      // for reading a request
	stallTimeout  = time.Minute      // for a client that takes nothing of a reply
	idleTimeout   = 90 * time.Second // between requests
	drainTimeout  = 2 * time.Second  // for transfers under way when the server stops
	sendChunk     = 1 << 20          // bytes sent before the deadline is moved
)

func (s *Server) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+filesPath, s.serveFile)
	mux.HandleFunc("GET "+scriptPath, s.serveScript)
	mux.Handle(nothingPath, http.NotFoundHandler())
	mux.Handle("/", s.cfg.Next)
	return &http.Server{
		Handler:           withStallTimeout(mux, s.cfg.stall),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // observers are told instead
	}
}

// serveHTTP serves l until ctx ends, then gives transfers under way a moment and breaks off the rest.
func (s *Server) serveHTTP(ctx context.Context, l net.Listener) error {
	server := s.newHTTP()
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-done
	return err
}

// serveFile sends one boot file, or a range of it. It waits for the machine's turn rather than refuse.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	ev := Event{Protocol: HTTP, Peer: peerOf(r), Request: r.Method + " " + r.URL.Path, Reply: "sent"}
	s.stats.httpQueued.Add(1)
	leave, err := s.httpQueue.enter(r.Context(), ev.Peer.Addr())
	s.stats.httpQueued.Add(-1)
	if err != nil {
		s.stats.httpFailed.Add(1)
		ev.Reply, ev.Err = "nothing", fmt.Errorf("%s left the queue: %w", ev.Peer, err)
		s.cfg.Observer.Observe(ev)
		return
	}
	s.stats.httpActive.Add(1)
	defer func() {
		s.stats.httpActive.Add(-1)
		leave()
	}()
	out := &countingWriter{ResponseWriter: w}
	ev.Err = s.sendFile(out, r, strings.TrimPrefix(r.URL.Path, filesPath))
	if ev.Err == nil {
		ev.Err = out.err
	}
	ev.Bytes = out.bytes
	if ev.Err != nil {
		ev.Reply = "failed"
		s.stats.httpFailed.Add(1)
	} else {
		s.stats.httpDone.Add(1)
	}
	s.stats.httpBytes.Add(out.bytes)
	s.cfg.Observer.Observe(ev)
}

func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, name string) error {
	f, info, err := s.openFile(name)
	if err != nil {
		http.Error(w, "no such boot file", http.StatusNotFound)
		return err
	}
	defer f.Close()
	content, ok := f.(io.ReadSeeker)
	if !ok {
		http.Error(w, "this boot file cannot be read from the middle", http.StatusInternalServerError)
		return fmt.Errorf("boot file %s: its file system gives no seekable files", name)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, path.Base(name), info.ModTime(), content)
	return nil
}

// openFile opens a regular file inside the jail. A leading slash is dropped; names that are not valid in an fs.FS,
// such as those with "..", do not exist.
func (s *Server) openFile(name string) (fs.File, fs.FileInfo, error) {
	f, err := s.cfg.Files.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		return nil, nil, fmt.Errorf("boot file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("boot file %s: not a regular file", name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// serveScript sends the iPXE script for the machine named in the query: ?mac=…&arch=…&uuid=….
func (s *Server) serveScript(w http.ResponseWriter, r *http.Request) {
	ev := Event{Protocol: HTTP, Peer: peerOf(r), Request: r.Method + " " + r.URL.Path}
	script, status := s.script(r, &ev)
	if script == "" {
		http.Error(w, http.StatusText(status), status)
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		n, err := io.WriteString(w, script)
		ev.Bytes, ev.Err = int64(n), errors.Join(ev.Err, err)
		s.stats.scripts.Add(1)
	}
	s.cfg.Observer.Observe(ev)
}

func (s *Server) script(r *http.Request, ev *Event) (string, int) {
	q := r.URL.Query()
	mac, err := net.ParseMAC(q.Get("mac"))
	if err != nil || len(mac) != 6 {
		ev.Reply = "refused: no MAC address in the query"
		return "", http.StatusBadRequest
	}
	arch, _ := strconv.ParseUint(q.Get("arch"), 10, 16) // absent: BIOS
	ev.Client = Client{MAC: mac, UUID: q.Get("uuid"), Arch: Arch(arch), Stage: StageIPXE}
	ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
	defer cancel()
	answer, err := s.decider.Decide(ctx, ev.Client)
	if err != nil {
		ev.Reply, ev.Err = "failed: no decision", fmt.Errorf("decide for %s: %w", mac, err)
		return "", http.StatusServiceUnavailable
	}
	if !answer.Known {
		ev.Reply = "refused: unknown machine"
		return "", http.StatusNotFound
	}
	script, err := renderScript(s.cfg.baseURL(), answer.Boot)
	if err != nil {
		ev.Reply, ev.Err = "failed: no script", err
		return "", http.StatusInternalServerError
	}
	ev.Reply = "script: disk"
	if answer.Boot != nil {
		ev.Reply = "script: " + answer.Boot.Title
	}
	return script, http.StatusOK
}

func peerOf(r *http.Request) netip.AddrPort {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // always one for a TCP listener
	return peer
}
