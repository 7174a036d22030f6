package image

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// The paths that Handler answers.
const (
	ImagesPath = "/v1/images/" // + hexadecimal digest of a manifest: a manifest.Signed as JSON
	ChunksPath = "/v1/chunks/" // + hexadecimal digest of a chunk: its stored bytes, ranges allowed
)

// Handler serves a store to blades. It sends what is on disk without reading it: whoever receives it verifies it. Everything is
// named by its digest and therefore never changes.
func Handler(s Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ImagesPath+"{hex}", func(w http.ResponseWriter, r *http.Request) {
		d, ok := requested(w, r)
		if !ok {
			return
		}
		signed, err := s.Signed(d)
		if err != nil {
			refuse(w, err, "image "+d.Short()+" is not here, or not signed")
			return
		}
		forever(w, d)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(signed) // a blade that went away reads no error
	})
	mux.HandleFunc("GET "+ChunksPath+"{hex}", func(w http.ResponseWriter, r *http.Request) {
		d, ok := requested(w, r)
		if !ok {
			return
		}
		file, err := os.Open(s.chunkPath(d))
		if err != nil {
			refuse(w, err, "chunk "+d.Short()+" is not here")
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			refuse(w, err, "chunk "+d.Short())
			return
		}
		forever(w, d)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
	return mux
}

// requested reads the digest in the path; anything else is 400, so no path of the file system can be asked for.
func requested(w http.ResponseWriter, r *http.Request) (model.Digest, bool) {
	d := model.Digest("sha256:" + r.PathValue("hex"))
	if !d.Valid() {
		http.Error(w, "the path ends in 64 hexadecimal digits", http.StatusBadRequest)
		return "", false
	}
	return d, true
}

func forever(w http.ResponseWriter, d model.Digest) {
	w.Header().Set("ETag", `"`+d.Hex()+`"`)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
}

func refuse(w http.ResponseWriter, err error, text string) {
	status := http.StatusInternalServerError
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrNotFound) {
		status = http.StatusNotFound
	}
	http.Error(w, text, status)
}
