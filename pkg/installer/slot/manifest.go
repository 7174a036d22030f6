package slot

import (
	"context"
	"fmt"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// Manifests is where signed manifests come from, unverified.
type Manifests interface {
	Manifest(ctx context.Context, d model.Digest) ([]byte, error)
}

// OpenManifest fetches the manifest of a root image and proves signature and digest before it parses.
func OpenManifest(ctx context.Context, from Manifests, want model.Digest, keys []minisign.PublicKey) (*manifest.Manifest, error) {
	envelope, err := from.Manifest(ctx, want)
	if err != nil {
		return nil, err
	}
	signed, err := manifest.DecodeSigned(envelope)
	if err != nil {
		return nil, err
	}
	m, err := manifest.Open(signed, want, keys...)
	if err != nil {
		return nil, err
	}
	if m.Kind != manifest.Root {
		return nil, fmt.Errorf("image %s is of kind %s; a host needs kind %s", m.Name, m.Kind, manifest.Root)
	}
	return m, nil
}
