package bmc_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// booting changes what a system tells of its boot.
func booting(change func(boot object)) twist {
	return show(oddSystem, func(s object) {
		if boot := at(s, "Boot"); boot != nil {
			change(boot)
		}
	})
}

// takesOnly refuses a boot override that has a property which is not named here.
func takesOnly(names ...string) twist {
	return on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		for name := range at(taken(r), "Boot") {
			if !strings.Contains(strings.Join(names, " "), name) {
				says(w, http.StatusBadRequest, "Base.1.8.PropertyUnknown")
				return true
			}
		}
		return false
	})
}

// TestBootOverridesThatDiffer: what a BMC does not have is not sent.
func TestBootOverridesThatDiffer(t *testing.T) {
	const target, enabled, mode = "BootSourceOverrideTarget", "BootSourceOverrideEnabled", "BootSourceOverrideMode"
	for _, c := range []struct {
		name   string
		device bmc.BootDevice
		twists []twist
	}{
		{"no boot mode (some Supermicro), and one is asked for", bmc.BootPXE, []twist{takesOnly(target, enabled), booting(func(b object) { delete(b, mode) })}},
		{"a boot mode that is not set, and one is asked for", bmc.BootPXE, []twist{takesOnly(target, enabled, mode), booting(func(b object) { b[mode] = nil })}},
		{"the mode that is asked for is set already, and cannot be written", bmc.BootPXE, []twist{takesOnly(target, enabled), booting(func(b object) { b[mode] = "UEFI" })}},
		{"a URL that somebody has left for booting by HTTP", bmc.BootHTTP, []twist{
			on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				body := taken(r)
				if uri, sent := at(body, "Boot")["HttpBootUri"]; !sent || uri != nil {
					says(w, http.StatusBadRequest, "Base.1.8.PropertyMissing")
					return true
				}
				delete(at(body, "Boot"), "HttpBootUri")
				send(r, body)
				return false
			}), booting(func(b object) {
				b["HttpBootUri"] = "http://192.0.2.1/left.efi"
				delete(b, target+"@Redfish.AllowableValues")
			})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wanted := startOdd(t, "", c.twists...).target()
			wanted.Firmware = bmc.UEFI
			client, err := bmc.Open(t.Context(), wanted)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			if err := client.BootOnce(t.Context(), c.device); err != nil {
				t.Error(err)
			}
			if boot, err := client.BootOverride(t.Context()); err != nil || boot.Device != c.device {
				t.Errorf("BootOverride: %+v, %v", boot, err)
			}
		})
	}
}

// TestPathsOfSystems: an id may hold what a path does not, and a BMC may insist on the slash at its end.
func TestPathsOfSystems(t *testing.T) {
	under := func(path string) twist { // the system is there, and nowhere else
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch place := r.URL.EscapedPath(); {
				case place == path:
					r.URL.Path, r.URL.RawPath = oddSystem, ""
				case strings.HasPrefix(place, oddSystem):
					says(w, http.StatusNotFound, "Base.1.8.ResourceMissingAtURI")
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	listed := func(path string) twist {
		return show("/redfish/v1/Systems", func(body object) {
			if _, ok := body["Members"]; ok {
				body["Members"] = []object{{"@odata.id": path}}
			}
		})
	}
	for _, c := range []struct{ name, address, path string }{
		{"of Dell", "/redfish/v1/Systems/System.Embedded.1", "/redfish/v1/Systems/System.Embedded.1"},
		{"escapes", "/redfish/v1/Systems/a%20b%2Fc%25", "/redfish/v1/Systems/a%20b%2Fc%25"},
		{"escapes, found", "", "/redfish/v1/Systems/a%20b%2Fc%25"},
		{"a space, found", "", "/redfish/v1/Systems/a b"},
		{"a slash at the end that counts", "/redfish/v1/Systems/1/", "/redfish/v1/Systems/1/"},
		{"the same, and the address has none", "/redfish/v1/Systems/1", "/redfish/v1/Systems/1/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			target := startOdd(t, "", listed(c.path), under(strings.ReplaceAll(c.path, " ", "%20"))).target()
			target.Address += c.address
			client, err := bmc.Open(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			if id, err := client.Identity(t.Context()); err != nil || id.Serial != "SER-1" {
				t.Errorf("Identity: %+v, %v", id, err)
			}
		})
	}
}

// TestSecretsThatComeBack: BMCs repeat the login and the session's token in what they say, and neither is shown or logged.
func TestSecretsThatComeBack(t *testing.T) {
	var log bytes.Buffer
	token := ""
	o := startOdd(t, "", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost && r.URL.Path == sessions && token == "":
				answer := served(next, r)
				token = answer.Header().Get("X-Auth-Token")
				reply(w, answer, answer.Body.Bytes())
			case r.Method == http.MethodPost && r.URL.Path == sessions:
				says(w, http.StatusMethodNotAllowed, fmt.Sprint("no: ", taken(r)))
			case r.Method == http.MethodPatch, r.Method == http.MethodDelete:
				says(w, http.StatusMethodNotAllowed, "no: "+r.Header.Get("X-Auth-Token")+r.Header.Get("Authorization"))
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	target := o.target()
	target.Log = slog.New(slog.NewTextHandler(&log, nil))
	for range 2 { // the second time without a session
		client, err := bmc.Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		err = client.BootOnce(t.Context(), bmc.BootPXE)
		if !isKind(err, bmc.ErrUnsupported) {
			t.Errorf("BootOnce: %v, want %v", err, bmc.ErrUnsupported)
		}
		fmt.Fprintf(&log, "%v %+v", err, err)
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if token == "" || !strings.Contains(log.String(), "redacted") {
		t.Fatalf("nothing came back:\n%s", &log)
	}
	for what, secret := range map[string]string{"password": testPassword, "token": token, "login": "YWRtaW46"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the %s is shown:\n%s", what, &log)
		}
	}
}
