package bmc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// TestWhatABMCRefusesIsUnderstood: what cannot work says what was tried, what came back, and what to do.
func TestWhatABMCRefusesIsUnderstood(t *testing.T) {
	open := func(*testing.T, bmc.Client) error { return nil }
	bootOnce := func(t *testing.T, c bmc.Client) error { return c.BootOnce(t.Context(), bmc.BootPXE) }
	switchOn := func(t *testing.T, c bmc.Client) error { return c.SetPower(t.Context(), bmc.On) }
	page := func(status int) twist {
		return on(http.MethodGet, "/redfish/v1/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>a page</html>")
			return true
		})
	}
	for _, c := range []struct {
		name   string
		twists []twist
		adjust func(*bmc.Target)
		do     func(*testing.T, bmc.Client) error
		kind   error
		says   []string
	}{
		{"a task ends badly", []twist{tasks("Exception")}, nil, bootOnce, bmc.ErrUnsupported, []string{"PATCH " + oddSystem, "Exception", "InternalError"}},
		{"a web page", []twist{page(http.StatusOK)}, nil, open, bmc.ErrUnsupported, []string{"/redfish/v1/", "does not speak Redfish"}},
		{"no such page", []twist{page(http.StatusNotFound)}, nil, open, bmc.ErrUnsupported, []string{"404", "ipmi://"}},
		{"the password is to be changed first", []twist{refuse(http.MethodPost, sessions, http.StatusForbidden, "Base.1.8.PasswordChangeRequired")}, nil, open, bmc.ErrAuth, []string{"change it on the BMC"}},
		{"all sessions in use, as a 400", []twist{refuse(http.MethodPost, sessions, http.StatusBadRequest, "Base.1.8.CreateLimitReachedForResource")}, nil, open, bmc.ErrBusy, []string{"no session is free"}},
		{"a wrong password, as a 400", []twist{refuse(http.MethodPost, sessions, http.StatusBadRequest, "iLO.2.14.UnauthorizedLoginAttempt")}, nil, open, bmc.ErrAuth, []string{"POST " + sessions, "400"}},
		{"the password is to be changed, said by the login that is taken", []twist{changeFirst}, nil, open, bmc.ErrAuth, []string{"403", "change it on the BMC"}},
		{"another host", []twist{elsewhere}, nil, open, bmc.ErrUnreachable, []string{"other.invalid", "not followed"}},
		{"a web page in the place of the system", []twist{webPage(oddSystem)}, func(t *bmc.Target) { t.Address += oddSystem }, open, bmc.ErrUnreachable, []string{"GET " + oddSystem, "a web page"}},
		{"the path of a chassis", nil, func(t *bmc.Target) { t.Address += "/redfish/v1/Chassis/blade1" }, open, bmc.ErrInvalid, []string{"#Chassis.", "no system"}},
		{"while the machine is on", []twist{refuse(http.MethodPatch, oddSystem, http.StatusConflict, "Base.1.8.PropertyValueConflict")}, nil, bootOnce, bmc.ErrBusy,
			[]string{"PATCH " + oddSystem, "409", "PropertyValueConflict", "switch it off"}},
		{"the boot mode cannot be written", []twist{fixedMode}, func(t *bmc.Target) { t.Firmware = bmc.UEFI }, bootOnce, bmc.ErrUnsupported, []string{"PropertyNotWritable", "Legacy", "firmware in the inventory"}},
		{"yes, and why not", []twist{yesAndNo}, nil, bootOnce, bmc.ErrReverted, []string{"PATCH " + oddSystem, "Base.1.8.GeneralError", "licence"}},
		{"the boot mode is taken and dropped (KubeVirtBMC)", []twist{dropsMode}, func(t *bmc.Target) { t.Firmware = bmc.UEFI }, bootOnce, bmc.ErrReverted,
			[]string{"reads Pxe, Once, Legacy", "firmware in the inventory"}},
		{"a key and a text beside it (sushy-tools)", []twist{beside}, nil, bootOnce, bmc.ErrUnsupported, []string{"Base.1.0.GeneralError no such disk"}},
		{"too many attempts with this account", []twist{refuse(http.MethodPost, sessions, http.StatusForbidden, "Base.1.8.AccountLocked: maximum of attempts")}, nil, open, bmc.ErrAuth, []string{"AccountLocked"}},
		{"one message where a list should be, with numbers in it", []twist{oneMessage}, nil, bootOnce, bmc.ErrUnsupported, []string{"SYS428 no more"}},
		{"during POST", []twist{refuse(http.MethodPatch, oddSystem, http.StatusBadRequest, "iLO.2.15.UnableToModifyDuringSystemPOST")}, nil, bootOnce, bmc.ErrBusy, []string{"DuringSystemPOST", "try again later"}},
		{"not in this state", []twist{refuse(http.MethodPost, oddReset, http.StatusConflict, "Base.1.8.ActionNotSupported")}, nil, switchOn, bmc.ErrBusy, []string{"POST " + oddReset, "409"}},
		{"another path than the system's", nil, func(t *bmc.Target) { t.Address += "/redfish/v1/Systems/1" }, open, bmc.ErrInvalid, []string{"/redfish/v1/Systems/1", oddSystem}},
		{"several systems, none with the serial number", []twist{show("/redfish/v1/Systems", neighbours), on(http.MethodGet, "/redfish/v1/Systems/gpus", gpus)},
			func(t *bmc.Target) { t.Expect.Serial = "SER-9" }, open, bmc.ErrIdentity, []string{"SER-9", "SER-1", "GPU-1", "add the path"}},
		{"the boot override's device is not offered", []twist{show(oddSystem, func(s object) {
			if boot := at(s, "Boot"); boot != nil {
				boot["BootSourceOverrideTarget@Redfish.AllowableValues"] = []string{"None", "Hdd"}
			}
		})}, nil, bootOnce, bmc.ErrUnsupported, []string{"Pxe", "Hdd"}},
		{"no verb that switches off at once", []twist{show(oddSystem, func(s object) {
			if reset := at(s, "Actions", "#ComputerSystem.Reset"); reset != nil {
				reset["ResetType@Redfish.AllowableValues"] = []string{"PushPowerButton"}
			}
		})}, nil, switchOn, bmc.ErrUnsupported, []string{"PushPowerButton", "ForceOn"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			target := startOdd(t, "", c.twists...).target()
			if c.adjust != nil {
				c.adjust(&target)
			}
			client, err := bmc.Open(t.Context(), target)
			if err == nil {
				err = c.do(t, client)
				defer client.Close(t.Context())
			}
			if !isKind(err, c.kind) {
				t.Fatalf("%v, want one that is: %v", err, c.kind)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "{") || strings.Contains(err.Error(), testPassword) {
				t.Errorf("it holds JSON, or the password: %v", err)
			}
		})
	}
}

