package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// readCanonical reads text into a value, and accepts exactly what encoding/json would write for the value that it reads: keys in the order of the
// fields, nothing left out and nothing added, no white space, one way to write each string and number. So what was read needs not be written again to
// be compared. Strings are parts of text, which stays in memory with them.
//
// It knows what plans are made of: structs, slices, maps from strings, pointers, strings, integers, floats, booleans and Ints.
func readCanonical(text string, v any) (err error) {
	r := &canonical{text: text}
	defer func() {
		if f := recover(); f != nil {
			fault, ok := f.(canonicalFault)
			if !ok {
				panic(f)
			}
			err = fault
		}
	}()
	p := reflect.ValueOf(v).Elem()
	readerOf(p.Type())(r, p)
	if r.at != len(text) {
		r.fail("the end")
	}
	return nil
}

// canonical is a text and how far it is read.
type canonical struct {
	text string
	at   int
}

// canonicalFault says where the text stops being canonical, and what should stand there.
type canonicalFault struct {
	at   int
	want string
}

// Error implements error.
func (f canonicalFault) Error() string { return fmt.Sprintf("byte %d: expected %s", f.at, f.want) }

func (r *canonical) fail(want string) { panic(canonicalFault{r.at, want}) }

func (r *canonical) next(part string) bool {
	if strings.HasPrefix(r.text[r.at:], part) {
		r.at += len(part)
		return true
	}
	return false
}

func (r *canonical) must(part string) {
	if !r.next(part) {
		r.fail(part)
	}
}

// reader reads one value of a type into v.
type reader func(r *canonical, v reflect.Value)

var readers sync.Map // reflect.Type → reader

// readerOf makes the reader of a type, once.
func readerOf(t reflect.Type) reader {
	if have, ok := readers.Load(t); ok {
		return have.(reader)
	}
	made := makeReader(t)
	readers.Store(t, made)
	return made
}

func makeReader(t reflect.Type) reader {
	switch {
	case t == reflect.TypeFor[Ints]():
		return readInts
	case t == reflect.TypeFor[map[string]string]():
		return func(r *canonical, v reflect.Value) { *v.Addr().Interface().(*map[string]string) = readMap[string](r) }
	case t == reflect.TypeFor[map[Attr]string]():
		return func(r *canonical, v reflect.Value) { *v.Addr().Interface().(*map[Attr]string) = readMap[Attr](r) }
	case t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		panic(fmt.Sprintf("%s has a form of its own, which readCanonical does not know", t))
	}
	switch t.Kind() {
	case reflect.String:
		return func(r *canonical, v reflect.Value) { v.SetString(r.string()) }
	case reflect.Bool:
		return readBool
	case reflect.Int, reflect.Int32, reflect.Int64:
		return readInt
	case reflect.Float64:
		return readFloat
	case reflect.Pointer:
		return pointerReader(t)
	case reflect.Slice:
		return sliceReader(t)
	case reflect.Map:
		return mapReader(t)
	case reflect.Struct:
		return structReader(t)
	}
	panic(fmt.Sprintf("readCanonical does not know %s", t))
}

// string reads a string. Most are plain; the others are compared with what encoding/json makes of them.
func (r *canonical) string() string {
	r.must(`"`)
	first := r.at
	for ; r.at < len(r.text); r.at++ {
		switch b := r.text[r.at]; {
		case b == '"':
			r.at++
			return r.text[first : r.at-1]
		case b < 0x20 || b >= 0x80 || b == '\\' || b == '<' || b == '>' || b == '&' || b == 0x7f:
			return r.escaped(first)
		}
	}
	r.fail("the end of a string")
	return ""
}

func (r *canonical) escaped(first int) string {
	for r.at < len(r.text) && r.text[r.at] != '"' {
		if r.text[r.at] == '\\' {
			r.at++
		}
		r.at++
	}
	if r.at >= len(r.text) {
		r.fail("the end of a string")
	}
	r.at++
	raw := r.text[first-1 : r.at]
	var s string
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		r.fail("a string")
	}
	if again, err := json.Marshal(s); err != nil || string(again) != raw {
		r.fail("a string as " + string(again))
	}
	return s
}

// number is the text of a number, as far as its letters tell.
func (r *canonical) number() string {
	first := r.at
	for r.at < len(r.text) && strings.IndexByte("+-.0123456789eE", r.text[r.at]) >= 0 {
		r.at++
	}
	return r.text[first:r.at]
}

