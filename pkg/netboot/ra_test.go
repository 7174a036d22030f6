package netboot

import (
	"testing"
)

func TestSolicitor(t *testing.T) {
	header := []byte{133, 0, 0, 0, 0, 0, 0, 0}
	mac := []byte{1, 1, 0x52, 0x54, 0, 0x77, 0, 1}
	other := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, tc := range map[string]struct {
		packet []byte
		want   string
	}{
		"plain":            {join(header, mac), macInstall},
		"second option":    {join(header, other, mac), macInstall},
		"no option":        {header, ""},
		"short":            {header[:5], ""},
		"zero length":      {join(header, []byte{1, 0, 0, 0, 0, 0, 0, 0}, mac), ""},
		"length too large": {join(header, []byte{1, 9, 0, 0, 0, 0, 0, 0}), ""},
		"an advertisement": {join([]byte{134}, header[1:], mac), ""},
	} {
		if got, ok := solicitor(tc.packet); got.String() != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}
