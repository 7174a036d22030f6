package plan

import (
	"errors"
	"math"
	"strconv"
)

// Ints is a column of a certificate: a JSON array of numbers of 32 bits, read and written without reflection since there are millions of them.
type Ints []int32

var errInts = errors.New("not an array of 32-bit integers in canonical form")

// MarshalJSON implements json.Marshaler; nil is written as an empty array.
func (x Ints) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 2+7*len(x))
	out = append(out, '[')
	for i, v := range x {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(v), 10)
	}
	return append(out, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler. It takes what MarshalJSON writes and nothing else: no space, no plus, no leading zero.
func (x *Ints) UnmarshalJSON(text []byte) error { return x.parse(string(text)) }

func (x *Ints) parse(text string) error {
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return errInts
	}
	body := text[1 : len(text)-1]
	*x = nil
	if len(body) == 0 {
		return nil
	}
	out := make(Ints, 0, 1+len(body)/5)
	for at := 0; ; at++ {
		v, n := leadingInt(body[at:])
		if n == 0 {
			return errInts
		}
		out = append(out, v)
		at += n
		if at == len(body) {
			*x = out
			return nil
		}
		if body[at] != ',' {
			return errInts
		}
	}
}

// leadingInt reads the number at the beginning of text and tells how long it is; 0: there is none.
func leadingInt(text string) (v int32, n int) {
	var negative bool
	if len(text) > 0 && text[0] == '-' {
		negative, n = true, 1
	}
	first := n
	var sum int64
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		sum = sum*10 + int64(text[n]-'0')
		n++
		if sum > math.MaxInt32 {
			return 0, 0
		}
	}
	if n == first || (text[first] == '0' && (n > first+1 || negative)) {
		return 0, 0
	}
	if negative {
		sum = -sum
	}
	return int32(sum), n
}
