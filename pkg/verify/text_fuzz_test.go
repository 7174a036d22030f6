package verify

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// FuzzText damages the text of a good plan where FuzzVerify only changes numbers: fields go, lists are cut, repeated and turned round, numbers become huge or negative, words
// become others of the plan. Then all digests are made to match. Whatever comes of it is accepted or rejected, and nothing else happens. Three bytes make one damage.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"\x00\x00\x00", "\x01\x07\x01", "\x02\x0d\x02\x05\x63\x03", "\x04\x2a\x04\x08\x11\x05", "\x03\xff\x06\x07\x80\x02\x01\x40\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		text, err := json.Marshal(good(t))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		for ; len(edits) >= 3; edits = edits[3:] {
			tree = damageAt(tree, int(edits[0])<<8|int(edits[1]), edits[2])
		}
		text, err = json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var p plan.Plan
		if json.Unmarshal(text, &p) != nil {
			return // that is no plan's form any more
		}
		plan.Seal(&p)
		if p.Certificate != nil {
			p.Provenance.Policy = model.DigestJSON(p.Certificate.Policy)
		}
		_ = Plan(p)
	})
}

// damageAt changes one value of a tree: the walk goes down by the digits of where, and ends at a leaf or where they do.
func damageAt(v any, where int, how byte) any {
	switch x := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		if len(keys) == 0 {
			return v
		}
		slices.Sort(keys)
		k := keys[where%len(keys)]
		if rest := where / len(keys); rest > 0 || how > 7 {
			x[k] = damageAt(x[k], rest, how%8)
		} else if how == 0 {
			delete(x, k)
		} else {
			x[k] = damaged(x[k], how)
		}
	case []any:
		if len(x) == 0 {
			return v
		}
		if i, rest := where%len(x), where/len(x); rest > 0 {
			x[i] = damageAt(x[i], rest, how)
			return x
		}
		return damaged(v, how)
	default:
		return damaged(v, how)
	}
	return v
}

func damaged(v any, how byte) any {
	switch x := v.(type) {
	case []any:
		switch how % 4 {
		case 0:
			return x[:len(x)/2]
		case 1:
			return append(slices.Clone(x), x...)
		case 2:
			slices.Reverse(x)
			return x
		}
		return []any{}
	case float64:
		return []float64{-1, 0, 1, x + 1, -x, 2147483647, 1 << 40, 9007199254740992}[how%8]
	case string:
		return []string{"", x + x, "s/r/z/k/h", "drain", "reinstall", "A+B+C", "quorum", "\u0000/../"}[how%8]
	case bool:
		return !x
	}
	return nil
}
