package bmc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

// FuzzRedfishAnswers lets a BMC answer anything where its system, its chassis and their readings are asked for: every question comes to an end with an
// answer or an error, and none of them carries the password.
func FuzzRedfishAnswers(f *testing.F) {
	service, err := redfish.New(redfish.NewMemory(redfish.Info{ID: "1", Serial: "SER-1", Manufacturer: "Nubo", Model: "Lab"}), redfish.Options{User: testUser, Password: testPassword})
	if err != nil {
		f.Fatal(err)
	}
	var answer atomic.Pointer[[]byte]
	var status atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := answer.Load()
		if body == nil || r.Method == http.MethodPost || !(strings.Contains(r.URL.Path, "/Systems/1") || strings.Contains(r.URL.Path, "/Chassis/")) {
			service.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write(*body)
	}))
	defer server.Close()
	f.Add(200, []byte(`{"SerialNumber":"SER-1","PowerState":"On","Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"},"Links":{"Chassis":[{"@odata.id":"/redfish/v1/Chassis/1"}]}}`))
	f.Add(200, []byte(`{"PowerState":7,"Boot":[]}`))
	f.Add(200, []byte(`{"Links":{"Chassis":[{"@odata.id":"/redfish/v1/Systems/1"}]},"Thermal":{"@odata.id":"/redfish/v1/Systems/1"},"Temperatures":[{"ReadingCelsius":1e999}]}`))
	f.Add(503, []byte(`{"error":{"@Message.ExtendedInfo":[{"MessageId":"Base.1.0.GeneralError"}]}}`))
	f.Add(200, []byte("<html>"))
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			t.Skip("a status that the test's server cannot send with a body")
		}
		answer.Store(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, err := bmc.Open(ctx, bmc.Target{Address: "redfish+https://" + server.Listener.Addr().String() + "/redfish/v1/Systems/1",
			Credentials: bmc.Credentials{User: testUser, Password: testPassword}, Trust: bmc.Trust{Pin: bmc.PinOf(server.Certificate().Raw)}, Expect: bmc.Expect{AllowUnknown: true}})
		if err != nil {
			t.Fatal(err)
		}
		status.Store(int64(code))
		answer.Store(&body)
		_, err1 := c.Identity(ctx)
		_, err2 := c.Power(ctx)
		_, err3 := c.BootOverride(ctx)
		_, err4 := c.Sensors(ctx)
		answer.Store(nil)
		err5 := c.Close(ctx)
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if err != nil && strings.Contains(err.Error(), testPassword) && !strings.Contains(string(body), testPassword) {
				t.Fatalf("the password is in an error: %v", err)
			}
		}
		if ctx.Err() != nil {
			t.Fatal("a question did not come to an end")
		}
	})
}
