package ceph

import (
	"bytes"
	"io"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Secret is a keyring on its way from one host to another. It is never shown.
type Secret []byte

// String stands for the secret in whatever is printed.
func (s Secret) String() string { return remote.Redacted }

// GoString too.
func (s Secret) GoString() string { return remote.Redacted }

// Reader gives the bytes.
func (s Secret) Reader() io.ReadSeeker { return bytes.NewReader(s) }
