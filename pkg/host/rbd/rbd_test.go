package rbd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/rbd"
)

// content is the base of a test, and counts how often it was read.
type content struct {
	text   []byte
	opened int
	err    error
}

func (c *content) base(of []byte) *rbd.Base {
	sum := sha256.Sum256(of)
	return &rbd.Base{SHA256: hex.EncodeToString(sum[:]), Open: func() (io.ReadCloser, error) {
		c.opened++
		if c.err != nil {
			return io.NopCloser(io.MultiReader(bytes.NewReader(c.text[:1000]), broken{c.err})), nil
		}
		return io.NopCloser(bytes.NewReader(c.text)), nil
	}}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestRBD makes images in a real Ceph cluster, over SSH.
func TestRBD(t *testing.T) {
	box := hosttest.New(t)
	box.StartCeph(t, "192.0.2.2", "vms")
	link, ctx := box.Link(t), t.Context()
	ensure := func(want rbd.Image) bool {
		t.Helper()
		changed, err := rbd.Ensure(ctx, link, want)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	t.Run("empty", func(t *testing.T) {
		if _, err := rbd.Look(ctx, link, "vms", "a"); !errors.Is(err, rbd.ErrNoImage) {
			t.Errorf("got %v, want ErrNoImage", err)
		}
		want := rbd.Image{Pool: "vms", Name: "a", SizeGiB: 1}
		if !ensure(want) || ensure(want) {
			t.Error("it is made once, and only once")
		}
		if got, err := rbd.Look(ctx, link, "vms", "a"); err != nil || got.Bytes != 1<<30 || got.Parent != "" || len(got.Watchers) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("grows and does not shrink", func(t *testing.T) {
		if !ensure(rbd.Image{Pool: "vms", Name: "a", SizeGiB: 2}) {
			t.Error("it did not grow")
		}
		if _, err := rbd.Ensure(ctx, link, rbd.Image{Pool: "vms", Name: "a", SizeGiB: 1}); !errors.Is(err, rbd.ErrShrink) {
			t.Errorf("got %v, want ErrShrink", err)
		}
		if out := box.Must(t, "rbd", "info", "vms/a"); !strings.Contains(out, "size 2 GiB") {
			t.Errorf("rbd says %s", out)
		}
	})
	c := &content{text: bytes.Repeat([]byte("boot"), 1<<18)}
	base := c.base(c.text)
	t.Run("of a base, brought once", func(t *testing.T) {
		for _, name := range []string{"b", "c"} {
			if !ensure(rbd.Image{Pool: "vms", Name: name, SizeGiB: 1, Base: base}) {
				t.Errorf("%s was not made", name)
			}
		}
		if c.opened != 1 {
			t.Errorf("the content was read %d times", c.opened)
		}
		got, err := rbd.Look(ctx, link, "vms", "c")
		if err != nil || got.Bytes != 1<<30 || got.Parent != "nubo-base-"+base.SHA256 {
			t.Errorf("got %+v, %v", got, err)
		}
		if out := box.Must(t, "sh", "-c", "rbd export --no-progress vms/"+got.Parent+" - | sha256sum"); !strings.HasPrefix(out, base.SHA256) {
			t.Errorf("the base holds %s", out)
		}
	})
	t.Run("broken off, then whole", func(t *testing.T) {
		other := &content{text: bytes.Repeat([]byte("other"), 1<<16), err: errors.New("cable cut")}
		want := rbd.Image{Pool: "vms", Name: "d", SizeGiB: 1, Base: other.base(other.text)}
		if _, err := rbd.Ensure(ctx, link, want); err == nil {
			t.Fatal("half of the content was taken for all")
		}
		other.err = nil
		if !ensure(want) {
			t.Error("it was not made the second time")
		}
	})
	t.Run("another content", func(t *testing.T) {
		_, err := rbd.Ensure(ctx, link, rbd.Image{Pool: "vms", Name: "e", SizeGiB: 1, Base: (&content{text: []byte("what came")}).base([]byte("what was promised"))})
		if !errors.Is(err, rbd.ErrContent) {
			t.Errorf("got %v, want ErrContent", err)
		}
		if out := box.Must(t, "rbd", "ls", "vms"); strings.Contains(out, "e\n") && strings.Contains(out, ".part") {
			t.Errorf("left behind: %s", out)
		}
	})
	t.Run("larger than the disk", func(t *testing.T) {
		sum := strings.Repeat("0123456789abcdef", 4)
		base := "vms/nubo-base-" + sum
		box.Must(t, "sh", "-c", "rbd create --size 3G "+base+" && rbd snap create --no-progress "+base+"@nubo && rbd snap protect "+base+"@nubo")
		if _, err := rbd.Ensure(ctx, link, rbd.Image{Pool: "vms", Name: "f", SizeGiB: 2, Base: &rbd.Base{SHA256: sum}}); !errors.Is(err, rbd.ErrShrink) {
			t.Errorf("got %v, want ErrShrink", err)
		}
		if _, err := rbd.Look(ctx, link, "vms", "f"); !errors.Is(err, rbd.ErrNoImage) {
			t.Errorf("got %v, want ErrNoImage", err)
		}
	})
	t.Run("the user's key", func(t *testing.T) { userKey(t, box) })
}

// userKey proves that the key opens the pool and nothing else, and that rights follow the pools.
func userKey(t *testing.T, box *hosttest.Box) {
	link, ctx := box.Link(t), t.Context()
	key, err := rbd.Key(ctx, link, "nubo-vms", []string{"vms"})
	if err != nil || len(key) < 20 {
		t.Fatalf("got a key of %d bytes, %v", len(key), err)
	}
	box.Must(t, "ceph", "osd", "pool", "create", "other", "1")
	box.Must(t, "rbd", "pool", "init", "other")
	box.Must(t, "ceph", "auth", "get", "client.nubo-vms", "-o", "/etc/ceph/ceph.client.nubo-vms.keyring")
	box.Must(t, "rbd", "--id", "nubo-vms", "ls", "vms")
	forbidden := "rbd --id nubo-vms create --size 1M other/x 2>/dev/null && exit 1; ceph --id nubo-vms auth ls 2>/dev/null && exit 1; true"
	box.Must(t, "sh", "-c", forbidden)
	again, err := rbd.Key(ctx, link, "nubo-vms", []string{"vms", "other"})
	if err != nil || !bytes.Equal(again, key) {
		t.Fatalf("with another pool: the same key: %v, %v", bytes.Equal(again, key), err)
	}
	box.Must(t, "rbd", "--id", "nubo-vms", "create", "--size", "1M", "other/x")
	if _, err := rbd.Key(ctx, link, "bad user", nil); err == nil {
		t.Error("a bad name was taken")
	}
}
