package relay

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/order"
)

var fuzzNow = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

// fuzzOrder is an order whose nonce everybody knows: what is posted may be right.
var fuzzOrder = order.Order{FormatVersion: 1, ID: "o-1", Goal: order.Install, Node: "s/r/z/a/blade-01", Hostname: "blade-01",
	Machine: order.Machine{Serial: "S1", MACs: []string{mac}}, Nonce: "00112233445566778899aabbccddeeff", IssuedAt: fuzzNow, ExpiresAt: fuzzNow.Add(time.Hour), MaxAttempts: 2, Epoch: 3}

// fuzzRelay is a relay that nobody has told anything.
func fuzzRelay(t *testing.T, dir string) *Relay {
	t.Helper()
	pub, _, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Dir: dir, Images: &memory{Handler: http.NotFoundHandler(), blobs: map[string][]byte{}}, Now: func() time.Time { return fuzzNow },
		Address: netip.MustParseAddr("127.0.0.1"), Trust: []minisign.PublicKey{pub}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// FuzzAgentAPI sends anything to what machines on the network can reach. Nobody gets more attempts than the order has, nothing is called a fault of the
// relay, and what it remembers is what it has written down.
func FuzzAgentAPI(f *testing.F) {
	o := fuzzOrder
	for _, seed := range []struct{ method, path, body string }{
		{"GET", "/v1/time", ""},
		{"GET", "/v1/orders/o-1", ""},
		{"POST", "/v1/orders/o-1/consume", `{"nonce":"00112233445566778899aabbccddeeff","serial":"S1","boot":"b1"}`},
		{"POST", "/v1/orders/o-1/consume", `{"nonce":"00112233445566778899aabbccddeeff","serial":"S1","boot":"b2","disk_nonce":"00112233445566778899aabbccddeeff"}`},
		{"POST", "/v1/orders/o-1/reports", `{"nonce":"00112233445566778899aabbccddeeff","boot":"b1","phase":"writing","progress":{"done":1,"total":2}}`},
		{"POST", "/v1/orders/o-1/reports", `{"phase":"installed","installed":{"slot":"a","host_keys":["ssh-ed25519 AAAA"]}}`},
		{"POST", "/v1/orders/../x/consume", `{`},
		{"GET", "/v1/chunks/00", ""},
	} {
		f.Add(seed.method, seed.path, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		req, err := http.NewRequest(method, "http://relay/", bytes.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.URL.Path = "/" + strings.TrimPrefix(path, "/")
		dir := t.TempDir()
		r := fuzzRelay(t, dir)
		if err := r.book.arm(entry{Record: order.Record{Order: o, Phase: order.PhaseArmed, Updated: fuzzNow}}); err != nil {
			t.Fatal(err)
		}
		for range 4 { // a machine may ask again and again
			again := req.Clone(t.Context())
			again.Body = http.NoBody
			if len(body) > 0 {
				again.Body = readCloser{bytes.NewReader(body)}
			}
			w := httptest.NewRecorder()
			r.agentHandler().ServeHTTP(w, again)
			if w.Code >= 500 {
				t.Fatalf("%s %q: %d %s", method, path, w.Code, w.Body)
			}
		}
		e, _, ok := r.book.get(o.ID)
		if !ok || e.Record.Attempts > o.MaxAttempts || !reflect.DeepEqual(e.Record.Order, o) {
			t.Fatalf("the order is now %+v", e.Record)
		}
		reread, err := openBook(filepath.Join(dir, "orders"), r.cfg.Now)
		if err != nil {
			t.Fatal(err)
		}
		if was, _, _ := reread.get(o.ID); !sameJSON(t, was.Record, e.Record) {
			t.Fatalf("it wrote down %+v and remembers %+v", was.Record, e.Record)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return bytes.Equal(x, y)
}

// FuzzControl sends anything to the interface of whoever drives the relay. What is accepted can be read again after a restart, and no order is armed
// that no trusted key has signed.
func FuzzControl(f *testing.F) {
	f.Add("PUT", "/v1/machines", []byte(`[{"mac":"52:54:00:77:00:01","hostname":"blade-01","address":"10.77.0.11/24"}]`))
	f.Add("PUT", "/v1/orders/o-1", []byte(`{"signed":{"order":"e30=","signature":"x"},"boot":{"kernel":"vmlinuz","initrd":"initrd"}}`))
	f.Add("POST", "/v1/missing", []byte(`{"files":{"vmlinuz":"00"},"blobs":["sha256:00"]}`))
	f.Add("PUT", "/v1/files/vmlinuz", []byte("kernel"))
	f.Add("PUT", "/v1/blobs/chunk/00", []byte("chunk"))
	f.Add("DELETE", "/v1/orders/o-1", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://relay/", bytes.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.URL.Path = "/" + strings.TrimPrefix(path, "/")
		dir := t.TempDir()
		r := fuzzRelay(t, dir)
		r.Control().ServeHTTP(httptest.NewRecorder(), req)
		if len(r.book.all()) > 0 {
			t.Fatal("an order was armed that nobody has signed")
		}
		if _, err := openBook(filepath.Join(dir, "orders"), r.cfg.Now); err != nil {
			t.Fatalf("what was accepted cannot be read again: %v", err)
		}
	})
}

// FuzzBook reads anything as the order book of a relay: it opens or says what is damaged, and then answers machines.
func FuzzBook(f *testing.F) {
	o := fuzzOrder
	text, err := json.Marshal(entry{Record: order.Record{Order: o, Phase: order.PhaseArmed}, Boot: BootFiles{"vmlinuz", "initrd"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, []byte(`[{"mac":"52:54:00:77:00:01","hostname":"blade-01","address":"10.77.0.11/24"}]`))
	f.Add([]byte(`{"record":{"order":{"id":"x","machine":{"macs":[""]}},"phase":"?"}}`), []byte(`[{}]`))
	f.Add([]byte("null"), []byte("null"))
	f.Fuzz(func(t *testing.T, orders, machines []byte) {
		dir := t.TempDir()
		if os.WriteFile(filepath.Join(dir, "o.json"), orders, 0o600) != nil || os.WriteFile(filepath.Join(dir, "machines.json"), machines, 0o600) != nil {
			t.Fatal("write the book")
		}
		book, err := openBook(dir, func() time.Time { return o.IssuedAt })
		if err != nil {
			return
		}
		book.machine(mac)
		book.all()
		if _, err := openBook(dir, book.now); err != nil {
			t.Fatalf("it was read once and cannot be read again: %v", err)
		}
	})
}
