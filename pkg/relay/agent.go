package relay

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// maxAgentBody bounds what an agent may post.
const maxAgentBody = 1 << 20

// agentHandler is what machines on the network can reach beside boot files.
func (r *Relay) agentHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/time", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"time": r.cfg.Now().UTC().Format(time.RFC3339Nano)})
	})
	mux.HandleFunc("GET /v1/orders/{id}", func(w http.ResponseWriter, req *http.Request) {
		e, _, ok := r.book.get(req.PathValue("id"))
		if !ok {
			refuse(w, order.ErrMalformed, ErrNoOrder)
			return
		}
		reply(w, http.StatusOK, e.Signed)
	})
	mux.HandleFunc("POST /v1/orders/{id}/consume", func(w http.ResponseWriter, req *http.Request) {
		var c order.Consume
		if !read(w, req, maxAgentBody, &c) {
			return
		}
		rec, err := r.book.update(req.PathValue("id"), func(rec order.Record) (order.Record, error) { return rec.Grant(c, r.cfg.Now()) })
		if err != nil {
			r.cfg.Log.Warn("write refused", "order", req.PathValue("id"), "error", err)
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, order.Consumed{Attempt: rec.Attempts})
	})
	mux.HandleFunc("POST /v1/orders/{id}/reports", func(w http.ResponseWriter, req *http.Request) {
		var rep order.Report
		if !read(w, req, maxAgentBody, &rep) {
			return
		}
		if _, err := r.book.update(req.PathValue("id"), func(rec order.Record) (order.Record, error) { return rec.Report(rep, r.cfg.Now()) }); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /v1/images/", r.cfg.Images)
	mux.Handle("GET /v1/chunks/", r.cfg.Images)
	return mux
}

// read decodes a bounded JSON body; on failure it has answered.
func read(w http.ResponseWriter, req *http.Request, most int64, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, most)).Decode(into)
	if err != nil {
		reply(w, http.StatusBadRequest, order.APIError{Error: "body: " + err.Error()})
		return false
	}
	return true
}

// refuse answers with the status that the error stands for: 404, 409 or 500.
func refuse(w http.ResponseWriter, errs ...error) {
	err := errors.Join(errs...)
	code := http.StatusInternalServerError
	remedy := ""
	switch {
	case errors.Is(err, ErrNoOrder):
		code, remedy = http.StatusNotFound, "the order was withdrawn or replaced; nuboctl apply gives a new one"
	case errors.Is(err, order.ErrConsumed), errors.Is(err, order.ErrExpired), errors.Is(err, order.ErrMachine), errors.Is(err, ErrFenced):
		code, remedy = http.StatusConflict, "a new approval is needed: plan and apply again"
	case errors.Is(err, order.ErrMalformed), errors.Is(err, order.ErrSignature):
		code = http.StatusBadRequest
	}
	reply(w, code, order.APIError{Error: err.Error(), Remedy: remedy})
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the peer is gone when this fails, and there is nobody left to tell
}