// TestTheSystemIsFoundByItsSerialNumber: a chassis whose controller has a system for each of its blades.
func TestTheSystemIsFoundByItsSerialNumber(t *testing.T) {
	blade := func(serial string) func(http.ResponseWriter, *http.Request, http.Handler) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			return tell(w, object{"SerialNumber": serial, "PowerState": "On", "Actions": object{"#ComputerSystem.Reset": object{"target": "/x"}}})
		}
	}
	o := startOdd(t, "", show("/redfish/v1/Systems", neighbours),
		on(http.MethodGet, "/redfish/v1/Systems/gpus", blade("SER-2")), on(http.MethodGet, "/redfish/v1/Systems/gone", blade("SER-3")))
	target := o.target()
	target.Expect.Serial = "ser-1"
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if state, err := client.Power(t.Context()); err != nil || state != bmc.Off {
		t.Errorf("Power: %q, %v, want that of the blade that is off", state, err)
	}
	if _, err := bmc.Open(t.Context(), o.target()); !isKind(err, bmc.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "SER-2") {
		t.Errorf("without a serial number: %v, want %v with the systems", err, bmc.ErrInvalid)
	}
}

// TestASessionThatEndsInMidUse: the token is refused between two requests of one operation.
func TestASessionThatEndsInMidUse(t *testing.T) {
	for _, c := range []struct{ name, method, path string }{{"boot", http.MethodPatch, oddSystem}, {"power", http.MethodPost, oddReset}} {
		t.Run(c.name, func(t *testing.T) {
			first := true
			o := startOdd(t, "", on(c.method, c.path, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
				if !first {
					return false
				}
				first = false
				says(w, http.StatusUnauthorized, "Base.1.8.NoValidSession")
				return true
			}))
			client, err := bmc.Open(t.Context(), o.target())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			if err := client.BootOnce(t.Context(), bmc.BootPXE); err != nil {
				t.Error(err)
			}
			if err := client.SetPower(t.Context(), bmc.On); err != nil {
				t.Error(err)
			}
			if n := o.seen("POST " + sessions); n != 2 {
				t.Errorf("%d logins, want 2", n)
			}
		})
	}
}

// TestMediaThatWantMoreNames: Lenovo's and Supermicro's want to be told how the image is fetched, and show its name only.
func TestMediaThatWantMoreNames(t *testing.T) {
	const cd = "/redfish/v1/Managers/BMC/VirtualMedia/Cd"
	o := startOdd(t, "", show(cd, func(m object) {
		if m["Image"] != nil {
			m["Image"] = m["ImageName"]
		}
	}), on(http.MethodPost, cd+"/Actions/VirtualMedia.InsertMedia", func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if taken(r)["TransferProtocolType"] == "HTTP" {
			return false
		}
		says(w, http.StatusBadRequest, "Base.1.8.ActionParameterMissing")
		return true
	}))
	client, err := bmc.Open(t.Context(), o.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	for _, image := range []string{"http://192.0.2.1/a.iso", "http://192.0.2.1/b.iso"} {
		if err := client.InsertMedia(t.Context(), image); err != nil {
			t.Errorf("InsertMedia %s: %v", image, err)
		}
	}
	if m, err := client.Media(t.Context()); err != nil || m.Image != "b.iso" || !m.Inserted {
		t.Errorf("Media: %+v, %v", m, err)
	}
	if err := client.EjectMedia(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestACertificateWithoutNames: what BMCs make for themselves has a common name and nothing else.
func TestACertificateWithoutNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	emulator := startOdd(t, "")
	server := httptest.NewUnstartedServer(emulator.service)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	target := emulator.target()
	target.Address = "redfish://" + server.Listener.Addr().String()
	target.Trust = bmc.Trust{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if _, err := bmc.Open(t.Context(), target); !isKind(err, bmc.ErrUntrusted) || !strings.Contains(fmt.Sprint(err), bmc.PinOf(der)) || !strings.Contains(fmt.Sprint(err), "in the place of ca") {
		t.Errorf("with ca: %v, want %v that says which pin to use", err, bmc.ErrUntrusted)
	}
	target.Trust = bmc.Trust{Pin: bmc.PinOf(der)}
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatalf("with the pin: %v", err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