func readInt(r *canonical, v reflect.Value) {
	text := r.number()
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil || strconv.FormatInt(n, 10) != text {
		r.fail("an integer")
	}
	v.SetInt(n)
}

func readFloat(r *canonical, v reflect.Value) {
	text := r.number()
	var f float64
	err := json.Unmarshal([]byte(text), &f)
	if again, err2 := json.Marshal(f); err != nil || err2 != nil || string(again) != text {
		r.fail("a number")
	}
	v.SetFloat(f)
}

func readBool(r *canonical, v reflect.Value) {
	if v.SetBool(r.next("true")); !v.Bool() {
		r.must("false")
	}
}

func readInts(r *canonical, v reflect.Value) {
	end := strings.IndexByte(r.text[r.at:], ']')
	if end < 0 {
		r.fail("a list of integers")
	}
	x := v.Addr().Interface().(*Ints)
	if err := x.parse(r.text[r.at : r.at+end+1]); err != nil {
		r.fail("a list of integers")
	}
	r.at += end + 1
}

func pointerReader(t reflect.Type) reader {
	elem := readerOf(t.Elem())
	return func(r *canonical, v reflect.Value) {
		if r.next("null") {
			return
		}
		v.Set(reflect.New(t.Elem()))
		elem(r, v.Elem())
	}
}

func sliceReader(t reflect.Type) reader {
	elem := readerOf(t.Elem())
	return func(r *canonical, v reflect.Value) {
		if r.next("null") {
			return
		}
		r.must("[")
		v.Set(reflect.MakeSlice(t, 0, 0))
		for n := 0; !r.next("]"); n++ {
			if n > 0 {
				r.must(",")
			}
			v.Grow(1)
			v.SetLen(n + 1)
			elem(r, v.Index(n))
		}
	}
}

func mapReader(t reflect.Type) reader {
	elem := readerOf(t.Elem())
	return func(r *canonical, v reflect.Value) {
		if r.next("null") {
			return
		}
		m := reflect.MakeMap(t)
		r.pairs(func(key string) {
			k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			k.SetString(key)
			elem(r, e)
			m.SetMapIndex(k, e)
		})
		v.Set(m)
	}
}

// readMap is mapReader without reflection, for the maps there are many of.
func readMap[K ~string](r *canonical) map[K]string {
	if r.next("null") {
		return nil
	}
	m := map[K]string{}
	r.pairs(func(key string) { m[K(key)] = r.string() })
	return m
}

// pairs reads an object whose keys ascend; value reads what belongs to each.
func (r *canonical) pairs(value func(key string)) {
	r.must("{")
	last := ""
	for n := 0; !r.next("}"); n++ {
		if n > 0 {
			r.must(",")
		}
		key := r.string()
		if n > 0 && key <= last {
			r.fail("keys in order")
		}
		r.must(":")
		value(key)
		last = key
	}
}

// structField is a field with its key as it stands in the text.
type structField struct {
	key   string // `"name":`
	index int
	omit  bool // it is left out when it is empty
	read  reader
}

func structReader(t reflect.Type) reader {
	fields := make([]structField, t.NumField())
	for i := range fields {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" || t.Field(i).Anonymous || (options != "" && options != "omitempty") {
			panic(fmt.Sprintf("readCanonical does not know how %s.%s is written", t, t.Field(i).Name))
		}
		fields[i] = structField{key: `"` + name + `":`, index: i, omit: options == "omitempty", read: readerOf(t.Field(i).Type)}
	}
	return func(r *canonical, v reflect.Value) {
		r.must("{")
		first := true
		for i := range fields {
			first = r.field(&fields[i], v, first)
		}
		r.must("}")
	}
}

// field reads one field when it is next, and tells whether the next one would still be the first.
func (r *canonical) field(f *structField, v reflect.Value, first bool) bool {
	was := r.at
	if (!first && !r.next(",")) || !r.next(f.key) {
		if r.at = was; !f.omit {
			r.fail(f.key)
		}
		return first
	}
	value := v.Field(f.index)
	if f.read(r, value); f.omit && isEmpty(value) {
		r.at = was
		r.fail("no empty " + f.key)
	}
	return false
}

// isEmpty is what encoding/json means by it.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
