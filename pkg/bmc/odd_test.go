package bmc_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// worksAll is what every machine is to do, whatever its BMC is like.
func worksAll(t *testing.T, o *odd) {
	client, err := bmc.Open(t.Context(), o.target())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := client.Identity(t.Context()); err != nil || id.Serial != "SER-1" {
		t.Errorf("Identity: %+v, %v", id, err)
	}
	if err := client.BootOnce(t.Context(), bmc.BootPXE); err != nil {
		t.Errorf("BootOnce: %v", err)
	}
	if boot, err := client.BootOverride(t.Context()); err != nil || boot.Device != bmc.BootPXE || boot.Persistent {
		t.Errorf("BootOverride: %+v, %v", boot, err)
	}
	for _, state := range []bmc.PowerState{bmc.On, bmc.Off} {
		if err := client.SetPower(t.Context(), state); err != nil {
			t.Errorf("SetPower %s: %v", state, err)
		}
		if running, _ := o.machine.Power(t.Context()); running != (state == bmc.On) {
			t.Errorf("after SetPower %s the machine runs: %t", state, running)
		}
	}
	if list, err := client.Sensors(t.Context()); err != nil || len(list) == 0 {
		t.Errorf("Sensors: %v, %v", list, err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := o.service.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// TestBMCsThatDiffer: what is known of the world's BMCs and does not keep a machine from being installed.
func TestBMCsThatDiffer(t *testing.T) {
	for _, c := range []struct {
		name   string
		listen string
		twists []twist
	}{
		{"whole URLs for links, with a name that is not ours (AMI, some chassis)", "", []twist{wholeURLs}},
		{"paths end in a slash, others are redirected with 308 (HPE iLO)", "", []twist{slashes(http.StatusPermanentRedirect, false)}},
		{"the same with 301 and whole URLs, writes too", "", []twist{slashes(http.StatusMovedPermanently, true)}},
		{"compressed though nobody asked (HPE iLO)", "", []twist{packed}},
		{"428 without If-Match (AMI, Lenovo XCC)", "", []twist{preconditions(http.StatusPreconditionRequired, "", `"v1"`)}},
		{"412 without If-Match, weak ETag given and wanted strong (Supermicro, Dell)", "", []twist{preconditions(http.StatusPreconditionFailed, "", `W/"v1"`)}},
		{"400 PreconditionRequired, and no ETag at all", "", []twist{preconditions(http.StatusBadRequest, "Base.1.4.PreconditionRequired", "")}},
		{"the collection has pages", "", []twist{pages}},
		{"no power state for a while after a reset (OpenBMC, XCC)", "", []twist{silentPower()}},
		{"503 with Retry-After while the BMC starts", "", []twist{startsSlowly()}},
		{"204 and 202 with a task that ends well (AMI, iDRAC 10)", "", []twist{tasks("Completed")}},
		{"no root without a password", "", []twist{lockedRoot}},
		{"sessions are at the session service only", "", []twist{onlyRoot(func(root object) { delete(root, "Links") })}},
		{"no sessions at all, and Basic authentication (sushy-tools)", "", []twist{onlyRoot(func(root object) { delete(root, "Links"); delete(root, "SessionService") })}},
		{"a session's place is told by the body only", "", []twist{noLocation}},
		{"a session cannot be ended", "", []twist{keepsSessions()}},
		{"reset types by ActionInfo, and On is called ForceOn", "", actionInfo()},
		{"no reset types, no target of the reset", "", []twist{show(oddSystem, func(s object) { s["Actions"] = object{} })}},
		{"a reset that was done is answered 409 (iDRAC), and 400 (iLO)", "", []twist{refusesWhatItDid(http.StatusConflict, "IDRAC.2.4.SYS446"), refusesWhatItDid(http.StatusBadRequest, "iLO.2.15.InvalidOperationForSystemState")}},
		{"no boot mode, null for what is not set", "", []twist{show(oddSystem, func(s object) { delete(at(s, "Boot"), "BootSourceOverrideMode"); s["SKU"], s["UUID"] = nil, nil })}},
		{"the device is shown, and not for how long", "", []twist{show(oddSystem, func(s object) { delete(at(s, "Boot"), "BootSourceOverrideEnabled") })}},
		{"numbers as texts, texts as numbers, Status a text", "", []twist{sloppy}},
		{"sensors that are named and not there", "", []twist{lostReadings}},
		{"the override is taken at Settings only, which cannot be read (AMI)", "", settingsOnly()},
		{"the machine is one of several systems", "", []twist{show("/redfish/v1/Systems", neighbours), on(http.MethodGet, "/redfish/v1/Systems/gpus", gpus)}},
		{"IPv6", "[::1]:0", nil},
		{"a root whose properties have other types (mockups)", "", []twist{onlyRoot(oddRoot)}},
		{"a mark of the encoding before each answer, said to be text in another charset", "", []twist{marked}},
		{"the connection ends with each answer, in HTTP 1.0", "", []twist{oldHTTP}},
		{"the place of a session is relative to where it was made", "", []twist{relativePlace}},
		{"the ETag is in the body only (OpenBMC)", "", []twist{preconditions(http.StatusPreconditionRequired, "", `"v1"`), etagInBody}},
		{"sessions are switched off", "", []twist{refuse(http.MethodPost, sessions, http.StatusServiceUnavailable, "Base.1.18.ServiceDisabled")}},
		{"sessions are refused with 401, and words (proxmox-redfish)", "", []twist{basicPlease}},
		{"lists instead of objects, and the power state in other letters", "", []twist{show(oddSystem, otherKinds)}},
		{"nothing in a collection's places", "", []twist{show("/redfish/v1/Systems", emptyPlaces)}},
		{"each answer is cut off at its first try", "", []twist{cutsFirst()}},
		{"each request is reset at its first try, answered 500 at its second and 429 at its third", "", []twist{failsFirst()}},
		{"the first switch is taken and dropped (iDRAC, Supermicro after a power-off)", "", []twist{dropsFirstSwitch()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			worksAll(t, startOdd(t, c.listen, c.twists...))
		})
	}
}

// wholeURLs turns every link of every answer into a URL.
func wholeURLs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		if place := answer.Header().Get("Location"); place != "" {
			answer.Header().Set("Location", "https://bmc.invalid"+place)
		}
		body := bytes.ReplaceAll(answer.Body.Bytes(), []byte(`"/redfish/`), []byte(`"https://bmc.invalid/redfish/`))
		reply(w, answer, body)
	})
}

