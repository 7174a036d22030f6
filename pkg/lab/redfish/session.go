package redfish

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	sessionServicePath = root + "/SessionService"
	sessionsPath       = sessionServicePath + "/Sessions"
)

type session struct {
	id, token string
	used      time.Time
}

// sessions is the table of open sessions, as short as a BMC's.
type sessions struct {
	opt Options

	mu   sync.Mutex
	next int
	open map[string]*session // by token
}

func newSessions(opt Options) *sessions { return &sessions{opt: opt, open: map[string]*session{}} }

// password compares in constant time, both parts always.
func (t *sessions) password(user, pass string) bool {
	u := subtle.ConstantTimeCompare([]byte(user), []byte(t.opt.User))
	p := subtle.ConstantTimeCompare([]byte(pass), []byte(t.opt.Password))
	return u&p == 1
}

// expire drops sessions that were idle too long; t.mu is held.
func (t *sessions) expire() {
	for token, s := range t.open {
		if t.opt.Now().Sub(s.used) > t.opt.SessionTimeout {
			delete(t.open, token)
		}
	}
}

func (t *sessions) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	return len(t.open)
}

func (t *sessions) valid(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	s := t.open[token]
	if s == nil {
		return false
	}
	s.used = t.opt.Now()
	return true
}

func (t *sessions) create() (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	if len(t.open) >= t.opt.MaxSessions {
		return nil, refuse(http.StatusServiceUnavailable, "SessionLimitExceeded", "all %d sessions are in use", t.opt.MaxSessions)
	}
	t.next++
	s := &session{id: strconv.Itoa(t.next), token: rand.Text(), used: t.opt.Now()}
	t.open[s.token] = s
	return s, nil
}

func (t *sessions) remove(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token, s := range t.open {
		if s.id == id {
			delete(t.open, token)
			return true
		}
	}
	return false
}

func (t *sessions) ids() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	var ids []string
	for _, s := range t.open {
		ids = append(ids, s.id)
	}
	return ids
}

func (s *Server) sessionRoutes() {
	s.get(sessionServicePath, func(*http.Request) (object, error) {
		return object{
			"@odata.id": sessionServicePath, "@odata.type": "#SessionService.v1_1_8.SessionService",
			"Id": "SessionService", "Name": "Session Service", "ServiceEnabled": true,
			"SessionTimeout": int(s.opt.SessionTimeout.Seconds()), "Sessions": link(sessionsPath),
		}, nil
	})
	s.get(sessionsPath, func(r *http.Request) (object, error) {
		var paths []string
		for _, id := range s.sessions.ids() {
			paths = append(paths, sessionsPath+"/"+id)
		}
		return collection("SessionCollection", sessionsPath, paths...)(r)
	})
	s.get(sessionsPath+"/{id}", func(r *http.Request) (object, error) {
		for _, id := range s.sessions.ids() {
			if id == r.PathValue("id") {
				return s.sessionObject(id), nil
			}
		}
		return nil, refuse(http.StatusNotFound, "ResourceMissingAtURI", "there is no session %s", r.PathValue("id"))
	})
	s.mux.HandleFunc("POST "+sessionsPath, s.login)
	s.write("DELETE "+sessionsPath+"/{id}", nil, func(r *http.Request, _ object) error {
		if !s.sessions.remove(r.PathValue("id")) {
			return refuse(http.StatusNotFound, "ResourceMissingAtURI", "there is no session %s", r.PathValue("id"))
		}
		return nil
	})
}

func (s *Server) sessionObject(id string) object {
	return object{
		"@odata.id": sessionsPath + "/" + id, "@odata.type": "#Session.v1_3_0.Session",
		"Id": id, "Name": "User Session", "UserName": s.opt.User,
	}
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	in, err := body(r)
	if err != nil {
		failWith(w, err)
		return
	}
	user, _ := in["UserName"].(string)
	pass, _ := in["Password"].(string)
	if !s.sessions.password(user, pass) {
		fail(w, http.StatusUnauthorized, "ResourceAtUriUnauthorized", "the user name or the password is wrong")
		return
	}
	created, err := s.sessions.create()
	if err != nil {
		failWith(w, err)
		return
	}
	w.Header().Set("X-Auth-Token", created.token)
	w.Header().Set("Location", sessionsPath+"/"+created.id)
	respond(w, http.StatusCreated, s.sessionObject(created.id))
}
