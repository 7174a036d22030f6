package profile

import (
	"net/url"
	"reflect"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"
	"github.com/vincent-petithory/dataurl"
)

// plainURL begins contents that were written out as text, in which values are escaped as in a URL.
const plainURL = "data:,"

// plainContents writes those contents out as text that hold tokens: Butane chooses base64 where that is shorter, and nothing can be found there.
func (t *translated) plainContents() {
	for i := range t.config.Storage.Files {
		f := &t.config.Storage.Files[i]
		plain(&f.Contents)
		for j := range f.Append {
			plain(&f.Append[j])
		}
	}
}

func plain(r *types.Resource) {
	if r.Source == nil || r.Compression != nil && *r.Compression != "" {
		return
	}
	u, err := dataurl.DecodeString(*r.Source)
	if err != nil || !strings.Contains(string(u.Data), tokenPrefix) {
		return
	}
	s := plainURL + dataurl.EscapeString(string(u.Data))
	r.Source = &s
}

// fill is the file for one node: a copy with values for tokens.
func (t *translated) fill(v Values) *translated {
	if !t.filled {
		return t
	}
	out := *t
	plain, escaped := filler(v, func(s string) string { return s }), filler(v, url.PathEscape)
	replace := func(s string) string {
		switch {
		case !strings.Contains(s, tokenPrefix):
			return s
		case strings.HasPrefix(s, plainURL):
			return escaped.Replace(s)
		}
		return plain.Replace(s)
	}
	out.config = mapStrings(reflect.ValueOf(t.config), replace).Interface().(types.Config)
	return &out
}

// mapStrings copies a value of structs, slices, pointers and scalars, with every string changed.
func mapStrings(v reflect.Value, change func(string) string) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(change(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(mapStrings(v.Elem(), change))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(mapStrings(v.Index(i), change))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(mapStrings(v.Field(i), change))
		}
	default:
		out.Set(v)
	}
	return out
}
