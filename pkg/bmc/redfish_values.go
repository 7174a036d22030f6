package bmc

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// BMCs write null, numbers and whole objects where the schemas have a text, and texts where they have a number. One odd property is no reason to lose a
// resource, so what is read of one goes through these types, and what cannot be understood counts as not told.

// word is a text property.
type word string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (w *word) UnmarshalJSON(raw []byte) error {
	*w = ""
	var text string
	switch err := json.Unmarshal(raw, &text); {
	case err == nil:
		*w = word(strings.TrimSpace(text))
	case len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		*w = word(raw)
	}
	return nil
}

// maybe is a text property of which it matters whether it is there at all; null is there.
type maybe struct {
	text word
	told bool
}

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (m *maybe) UnmarshalJSON(raw []byte) error {
	m.told = true
	return m.text.UnmarshalJSON(raw)
}

// words is a list of texts; a text alone is a list of one.
type words []string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (w *words) UnmarshalJSON(raw []byte) error {
	*w = nil
	var list []word
	if json.Unmarshal(raw, &list) != nil {
		var one word
		_ = one.UnmarshalJSON(raw)
		list = []word{one}
	}
	for _, text := range list {
		if text != "" {
			*w = append(*w, string(text))
		}
	}
	return nil
}

// reading is a number that may be missing: of a sensor of a machine that is off, for one.
type reading struct {
	value float64
	told  bool
}

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (r *reading) UnmarshalJSON(raw []byte) error {
	*r = reading{}
	value, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(raw), `"`)), 64)
	if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
		*r = reading{value: value, told: true}
	}
	return nil
}

// health is the Health of a Status, wherever that is an object.
type health string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (h *health) UnmarshalJSON(raw []byte) error {
	var status struct{ Health word }
	_ = json.Unmarshal(raw, &status)
	*h = health(status.Health)
	return nil
}

// link is where another resource is: a path on the same BMC.
type link string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (l *link) UnmarshalJSON(raw []byte) error {
	*l = ""
	var reference struct {
		Path word `json:"@odata.id"`
		Old  word `json:"href"`
	}
	if json.Unmarshal(raw, &reference) == nil {
		if reference.Path == "" {
			reference.Path = reference.Old
		}
		*l = link(localPath(string(reference.Path)))
		return nil
	}
	var path word
	_ = path.UnmarshalJSON(raw)
	*l = link(localPath(string(path)))
	return nil
}

// links is a list of them; one alone is a list of one.
type links []link

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (l *links) UnmarshalJSON(raw []byte) error {
	*l = nil
	list := []link{}
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '{' {
		list = make([]link, 1)
		_ = list[0].UnmarshalJSON(raw)
	} else if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	for _, one := range list {
		if one != "" {
			*l = append(*l, one)
		}
	}
	return nil
}

// localPath is a link as a path with its query. Some BMCs write whole URLs, with a host name that means nothing here: only this BMC is spoken to.
func localPath(text string) string {
	u, err := url.Parse(text)
	if text == "" || err != nil {
		return ""
	}
	u.Scheme, u.Host, u.User, u.Fragment = "", "", nil, ""
	path := u.String()
	if !strings.HasPrefix(path, "/") {
		return ""
	}
	return path
}
