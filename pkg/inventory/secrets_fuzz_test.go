package inventory

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// FuzzSecrets reads anything as a store of secrets: an error never carries a part of it.
func FuzzSecrets(f *testing.F) {
	const mark = "s3cr3t-marker"
	f.Add(`{"bmc": {"user": "admin", "password": "`, `"}}`)
	f.Add(`{"`, `": {}}`)
	f.Add(``, `x`)
	f.Add(`{"bmc": {"user": "admin", "`, `": 1}}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		r, err := parseSecrets("store", []byte(before+mark+after))
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if _, _, err := r.Resolve(model.SecretRef("none")); err != nil && strings.Contains(err.Error(), mark) {
			t.Fatal(err)
		}
	})
}
