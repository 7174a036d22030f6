package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// buckets is how many parts the digest of a state has; with it a state of ten thousand subjects costs a few dozen hashes to follow.
const buckets = 256

// tally is a state with its digest, which is a tree of two levels: each subject with its facts is hashed (as the JSON of a state of that subject
// alone), the subjects of each bucket, sorted, are hashed together, and so are the buckets. A subject's bucket is the FNV-1a hash of its name modulo
// buckets. Setting a fact costs the hashes above it and no others.
type tally struct {
	st     State
	leaves map[Subject][sha256.Size]byte
	in     [buckets][]Subject // sorted
	sums   [buckets][sha256.Size]byte
	stale  map[Subject]bool
}

// newTally follows a state, which is changed through it from now on.
func newTally(st State) *tally {
	t := &tally{st: st, leaves: make(map[Subject][sha256.Size]byte, len(st)), stale: make(map[Subject]bool, len(st))}
	for sub := range st {
		t.stale[sub] = true
	}
	return t
}

// set records a fact.
func (t *tally) set(f Fact) {
	if t.st.Get(f.Subject, f.Attr) != f.Value {
		t.st.Set(f)
		t.stale[f.Subject] = true
	}
}

// digest is that of the state as it is now.
func (t *tally) digest() model.Digest {
	var touched [buckets]bool
	for sub := range t.stale {
		touched[bucketOf(sub)] = true
		t.refresh(sub)
	}
	clear(t.stale)
	root := sha256.New()
	for i := range t.in {
		if touched[i] {
			t.sums[i] = t.bucket(i)
		}
		root.Write(t.sums[i][:])
	}
	return model.Digest("sha256:" + hex.EncodeToString(root.Sum(nil)))
}

// bucket hashes a bucket; an empty one is all zeros, whether or not it ever held anything.
func (t *tally) bucket(i int) (out [sha256.Size]byte) {
	if len(t.in[i]) == 0 {
		return out
	}
	slices.Sort(t.in[i])
	h := sha256.New()
	for _, sub := range t.in[i] {
		leaf := t.leaves[sub]
		h.Write(leaf[:])
	}
	h.Sum(out[:0])
	return out
}

// refresh hashes a subject anew, and enters it in its bucket or takes it out.
func (t *tally) refresh(sub Subject) {
	facts, has := t.st[sub]
	_, had := t.leaves[sub]
	b := bucketOf(sub)
	switch {
	case has && !had:
		t.in[b] = append(t.in[b], sub)
	case !has && had:
		delete(t.leaves, sub)
		t.in[b] = slices.DeleteFunc(t.in[b], func(s Subject) bool { return s == sub })
	}
	if has {
		text, err := json.Marshal(State{sub: facts})
		if err != nil {
			panic(fmt.Sprintf("digest of a state: %v", err)) // maps of strings always have a JSON form
		}
		t.leaves[sub] = sha256.Sum256(text)
	}
}

func bucketOf(sub Subject) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(sub))
	return int(h.Sum32() % buckets)
}

// Digest is the digest of the state: equal states have equal digests, whatever led to them.
func (s State) Digest() model.Digest { return newTally(s).digest() }