// slashes redirects what has no slash at its end; with a whole URL of the standard port, which nobody listens at, where asked.
func slashes(status int, whole bool) twist {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/") {
				place := r.URL.Path + "/"
				if whole {
					place = "https://127.0.0.1" + place
				}
				w.Header().Set("Location", place)
				w.WriteHeader(status)
				return
			}
			if r.URL.Path != "/redfish/v1/" {
				r.URL.Path = strings.TrimRight(r.URL.Path, "/")
			}
			next.ServeHTTP(w, r)
		})
	}
}

func packed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		answer.Header().Set("Content-Encoding", "gzip")
		if answer.Body.Len() == 0 {
			reply(w, answer, nil)
			return
		}
		var buffer bytes.Buffer
		packer := gzip.NewWriter(&buffer)
		_, _ = packer.Write(answer.Body.Bytes())
		_ = packer.Close()
		reply(w, answer, buffer.Bytes())
	})
}

// preconditions refuses a PATCH whose If-Match is not the ETag, in its strong form, or any where there is none.
func preconditions(status int, message, etag string) twist {
	want := strings.TrimPrefix(etag, "W/")
	if etag == "" {
		want = "*"
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				switch r.Header.Get("If-Match") {
				case want:
					r.Header.Del("If-Match") // the emulator has ETags of its own
				case "":
					says(w, status, message)
					return
				default:
					says(w, http.StatusPreconditionFailed, "Base.1.4.PreconditionFailed")
					return
				}
			}
			answer := served(next, r)
			answer.Header().Del("ETag")
			if etag != "" {
				answer.Header().Set("ETag", etag)
			}
			reply(w, answer, answer.Body.Bytes())
		})
	}
}

// pages shows an empty page before the one that the systems are on.
func pages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redfish/v1/Systems" && r.URL.RawQuery == "" && r.Header.Get("X-Auth-Token") != "" {
			tell(w, object{"Members": []object{}, "Members@odata.nextLink": "/redfish/v1/Systems?$skip=50"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// silentPower tells no power state three times after each reset.
func silentPower() twist {
	var quiet atomic.Int64
	return func(next http.Handler) http.Handler {
		next = show(oddSystem, func(s object) {
			if quiet.Add(-1) >= 0 {
				s["PowerState"] = nil
			}
		})(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && r.URL.Path == oddReset {
				quiet.Store(3)
			}
			next.ServeHTTP(w, r)
		})
	}
}

func startsSlowly() twist {
	var n atomic.Int64
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) <= 2 {
				w.Header().Set("Retry-After", "1")
				says(w, http.StatusServiceUnavailable, "Base.1.8.ServiceTemporarilyUnavailable")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// tasks does what it is asked for when it is looked at for the second time, and says at the end how it went.
func tasks(end string) twist {
	const place = "/redfish/v1/TaskService/Tasks/1"
	return func(next http.Handler) http.Handler {
		var looks atomic.Int64
		var later atomic.Pointer[http.Request]
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := "Running"
			switch {
			case r.Method == http.MethodPatch, r.URL.Path == oddReset:
				taken(r)
				later.Store(r.Clone(r.Context()))
				later.Load().Body = r.Body
				looks.Store(0)
				w.Header().Set("Location", place+"/Monitor")
				w.WriteHeader(http.StatusAccepted)
			case r.URL.Path == place && looks.Add(1) == 2:
				state = end
				if end == "Completed" {
					*r = *later.Load().WithContext(r.Context())
					served(next, r)
				}
			case r.URL.Path != place:
				next.ServeHTTP(w, r)
				return
			}
			tell(w, object{"@odata.id": place, "@odata.type": "#Task.v1_4_3.Task", "TaskState": state, "Messages": []object{{"MessageId": "Base.1.8.InternalError", "Message": "no"}}})
		})
	}
}

