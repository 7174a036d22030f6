package bmc_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// recording is one exchange with one kind of BMC, as its source describes it: what is sent, to
// the byte, and what such a BMC answers. None of them was taken from a device here.
type recording struct {
	Row, Source, System, Device, Firmware string
	// Want is empty for success, else the kind of failure.
	Want     string
	Exchange []struct {
		Request struct {
			Method, Path string
			IfMatch      string `json:"if_match"`
			Body         any
		}
		Response struct {
			Status int
			ETag   string
			Body   any
		}
	}
}

// player answers a recording and complains about any request that differs.
type player struct {
	t   *testing.T
	rec recording

	mu   sync.Mutex
	next int
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.URL.Path == "/redfish/v1/":
		_, _ = io.WriteString(w, `{"Links":{"Sessions":{"@odata.id":"/sessions"}}}`)
		return
	case r.Method == http.MethodPost && r.URL.Path == "/sessions":
		w.Header().Set("X-Auth-Token", "token")
		w.Header().Set("Location", "/sessions/1")
		w.WriteHeader(http.StatusCreated)
		return
	case r.Method == http.MethodDelete:
		return
	}
	if p.next >= len(p.rec.Exchange) {
		p.t.Errorf("after the end: %s %s", r.Method, r.URL.Path)
		http.Error(w, "after the end", http.StatusTeapot)
		return
	}
	step := p.rec.Exchange[p.next]
	p.next++
	var sent any
	if raw, err := io.ReadAll(r.Body); err == nil && len(raw) > 0 {
		if err := json.Unmarshal(raw, &sent); err != nil {
			p.t.Error(err)
		}
	}
	want := step.Request
	if r.Method != want.Method || r.URL.Path != want.Path || r.Header.Get("If-Match") != want.IfMatch || !reflect.DeepEqual(sent, want.Body) {
		p.t.Errorf("step %d: got %s %s If-Match=%q %v\nwant %+v", p.next, r.Method, r.URL.Path, r.Header.Get("If-Match"), sent, want)
	}
	if step.Response.ETag != "" {
		w.Header().Set("ETag", step.Response.ETag)
	}
	w.WriteHeader(step.Response.Status)
	if step.Response.Body != nil {
		_ = json.NewEncoder(w).Encode(step.Response.Body)
	}
}

func TestQuirksSendWhatVendorsTake(t *testing.T) {
	kinds := map[string]error{"unsupported": bmc.ErrUnsupported, "reverted": bmc.ErrReverted}
	files, err := filepath.Glob("testdata/quirks/*.json")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			p := &player{t: t}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &p.rec); err != nil {
				t.Fatal(err)
			}
			rows[p.rec.Row] = true
			err = play(t, p)
			if kind := kinds[p.rec.Want]; (kind == nil && err != nil) || !isKind(err, kind) {
				t.Errorf("BootOnce: %v, want %v", err, kind)
			}
			if p.next != len(p.rec.Exchange) {
				t.Errorf("%d of %d steps were taken", p.next, len(p.rec.Exchange))
			}
		})
	}
	for _, row := range append(bmc.QuirkNames(), "standard") {
		if !rows[row] {
			t.Errorf("the row %s has no recording in testdata/quirks", row)
		}
	}
}

// play sets the boot device against a recording.
func play(t *testing.T, p *player) error {
	server := httptest.NewTLSServer(p)
	defer server.Close()
	client, err := bmc.Open(t.Context(), bmc.Target{
		Address:     "redfish://" + server.Listener.Addr().String() + p.rec.System,
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: bmc.PinOf(server.Certificate().Raw)},
		Firmware:    bmc.Firmware(p.rec.Firmware),
		Settle:      time.Nanosecond, // one look at each write
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	return client.BootOnce(t.Context(), bmc.BootDevice(p.rec.Device))
}
