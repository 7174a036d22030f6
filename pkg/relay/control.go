package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// maxBlob bounds one upload: a boot file, a manifest or a chunk.
const maxBlob = 1 << 30

// maxControlBody bounds what else may be put, in bytes: the list of ten thousand machines is some three megabytes, an order is as large as its configuration.
const maxControlBody = 64 << 20

// maxWait bounds how long one request waits for news of an order.
const maxWait = 25 * time.Second

// Arm is what is put to /v1/orders/ID.
type Arm struct {
	Signed order.Signed `json:"signed"`
	Boot   BootFiles    `json:"boot"`
}

// News is an order's status and the version it has; ask for what comes after that version.
type News struct {
	Version int          `json:"version"`
	Status  order.Status `json:"status"`
}

// missing is asked at /v1/missing, and answered with what is not there. Files are boot files by name, with the SHA-256 that they must have.
type missing struct {
	Files map[string]string `json:"files"`
	Blobs []string          `json:"blobs"`
}

// Control is the interface of whoever drives the relay. It must not be reachable from the network that the relay serves.
func (r *Relay) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, r.book.all()) })
	mux.HandleFunc("GET /v1/url", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, r.server.BaseURL()) })
	mux.HandleFunc("PUT /v1/machines", r.putMachines)
	mux.HandleFunc("PUT /v1/orders/{id}", r.putOrder)
	mux.HandleFunc("DELETE /v1/orders/{id}", func(w http.ResponseWriter, req *http.Request) {
		if err := r.book.disarm(req.PathValue("id")); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /v1/orders/{id}", r.getOrder)
	mux.HandleFunc("POST /v1/missing", r.postMissing)
	mux.HandleFunc("PUT /v1/files/{name}", r.putFile)
	mux.HandleFunc("PUT /v1/blobs/{kind}/{digest}", r.putBlob)
	return mux
}

func (r *Relay) putMachines(w http.ResponseWriter, req *http.Request) {
	var list []Machine
	if !read(w, req, maxControlBody, &list) {
		return
	}
	if err := r.book.setMachines(list); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *Relay) putOrder(w http.ResponseWriter, req *http.Request) {
	var a Arm
	if !read(w, req, maxControlBody, &a) {
		return
	}
	o, err := order.Open(a.Signed, r.cfg.Trust...)
	if err == nil && o.ID != req.PathValue("id") {
		err = fmt.Errorf("%w: order %s put as %s", order.ErrMalformed, o.ID, req.PathValue("id"))
	}
	if err == nil && o.Goal == order.Slot {
		err = fmt.Errorf("%w: goal %s boots no machine", order.ErrMalformed, o.Goal)
	}
	if err == nil {
		err = o.CheckTime(r.cfg.Now())
	}
	if err == nil {
		err = errors.Join(r.haveFile(a.Boot.Kernel), r.haveFile(a.Boot.Initrd))
	}
	if err == nil {
		err = r.book.arm(entry{Signed: a.Signed, Boot: a.Boot, Record: order.Record{Order: o, Phase: order.PhaseArmed, Updated: r.cfg.Now()}})
	}
	if err != nil {
		refuse(w, err)
		return
	}
	r.cfg.Log.Info("order armed", "order", o.ID, "node", string(o.Node), "expires", o.ExpiresAt)
	w.WriteHeader(http.StatusNoContent)
}

func (r *Relay) haveFile(name string) error {
	if _, err := r.files.Stat(name); err != nil {
		return fmt.Errorf("%w: boot file %s was not put before: %w", order.ErrMalformed, name, err)
	}
	return nil
}

// getOrder answers at once when the order is newer than ?after=N, otherwise as soon as it is or when ?wait=SECONDS are over.
func (r *Relay) getOrder(w http.ResponseWriter, req *http.Request) {
	after, _ := strconv.Atoi(req.URL.Query().Get("after"))
	seconds, _ := strconv.Atoi(req.URL.Query().Get("wait"))
	timer := time.NewTimer(min(time.Duration(seconds)*time.Second, maxWait))
	defer timer.Stop()
	for {
		e, changed, ok := r.book.get(req.PathValue("id"))
		if !ok {
			refuse(w, ErrNoOrder)
			return
		}
		if e.version != after {
			reply(w, http.StatusOK, News{Version: e.version, Status: e.Record.Status()})
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			reply(w, http.StatusOK, News{Version: e.version, Status: e.Record.Status()})
			return
		case <-req.Context().Done():
			return
		}
	}
}

func (r *Relay) postMissing(w http.ResponseWriter, req *http.Request) {
	var ask missing
	if !read(w, req, maxControlBody, &ask) {
		return
	}
	out := missing{Blobs: r.cfg.Images.Missing(ask.Blobs)}
	out.Files = map[string]string{}
	for name, sum := range ask.Files {
		if r.sums.of(r.files, name) != sum {
			out.Files[name] = sum
		}
	}
	reply(w, http.StatusOK, out)
}

var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// putFile keeps a boot file; ?sha256=HEX is what its bytes must have.
func (r *Relay) putFile(w http.ResponseWriter, req *http.Request) {
	name := req.PathValue("name")
	if !fileName.MatchString(name) {
		refuse(w, fmt.Errorf("%w: %q is no name for a boot file", order.ErrMalformed, name))
		return
	}
	if err := r.keepFile(name, req.URL.Query().Get("sha256"), http.MaxBytesReader(w, req.Body, maxBlob)); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *Relay) keepFile(name, want string, body io.Reader) (err error) {
	f, err := os.CreateTemp(r.files.Name(), ".new-*")
	if err != nil {
		return fmt.Errorf("relay: keep boot file %s: %w", name, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), body)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("relay: keep boot file %s: %w", name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%w: boot file %s has digest %s, not %s", order.ErrMalformed, name, got, want)
	}
	if err := os.Rename(f.Name(), r.files.Name()+"/"+name); err != nil {
		return fmt.Errorf("relay: keep boot file %s: %w", name, err)
	}
	return nil
}

func (r *Relay) putBlob(w http.ResponseWriter, req *http.Request) {
	blob, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBlob))
	if err == nil {
		err = r.cfg.Images.Put(req.PathValue("kind"), req.PathValue("digest"), blob)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
