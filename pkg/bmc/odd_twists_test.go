package bmc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

func refuse(method, path string, status int, message string) twist {
	return on(method, path, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		says(w, status, message)
		return true
	})
}

func oddRoot(root object) {
	root["UUID"], root["Product"], root["RedfishVersion"], root["Name"] = 7, object{}, 1.6, []string{}
	root["ProtocolFeaturesSupported"] = object{"ExpandQuery": object{"MaxLevels": "6", "Levels": "true"}}
	root["Managers"], root["Tasks"] = []string{"/redfish/v1/Managers"}, nil
}

func marked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		answer.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
		body := answer.Body.Bytes()
		if len(body) > 0 {
			body = append([]byte("\xef\xbb\xbf"), body...)
		}
		reply(w, answer, body)
	})
}

// oldHTTP answers as a server of HTTP 1.0 does: without a length, until the connection ends.
func oldHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		conn, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(buffer, "HTTP/1.0 %d %s\r\n", answer.Code, http.StatusText(answer.Code))
		_ = answer.Header().Write(buffer)
		fmt.Fprintf(buffer, "\r\n%s", answer.Body)
		_ = buffer.Flush()
	})
}

func relativePlace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		if place := answer.Header().Get("Location"); place != "" {
			answer.Header().Set("Location", "Sessions/"+place[strings.LastIndex(place, "/")+1:])
			reply(w, answer, nil)
			return
		}
		reply(w, answer, answer.Body.Bytes())
	})
}

// etagInBody moves the ETag.
func etagInBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := served(next, r)
		etag := answer.Header().Get("ETag")
		answer.Header().Del("ETag")
		var body object
		raw := answer.Body.Bytes()
		if json.Unmarshal(raw, &body) == nil && r.Method == http.MethodGet {
			body["@odata.etag"] = etag
			raw, _ = json.Marshal(body)
		}
		reply(w, answer, raw)
	})
}

func otherKinds(s object) {
	if state, ok := s["PowerState"].(string); ok {
		s["PowerState"] = strings.ToUpper(state)
	}
	s["@Redfish.Settings"], s["Bios"], s["Status"], s["Manufacturer"] = []string{}, "none", 7, object{}
}

func emptyPlaces(body object) {
	if list, ok := body["Members"].([]any); ok {
		body["Members"] = append([]any{nil, object{}, object{"@odata.id": nil}}, list...)
	}
}

// firsts counts the requests of each kind, and tells the how-manieth one is.
type firsts struct {
	mu   sync.Mutex
	seen map[string]int
}

func (f *firsts) count(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[string]int{}
	}
	f.seen[r.Method+r.URL.Path]++
	return f.seen[r.Method+r.URL.Path]
}

// cutsFirst sends half of each resource, the first time.
func cutsFirst() twist {
	var f firsts
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || f.count(r) > 1 {
				next.ServeHTTP(w, r)
				return
			}
			answer := served(next, r)
			w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			panic(http.ErrAbortHandler)
		})
	}
}

// failsFirst fails three times, each time in another way, for the reading of the system and each write.
func failsFirst() twist {
	var f firsts
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := 0
			if r.URL.Path == oddSystem || r.URL.Path == oddReset {
				n = f.count(r)
			}
			switch n {
			case 1:
				panic(http.ErrAbortHandler)
			case 2:
				says(w, http.StatusInternalServerError, "Base.1.8.InternalError")
			case 3:
				w.Header().Set("Retry-After", "0")
				says(w, http.StatusTooManyRequests, "Base.1.8.GeneralError")
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

func dropsFirstSwitch() twist {
	var n atomic.Int64
	return on(http.MethodPost, oddReset, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		if n.Add(1) > 1 {
			return false
		}
		w.WriteHeader(http.StatusNoContent)
		return true
	})
}

// changeFirst is DSP0266's way: the login is taken, and all else refused.
func changeFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == sessions:
			answer := served(next, r)
			body, _ := json.Marshal(object{"Id": "1", "@Message.ExtendedInfo": []object{{"MessageId": "Base.1.18.PasswordChangeRequired", "Message": "change it"}}})
			reply(w, answer, body)
		case r.URL.Path == "/redfish/v1/" || r.Method == http.MethodDelete:
			next.ServeHTTP(w, r)
		default:
			says(w, http.StatusForbidden, "Base.1.18.InsufficientPrivilege")
		}
	})
}

// elsewhere sends everybody to another host, the login too.
func elsewhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://other.invalid"+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
}

// webPage is what some BMCs show, with 200, where they want a login.
func webPage(path string) twist {
	return on(http.MethodGet, path, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("\n<!DOCTYPE html><title>log in</title>"))
		return true
	})
}

// fixedMode has its machine in Legacy mode, and lets nobody change that.
func fixedMode(next http.Handler) http.Handler {
	return on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if at(taken(r), "Boot")["BootSourceOverrideMode"] != nil {
			says(w, http.StatusBadRequest, "Base.1.8.PropertyNotWritable")
			return true
		}
		return false
	})(show(oddSystem, func(s object) {
		if boot := at(s, "Boot"); boot != nil {
			boot["BootSourceOverrideMode"] = "Legacy"
		}
	})(next))
}

// yesAndNo answers 200, and says in the answer that it did not.
func yesAndNo(next http.Handler) http.Handler {
	return on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		return tell(w, object{"error": object{"code": "Base.1.8.GeneralError", "message": "see there", "@Message.ExtendedInfo": []object{
			{"MessageId": "Base.1.8.Success"}, {"MessageId": "Base.1.8.GeneralError", "Message": "no licence for it"}}}})
	})(next)
}

func oneMessage(next http.Handler) http.Handler {
	return on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(bytes.ReplaceAll([]byte(`{'error':{'@Message.ExtendedInfo':{'MessageId':'SYS428','Message':'no more','MessageArgs':[1]}}}`), []byte("'"), []byte(`"`)))
		return true
	})(next)
}

func basicPlease(next http.Handler) http.Handler {
	return on(http.MethodPost, sessions, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return tell(w, object{"error": object{"code": "Base.1.0.GeneralError", "message": "Basic Authentication required but there is none"}})
	})(next)
}

// dropsMode takes a boot mode, and goes on to show another.
func dropsMode(next http.Handler) http.Handler {
	return booting(func(boot object) { boot["BootSourceOverrideMode"] = "Legacy" })(next)
}

func beside(next http.Handler) http.Handler {
	return on(http.MethodPatch, oddSystem, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusBadRequest)
		return tell(w, object{"error": object{"code": "Base.1.0.GeneralError", "message": "no such disk", "@Message.ExtendedInfo": []object{{"MessageId": "Base.1.0.GeneralError"}}}})
	})(next)
}
