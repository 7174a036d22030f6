package ovs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// table is what `ovs-vsctl --format=json list` prints: RFC 7047 values in rows under headings.
type table struct {
	Headings []string            `json:"headings"`
	Data     [][]json.RawMessage `json:"data"`
}

// row is one record by column.
type row map[string]value

// value is a decoded OVSDB value (RFC 7047 5.1): scalars are sets of one.
type value struct {
	set []string          // atoms as text; uuids too
	kv  map[string]string // maps
}

// one gives the value of an optional or scalar column; empty when there is none.
func (v value) one() string {
	if len(v.set) == 0 {
		return ""
	}
	return v.set[0]
}

// number gives an integer column; 0 when there is none.
func (v value) number() int {
	n, err := strconv.Atoi(v.one())
	if err != nil {
		return 0
	}
	return n
}

// numbers gives a set of integers.
func (v value) numbers() []int {
	var out []int
	for _, s := range v.set {
		if n, err := strconv.Atoi(s); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// decodeTables reads the documents that one ovs-vsctl call printed, one for each list command.
func decodeTables(raw []byte) ([][]row, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	var out [][]row
	for {
		var t table
		err := dec.Decode(&t)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("output of ovs-vsctl is not JSON tables: table %d: %w", len(out)+1, err)
		}
		rows, err := t.rows()
		if err != nil {
			return nil, fmt.Errorf("output of ovs-vsctl: table %d: %w", len(out)+1, err)
		}
		out = append(out, rows)
	}
}

func (t table) rows() ([]row, error) {
	rows := make([]row, 0, len(t.Data))
	for n, cells := range t.Data {
		if len(cells) != len(t.Headings) {
			return nil, fmt.Errorf("row %d has %d cells under %d headings", n+1, len(cells), len(t.Headings))
		}
		r := row{}
		for i, cell := range cells {
			v, err := decodeValue(cell)
			if err != nil {
				return nil, fmt.Errorf("row %d, column %q: %w", n+1, t.Headings[i], err)
			}
			r[t.Headings[i]] = v
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// decodeValue reads a scalar, ["uuid", …], ["set", […]] or ["map", [[key, value], …]].
func decodeValue(raw json.RawMessage) (value, error) {
	if len(raw) == 0 || raw[0] != '[' {
		atom, err := decodeAtom(raw)
		return value{set: []string{atom}}, err
	}
	kind, inner, err := decodeTagged(raw)
	if err != nil {
		return value{}, err
	}
	switch kind {
	case "set":
		return decodeSet(inner)
	case "map":
		return decodeMap(inner)
	}
	atom, err := decodeAtom(raw)
	return value{set: []string{atom}}, err
}

// decodeTagged reads the two-element array that marks anything but plain scalars.
func decodeTagged(raw json.RawMessage) (string, json.RawMessage, error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil {
		return "", nil, err
	}
	if len(pair) != 2 {
		return "", nil, fmt.Errorf("array of %d elements where a tag and a value were expected", len(pair))
	}
	var kind string
	if err := json.Unmarshal(pair[0], &kind); err != nil {
		return "", nil, err
	}
	return kind, pair[1], nil
}

func decodeSet(raw json.RawMessage) (value, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return value{}, err
	}
	var v value
	for _, item := range items {
		atom, err := decodeAtom(item)
		if err != nil {
			return value{}, err
		}
		v.set = append(v.set, atom)
	}
	return v, nil
}

func decodeMap(raw json.RawMessage) (value, error) {
	var items [][]json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return value{}, err
	}
	v := value{kv: map[string]string{}}
	for _, item := range items {
		if len(item) != 2 {
			return value{}, fmt.Errorf("map entry of %d elements", len(item))
		}
		key, err := decodeAtom(item[0])
		if err != nil {
			return value{}, err
		}
		if v.kv[key], err = decodeAtom(item[1]); err != nil {
			return value{}, err
		}
	}
	return v, nil
}

// decodeAtom reads a string, number, boolean or uuid as text.
func decodeAtom(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", errors.New("empty value")
	}
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '[':
		kind, inner, err := decodeTagged(raw)
		if err != nil {
			return "", err
		}
		if kind != "uuid" && kind != "named-uuid" {
			return "", fmt.Errorf("%q where a plain value was expected", kind)
		}
		var s string
		err = json.Unmarshal(inner, &s)
		return s, err
	case '{':
		return "", errors.New("object where a plain value was expected")
	}
	return string(raw), nil
}