func lockedRoot(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != testUser || password != testPassword {
			says(w, http.StatusUnauthorized, "Base.1.8.NoValidSession")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyRoot changes the service root and nothing below it.
func onlyRoot(change func(object)) twist {
	return func(next http.Handler) http.Handler {
		changed := show("/redfish/v1/", change)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/redfish/v1/" {
				changed.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func noLocation(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		answer.Header().Del("Location")
		reply(w, answer, answer.Body.Bytes())
	})
}

// keepsSessions refuses to end one; it has timed out when the test counts.
func keepsSessions() twist {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				served(next, r)
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func actionInfo() []twist {
	const place = oddSystem + "/ResetActionInfo"
	return []twist{
		show(oddSystem, func(s object) {
			if reset := at(s, "Actions", "#ComputerSystem.Reset"); reset != nil {
				delete(reset, "ResetType@Redfish.AllowableValues")
				reset["@Redfish.ActionInfo"] = place
			}
		}),
		on(http.MethodGet, place, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			return tell(w, object{"Parameters": []object{{"Name": "ResetType", "AllowableValues": []string{"ForceOn", "ForceOff", "Nmi"}}}})
		}),
		on(http.MethodPost, oddReset, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if taken(r)["ResetType"] == "On" {
				says(w, http.StatusBadRequest, "Base.1.8.ActionParameterNotSupported")
				return true
			}
			return false
		}),
	}
}

// refusesWhatItDid answers the first reset with a refusal after it was done: the reply of an attempt before had been lost, as far as the BMC can know.
func refusesWhatItDid(status int, message string) twist {
	var n atomic.Int64
	return on(http.MethodPost, oddReset, func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if n.Add(1) > 1 {
			return false
		}
		served(next, r)
		says(w, status, message)
		return true
	})
}

func sloppy(next http.Handler) http.Handler {
	return show(oddSystem, func(s object) {
		s["MemorySummary"], s["Status"], s["ProcessorSummary"] = object{"TotalSystemMemoryGiB": "64"}, "OK", []string{}
		s["SKU"], s["Model"], s["Oem"] = 12, 3500, ""
	})(show("/redfish/v1/Chassis/", func(c object) {
		for _, list := range []string{"Temperatures", "Fans"} {
			rows, _ := c[list].([]any)
			for _, row := range rows {
				row.(object)["Status"] = "OK"
				for _, name := range []string{"ReadingCelsius", "Reading"} {
					if value, ok := row.(object)[name]; ok {
						row.(object)[name] = fmt.Sprint(value)
					}
				}
			}
		}
	})(next))
}

func lostReadings(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Thermal") {
			says(w, http.StatusNotFound, "Base.1.8.ResourceMissingAtURI")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func settingsOnly() []twist {
	const place = oddSystem + "/SD"
	return []twist{
		show(oddSystem, func(s object) { s["@Redfish.Settings"] = object{"SettingsObject": object{"@odata.id": place}} }),
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPatch && r.URL.Path == place:
					r.URL.Path = oddSystem
				case r.Method == http.MethodPatch, r.URL.Path == place:
					says(w, http.StatusMethodNotAllowed, "Base.1.8.OperationNotAllowed")
					return
				}
				next.ServeHTTP(w, r)
			})
		},
	}
}

// neighbours puts systems beside the machine: accelerators, which cannot be switched.
func neighbours(body object) {
	if list, ok := body["Members"].([]any); ok {
		body["Members"] = append([]any{object{"@odata.id": "/redfish/v1/Systems/gpus"}, object{"@odata.id": "/redfish/v1/Systems/gone"}}, list...)
	}
}

func gpus(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
	return tell(w, object{"Name": "GPUs", "SystemType": "Physical", "SerialNumber": "GPU-1"})
}

// TestBMCsThatKeepADeviceForAlways: sushy-tools has no override for once, and does not say so.
func TestBMCsThatKeepADeviceForAlways(t *testing.T) {
	stubborn := on(http.MethodPatch, oddSystem, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		body := taken(r)
		at(body, "Boot")["BootSourceOverrideEnabled"] = "Continuous"
		send(r, body)
		return false
	})
	targets := show(oddSystem, func(s object) {
		if boot := at(s, "Boot"); boot != nil {
			boot["BootSourceOverrideTarget@Redfish.AllowableValues"] = []string{"Pxe", "Cd", "Hdd"}
		}
	})
	o := startOdd(t, "", stubborn, targets)
	client, err := bmc.Open(t.Context(), o.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	for range 2 { // the second time it reads so before
		if err := client.BootOnce(t.Context(), bmc.BootPXE); err != nil {
			t.Fatal(err)
		}
		if boot, err := client.BootOverride(t.Context()); err != nil || boot.Device != bmc.BootPXE || !boot.Persistent {
			t.Errorf("BootOverride: %+v, %v", boot, err)
		}
	}
	if n := o.seen("PATCH"); n != 2 {
		t.Errorf("%d writes, want one each time: the first way was taken", n)
	}
}
