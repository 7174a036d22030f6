package installer

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// relay is a small relay: it keeps one order's record and serves one image.
type relay struct {
	*httptest.Server
	mu      sync.Mutex
	record  order.Record
	signed  order.Signed
	image   []byte
	chunks  map[model.Digest][]byte
	reports []order.Report
	trust   []byte
	key     minisign.PrivateKey
	deaf    bool             // refuses reports of success
	lost    *order.Installed // the last one refused
}

// newRelay serves an image of this tar.
func newRelay(t *testing.T, tree []byte) *relay {
	t.Helper()
	public, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{chunks: map[model.Digest][]byte{}, key: key}
	if r.trust, err = public.MarshalText(); err != nil {
		t.Fatal(err)
	}
	file, err := manifest.Cut(t.Context(), manifest.RootTar, bytes.NewReader(tree), func(c manifest.Chunk, frame []byte) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.chunks[c.Digest] = frame
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{
		FormatVersion: manifest.FormatVersion, Name: "debian-13", Kind: manifest.Root, Release: "trixie", Architecture: "amd64", Version: "13.2-0123456789ab",
		Epoch: 1767225600, Inputs: model.DigestBytes([]byte("inputs")), KernelVersion: "6.12.1-amd64",
		Packages: []manifest.Package{{Name: "base-files", Version: "13.8", Architecture: "amd64"}}, Files: []manifest.File{file},
	}
	payload, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := manifest.Sign(payload, key)
	if err != nil {
		t.Fatal(err)
	}
	if r.image, err = json.Marshal(signed); err != nil {
		t.Fatal(err)
	}
	r.record.Order.Image = model.ImageRef{Name: m.Name, Digest: manifest.Digest(payload)}
	r.serve(t)
	return r
}

// arm signs an order and waits for its machine.
func (r *relay) arm(t *testing.T, o order.Order, key minisign.PrivateKey) {
	t.Helper()
	o.Image = r.record.Order.Image
	signed, err := order.Sign(o, key)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signed, r.record, r.reports = signed, order.Record{Order: o, Phase: order.PhaseArmed}, nil
}

func (r *relay) state() order.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record
}

// change alters what is served.
func (r *relay) change(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

func (r *relay) serve(t *testing.T) {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			v = order.APIError{Error: err.Error(), Remedy: "plan again"}
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	locked := func(do func(w http.ResponseWriter, q *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			r.mu.Lock()
			defer r.mu.Unlock()
			do(w, q)
		}
	}
	mux.HandleFunc("GET /v1/time", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]time.Time{"time": time.Now()}, nil)
	})
	mux.HandleFunc("GET /v1/orders/{id}", locked(func(w http.ResponseWriter, _ *http.Request) { answer(w, r.signed, nil) }))
	mux.HandleFunc("GET /v1/images/{digest}", locked(func(w http.ResponseWriter, _ *http.Request) { w.Write(r.image) }))
	mux.HandleFunc("GET /v1/chunks/{digest}", locked(func(w http.ResponseWriter, q *http.Request) {
		w.Write(r.chunks[model.Digest("sha256:"+q.PathValue("digest"))])
	}))
	mux.HandleFunc("POST /v1/orders/{id}/reports", locked(func(w http.ResponseWriter, q *http.Request) {
		var rep order.Report
		err := json.NewDecoder(q.Body).Decode(&rep)
		if err == nil && r.deaf && rep.Kind == order.ReportInstalled {
			r.lost = rep.Installed
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err == nil {
			r.reports = append(r.reports, rep)
			r.record, err = r.record.Report(rep, time.Now())
		}
		answer(w, struct{}{}, err)
	}))
	mux.HandleFunc("POST /v1/orders/{id}/consume", locked(func(w http.ResponseWriter, q *http.Request) {
		var c order.Consume
		err := json.NewDecoder(q.Body).Decode(&c)
		if err == nil {
			r.record, err = r.record.Grant(c, time.Now())
		}
		answer(w, order.Consumed{Attempt: r.record.Attempts}, err)
	}))
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Server.Close)
}
