package redfish

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const root = "/redfish/v1"

// Server is the service of one machine. Its zero value is not usable: see New.
type Server struct {
	machine  Machine
	opt      Options
	sessions *sessions
	mux      *http.ServeMux

	// writes serialises requests that change something, so that each is one step; mu guards
	// the fields below and is held briefly, so that reads go on while a machine starts.
	writes  sync.Mutex
	mu      sync.Mutex
	bios    map[string]any
	pending map[string]any
	media   string
}

var _ http.Handler = (*Server)(nil)

// New returns the service for one machine. It fails only when an option is missing.
func New(m Machine, opt Options) (*Server, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		machine:  m,
		opt:      opt,
		sessions: newSessions(opt),
		mux:      http.NewServeMux(),
		bios:     maps.Clone(opt.BIOS),
		pending:  map[string]any{},
	}
	s.routes()
	return s, nil
}

// Sessions tells how many sessions are open, for tests that look for leaks.
func (s *Server) Sessions() int { return s.sessions.count() }

type revertKey struct{}

// reverts tells whether a write of this request is to be acknowledged and not done.
func reverts(ctx context.Context) bool { return ctx.Value(revertKey{}) != nil }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := s.opt.Fault(r)
	if fault.Delay > 0 && !wait(r.Context(), fault.Delay) {
		return
	}
	if fault.Status != 0 {
		fail(w, fault.Status, "GeneralError", "this service was told to fail")
		return
	}
	if fault.Revert {
		r = r.WithContext(context.WithValue(r.Context(), revertKey{}, true))
	}
	if fault.LoseReply {
		s.dispatch(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
	s.dispatch(w, r)
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	// Clients disagree on the trailing slash; both forms name the same resource.
	if p := strings.TrimRight(r.URL.Path, "/"); p != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = p, ""
	}
	s.opt.Log.Debug("redfish request", "method", r.Method, "path", r.URL.Path)
	w.Header().Set("OData-Version", "4.0")
	w.Header().Set("Cache-Control", "no-cache")
	if !public(r) && !s.authorised(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="Redfish"`)
		fail(w, http.StatusUnauthorized, "NoValidSession", "no valid session and no valid credentials")
		return
	}
	s.mux.ServeHTTP(w, r)
}

// public tells which requests need no authentication (DSP0266, 13.2.1).
func public(r *http.Request) bool {
	switch r.URL.Path {
	case "/redfish", root, root + "/odata", root + "/$metadata":
		return r.Method == http.MethodGet || r.Method == http.MethodHead
	case sessionsPath:
		return r.Method == http.MethodPost
	}
	return false
}

func (s *Server) authorised(r *http.Request) bool {
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return s.sessions.valid(token)
	}
	user, pass, ok := r.BasicAuth()
	return ok && s.sessions.password(user, pass)
}

func (s *Server) id() string {
	if id := s.machine.Info().ID; id != "" {
		return id
	}
	return "1"
}

func (s *Server) routes() {
	s.get("/redfish", func(*http.Request) (object, error) { return object{"v1": root + "/"}, nil })
	s.get(root, s.serviceRoot)
	s.get(root+"/odata", s.odata)
	s.get(root+"/Registries", collection("MessageRegistryFileCollection", root+"/Registries"))
	s.sessionRoutes()
	s.systemRoutes()
	s.hostLogRoutes()
	s.biosRoutes()
	s.managerRoutes()
	s.chassisRoutes()
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "ResourceMissingAtURI", fmt.Sprintf("there is no resource at %s", r.URL.Path))
	})
}

func (s *Server) serviceRoot(*http.Request) (object, error) {
	return object{
		"@odata.id": root, "@odata.type": "#ServiceRoot.v1_11_0.ServiceRoot",
		"Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.11.0",
		"UUID": s.machine.Info().UUID, "Product": "nubo lab BMC", "Vendor": "nubo",
		"Systems": link(root + "/Systems"), "Chassis": link(root + "/Chassis"), "Managers": link(root + "/Managers"),
		"SessionService": link(root + "/SessionService"), "Registries": link(root + "/Registries"),
		"Links": object{"Sessions": link(sessionsPath)},
	}, nil
}

func (s *Server) odata(*http.Request) (object, error) {
	entry := func(name, path string) object {
		return object{"name": name, "kind": "Singleton", "url": path}
	}
	return object{"@odata.context": root + "/$metadata", "value": []object{
		entry("Service", root), entry("Systems", root+"/Systems"), entry("Chassis", root+"/Chassis"),
		entry("Managers", root+"/Managers"), entry("Sessions", sessionsPath),
	}}, nil
}

// wait returns true after d, false when the client went away first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// discard is a ResponseWriter for an answer that nobody will get.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
