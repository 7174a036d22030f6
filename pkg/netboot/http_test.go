package netboot

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func httpGet(t testing.TB, url, byteRange string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: 2 * time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func TestHTTPFilesAndRanges(t *testing.T) {
	rec := &recorder{}
	cfg := testConfig()
	cfg.Observer = rec
	s, _ := startOnLoopback(t, cfg, testBook())
	whole := testFiles()["vmlinuz"].Data
	for _, tc := range []struct {
		path, byteRange string
		status          int
		want            []byte
	}{
		{"/boot/vmlinuz", "", 200, whole},
		{"/boot/dir/inner", "", 200, testFiles()["dir/inner"].Data},
		{"/boot/vmlinuz", "bytes=100-299", 206, whole[100:300]},
		{"/boot/vmlinuz", "bytes=-50", 206, whole[len(whole)-50:]},
		{"/boot/vmlinuz", "bytes=99999999-", 416, nil},
		{"/boot/none", "", 404, nil},
		{"/boot/dir", "", 404, nil},
		{"/boot/..%2f..%2fetc%2fpasswd", "", 404, nil},
		{"/v1/orders/1", "", 404, nil},
	} {
		status, body := httpGet(t, s.BaseURL()+tc.path, tc.byteRange)
		if status != tc.status || (tc.want != nil && !bytes.Equal(body, tc.want)) {
			t.Errorf("%s %s: status %d, %d bytes", tc.path, tc.byteRange, status, len(body))
		}
	}
	eventually(t, time.Minute, "all transfers are counted", func() bool {
		st := s.Stats()
		return st.HTTPTransfers+st.HTTPFailures == 8 && st.HTTPActive == 0
	})
	// Transfers on connections of their own are told in the order in which they end, whatever was asked first.
	if ev, ok := rec.find(func(e Event) bool { return e.Request == "GET /boot/vmlinuz" && e.Bytes == int64(len(whole)) }); !ok || ev.Err != nil {
		t.Errorf("event %+v, %v", ev, ok)
	}
}

func TestHTTPQueuesInsteadOfRefusing(t *testing.T) {
	cfg := testConfig()
	cfg.HTTPTransfers = 1
	s, _ := startOnLoopback(t, cfg, testBook())
	var g errgroup.Group
	for range 30 {
		g.Go(func() error {
			if status, body := httpGet(t, s.BaseURL()+"/boot/vmlinuz", ""); status != 200 || len(body) != 3<<20 {
				return fmt.Errorf("status %d, %d bytes", status, len(body))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestHTTPScripts(t *testing.T) {
	cfg := testConfig()
	cfg.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "next ", r.URL.Path) })
	for _, tc := range []struct {
		query  string
		status int
		want   string
	}{
		{"?mac=" + macInstall + "&arch=7&uuid=x", 200, "kernel --name vmlinuz http://10.77.0.1:8080/boot/vmlinuz initrd=initrd console=ttyS0 "},
		{"?mac=" + macDisk, 200, "going on to its disk"},
		{"?mac=" + macStranger, 404, ""},
		{"?mac=no", 400, ""},
		{"", 400, ""},
	} {
		s, err := New(cfg, testBook())
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.newHTTP().Handler.ServeHTTP(w, httptest.NewRequest("GET", "/ipxe"+tc.query, nil))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s: %d\n%s", tc.query, w.Code, w.Body)
		}
	}
	s, err := New(cfg, brokenDecider{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.newHTTP().Handler.ServeHTTP(w, httptest.NewRequest("GET", "/ipxe?mac="+macInstall, nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a decision: %d", w.Code)
	}
	w = httptest.NewRecorder()
	s.newHTTP().Handler.ServeHTTP(w, httptest.NewRequest("POST", "/v1/orders/1/reports", nil))
	if w.Body.String() != "next /v1/orders/1/reports" {
		t.Errorf("other paths: %d %s", w.Code, w.Body)
	}
}

// TestHTTPResumesWithCurl breaks off in the middle of a file and goes on.
func TestHTTPResumesWithCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed: run e2e/host-packages")
	}
	s, _ := startOnLoopback(t, testConfig(), testBook())
	out := t.TempDir() + "/k"
	for _, args := range [][]string{{"-r", "0-999999"}, {"-C", "-"}} {
		if text, err := exec.Command("curl", append(args, "-sSf", "-o", out, s.BaseURL()+"/boot/vmlinuz")...).CombinedOutput(); err != nil {
			t.Fatalf("curl %v: %v: %s", args, err, text)
		}
	}
	if text, err := exec.Command("cksum", out).CombinedOutput(); err != nil || !strings.Contains(string(text), fmt.Sprint(3<<20)) {
		t.Errorf("%s, %v", text, err)
	}
}
