package redfish_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

const system = "/redfish/v1/Systems/blade1"

func local(t *testing.T, opt redfish.Options) (*redfish.Server, *redfish.Memory) {
	t.Helper()
	opt.User, opt.Password = user, password
	machine := redfish.NewMemory(info())
	service, err := redfish.New(machine, opt)
	if err != nil {
		t.Fatal(err)
	}
	return service, machine
}

func call(service http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth(user, password)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"versions", "GET", "/redfish", "", 200},
		{"service root with slash", "GET", "/redfish/v1/", "", 200},
		{"system", "GET", system, "", 200},
		{"missing", "GET", "/redfish/v1/Systems/other", "", 404},
		{"boot once", "PATCH", system, `{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}`, 204},
		{"unknown target", "PATCH", system, `{"Boot":{"BootSourceOverrideTarget":"Tape"}}`, 400},
		{"unknown property", "PATCH", system, `{"AssetTag":"x"}`, 400},
		{"unknown boot property", "PATCH", system, `{"Boot":{"BootNext":"x"}}`, 400},
		{"no JSON", "PATCH", system, `{`, 400},
		{"reset", "POST", system + "/Actions/ComputerSystem.Reset", `{"ResetType":"ForceOff"}`, 204},
		{"unknown reset", "POST", system + "/Actions/ComputerSystem.Reset", `{"ResetType":"Explode"}`, 400},
		{"attribute", "PATCH", system + "/Bios/Settings", `{"Attributes":{"BootMode":"Bios"}}`, 204},
		{"unknown attribute", "PATCH", system + "/Bios/Settings", `{"Attributes":{"Turbo":"On"}}`, 400},
		{"attribute of another type", "PATCH", system + "/Bios/Settings", `{"Attributes":{"BootMode":1}}`, 400},
		{"image without host", "POST", "/redfish/v1/Managers/BMC/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia", `{"Image":"x"}`, 400},
		{"sensor", "GET", "/redfish/v1/Chassis/blade1/Sensors/Fan1", "", 200},
		{"missing sensor", "GET", "/redfish/v1/Chassis/blade1/Sensors/Fan9", "", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			service, _ := local(t, redfish.Options{})
			w := call(service, c.method, c.path, c.body)
			if w.Code != c.want {
				t.Errorf("%s %s: %d, want %d\n%s", c.method, c.path, w.Code, c.want, w.Body)
			}
			if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("the body is not JSON: %s", w.Body)
			}
		})
	}
}

func TestEveryLinkLeadsToAResource(t *testing.T) {
	service, _ := local(t, redfish.Options{})
	seen := map[string]bool{}
	var visit func(path string)
	var follow func(value any)
	follow = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if path, ok := v["@odata.id"].(string); ok {
				visit(path)
			}
			for _, inner := range v {
				follow(inner)
			}
		case []any:
			for _, inner := range v {
				follow(inner)
			}
		}
	}
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		w := call(service, "GET", path, "")
		var body any
		if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != 200 || err != nil {
			t.Errorf("GET %s: %d %v", path, w.Code, err)
			return
		}
		follow(body)
	}
	visit("/redfish/v1")
	if len(seen) < 15 {
		t.Errorf("only %d resources are reachable: %v", len(seen), seen)
	}
}

func TestPreconditionsAreHeld(t *testing.T) {
	service, _ := local(t, redfish.Options{})
	etag := call(service, "GET", system, "").Header().Get("ETag")
	patch := `{"Boot":{"BootSourceOverrideTarget":"Hdd","BootSourceOverrideEnabled":"Once"}}`
	if w := call(service, "PATCH", system, patch, "If-Match", etag); w.Code != 204 {
		t.Errorf("current ETag: %d, want 204", w.Code)
	}
	if w := call(service, "PATCH", system, patch, "If-Match", etag); w.Code != 412 {
		t.Errorf("outdated ETag: %d, want 412", w.Code)
	}
}

func TestSessionsAreFewAndExpire(t *testing.T) {
	var now atomic.Int64
	service, _ := local(t, redfish.Options{
		MaxSessions: 2, SessionTimeout: time.Minute,
		Now: func() time.Time { return time.Unix(now.Load(), 0) },
	})
	login := func(pass string) *httptest.ResponseRecorder {
		return call(service, "POST", "/redfish/v1/SessionService/Sessions", `{"UserName":"admin","Password":"`+pass+`"}`)
	}
	if w := login("wrong"); w.Code != 401 {
		t.Errorf("wrong password: %d, want 401", w.Code)
	}
	first := login(password)
	login(password)
	if w := login(password); w.Code != 503 {
		t.Errorf("third session: %d, want 503", w.Code)
	}
	if w := call(service, "DELETE", first.Header().Get("Location"), ""); w.Code != 204 {
		t.Errorf("delete a session: %d, want 204", w.Code)
	}
	token := first.Header().Get("X-Auth-Token")
	if w := call(service, "GET", system, "", "X-Auth-Token", token); w.Code != 401 {
		t.Errorf("a deleted session still reads: %d, want 401", w.Code)
	}
	now.Store(61)
	if n := service.Sessions(); n != 0 {
		t.Errorf("%d sessions live after their time, want 0", n)
	}
}

func TestFaults(t *testing.T) {
	var fault redfish.Fault
	service, machine := local(t, redfish.Options{Fault: func(*http.Request) redfish.Fault { return fault }})
	on := func() bool {
		state, err := machine.Power(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	reset := func(kind string) *httptest.ResponseRecorder {
		return call(service, "POST", system+"/Actions/ComputerSystem.Reset", `{"ResetType":"`+kind+`"}`)
	}
	fault = redfish.Fault{Revert: true}
	if w := reset("On"); w.Code != 204 || on() {
		t.Errorf("revert: %d and on=%t, want 204 and off", w.Code, on())
	}
	fault = redfish.Fault{Status: 500}
	if w := reset("On"); w.Code != 500 || on() {
		t.Errorf("status: %d and on=%t, want 500 and off", w.Code, on())
	}
	fault = redfish.Fault{LoseReply: true}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the reply was not cut")
			}
		}()
		reset("On")
	}()
	if !on() {
		t.Error("lost reply: the work was not done")
	}
}

func TestOptionsAreRequired(t *testing.T) {
	if _, err := redfish.New(redfish.NewMemory(info()), redfish.Options{User: "x"}); err == nil {
		t.Error("a service without a password was made")
	}
}
