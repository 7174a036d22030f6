package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// StoreImages are the images of a store, those signed by a trusted key only.
func StoreImages(dir string, trust []minisign.PublicKey) Images {
	s := &storeImages{store: image.Store{Dir: dir}, trust: trust}
	s.Handler = image.Handler(s.store)
	return s
}

type storeImages struct {
	http.Handler
	store image.Store
	trust []minisign.PublicKey
}

// Missing returns the digests that are neither a chunk nor a manifest with a trusted signature.
func (s *storeImages) Missing(digests []string) []string {
	var out []string
	for _, hex := range digests {
		d := model.Digest("sha256:" + hex)
		if s.store.HasBlob(d) || s.hasManifest(d) {
			continue
		}
		out = append(out, hex)
	}
	return out
}

func (s *storeImages) hasManifest(d model.Digest) bool {
	signed, err := s.store.Signed(d)
	if err != nil {
		return false
	}
	_, err = manifest.Open(signed, d, s.trust...)
	return err == nil
}

// Put keeps a signed manifest (kind "images") or a chunk (kind "chunks") after comparing its digest.
func (s *storeImages) Put(kind, hex string, blob []byte) error {
	d := model.Digest("sha256:" + hex)
	switch kind {
	case "images":
		var signed manifest.Signed
		if err := json.Unmarshal(blob, &signed); err != nil {
			return fmt.Errorf("%w: signed manifest: %w", order.ErrMalformed, err)
		}
		if manifest.Digest(signed.Payload) != d {
			return fmt.Errorf("%w: manifest has another digest than %s", order.ErrMalformed, d.Short())
		}
		_, err := s.store.PutSigned(signed, s.trust...)
		return err
	case "chunks":
		if model.DigestBytes(blob) != d {
			return fmt.Errorf("%w: chunk has another digest than %s", order.ErrMalformed, d.Short())
		}
		return s.store.PutBlob(d, blob)
	default:
		return errors.Join(order.ErrMalformed, fmt.Errorf("blobs of kind %q are not kept", kind))
	}
}
