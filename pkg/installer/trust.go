package installer

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// ParseTrust reads minisign public keys, each with or without its comment line, one after another.
func ParseTrust(text []byte) ([]minisign.PublicKey, error) {
	var keys []minisign.PublicKey
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("trusted keys: %w", err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("trusted keys: there is none")
	}
	return keys, nil
}
