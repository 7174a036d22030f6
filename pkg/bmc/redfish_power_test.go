package bmc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// A machine that is being switched on is not off: who wants it off has to switch it off.
func TestMachineOnItsWay(t *testing.T) {
	var mu sync.Mutex
	power, resets := "PoweringOn", 0
	mux := http.NewServeMux()
	say := func(path, format string, args ...any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, format, args...)
		})
	}
	const system = "/redfish/v1/Systems/1"
	say("/redfish/v1/{$}", `{"RedfishVersion":"1.15.0","Systems":{"@odata.id":"/redfish/v1/Systems"},"Links":{"Sessions":{"@odata.id":"/redfish/v1/SessionService/Sessions"}},"SessionService":{"@odata.id":"/redfish/v1/SessionService"}}`)
	say("/redfish/v1/Systems", `{"Members@odata.count":1,"Members":[{"@odata.id":%q}]}`, system)
	mux.HandleFunc("POST /redfish/v1/SessionService/Sessions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Auth-Token", "t")
		w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"@odata.id":"/redfish/v1/SessionService/Sessions/1","Id":"1"}`)
	})
	mux.HandleFunc("DELETE /redfish/v1/SessionService/Sessions/1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET "+system, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"@odata.id":%q,"Id":"1","SerialNumber":"SER-1","PowerState":%q,"Actions":{"#ComputerSystem.Reset":{"target":%q,"ResetType@Redfish.AllowableValues":["On","ForceOff"]}}}`,
			system, power, system+"/Actions/ComputerSystem.Reset")
	})
	mux.HandleFunc("POST "+system+"/Actions/ComputerSystem.Reset", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		resets++
		power = "Off"
		w.WriteHeader(http.StatusNoContent)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := bmc.Open(t.Context(), bmc.Target{Address: "redfish+" + server.URL + system, Credentials: bmc.Credentials{User: "u", Password: "p"},
		Trust: bmc.Trust{AllowPlainHTTP: true}, Expect: bmc.Expect{Serial: "SER-1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if state, err := c.Power(t.Context()); err != nil || state != bmc.On {
		t.Errorf("powering on reads %q, %v", state, err)
	}
	if err := c.SetPower(t.Context(), bmc.Off); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if resets != 1 || power != "Off" {
		t.Errorf("%d times switched off, it is %s", resets, power)
	}
}
