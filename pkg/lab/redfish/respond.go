package redfish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// object is a JSON object of the schema.
type object = map[string]any

const maxBody = 1 << 20

// refusal is an error that the client gets with its own status and message.
type refusal struct {
	status        int
	code, message string
}

func (e *refusal) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func link(path string) object { return object{"@odata.id": path} }

func members(paths ...string) []object {
	links := make([]object, 0, len(paths))
	for _, p := range paths {
		links = append(links, link(p))
	}
	return links
}

// collection serves a resource collection with fixed members.
func collection(kind, path string, paths ...string) func(*http.Request) (object, error) {
	return func(*http.Request) (object, error) {
		return object{
			"@odata.id": path, "@odata.type": "#" + kind + "." + kind, "Name": kind,
			"Members": members(paths...), "Members@odata.count": len(paths),
		}, nil
	}
}

// get serves a resource for GET and HEAD, with an ETag made of its bytes.
func (s *Server) get(path string, read func(*http.Request) (object, error)) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		body, err := read(r)
		if err != nil {
			failWith(w, err)
			return
		}
		w.Header().Set("ETag", etag(body))
		respond(w, http.StatusOK, body)
	})
}

// write serves a method that changes something; success is answered with 204.
// For PATCH, If-Match is compared with the ETag of what read returns when it is given.
func (s *Server) write(pattern string, read func(*http.Request) (object, error), do func(*http.Request, object) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.writes.Lock()
		defer s.writes.Unlock()
		err := s.change(r, read, do)
		if err != nil {
			failWith(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s *Server) change(r *http.Request, read func(*http.Request) (object, error), do func(*http.Request, object) error) error {
	in, err := body(r)
	if err != nil {
		return err
	}
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && read != nil {
		now, err := read(r)
		if err != nil {
			return err
		}
		if want != etag(now) {
			return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "the resource has changed: its ETag is not %s", want)
		}
	}
	return do(r, in)
}

func body(r *http.Request) (object, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "MalformedJSON", "the body could not be read: %v", err)
	}
	if len(raw) == 0 {
		return object{}, nil
	}
	var in object
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "MalformedJSON", "the body is not a JSON object: %v", err)
	}
	return in, nil
}

func etag(body object) string {
	raw, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

func respond(w http.ResponseWriter, status int, body any) {
	raw, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n'))
}

func failWith(w http.ResponseWriter, err error) {
	var refused *refusal
	if errors.As(err, &refused) {
		fail(w, refused.status, refused.code, refused.message)
		return
	}
	fail(w, http.StatusInternalServerError, "InternalError", err.Error())
}

// fail answers with the error object of DSP0266, 8.6.
func fail(w http.ResponseWriter, status int, code, message string) {
	id := "Base.1.13." + code
	respond(w, status, object{"error": object{
		"code": id, "message": message,
		"@Message.ExtendedInfo": []object{{
			"@odata.type": "#Message.v1_1_1.Message", "MessageId": id, "Message": message,
			"MessageArgs": []string{}, "Severity": "Critical", "Resolution": "None",
		}},
	}})
}
