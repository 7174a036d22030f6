package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/local"
)

// A node that moves keeps what is known of it, and leaves nothing behind for whoever takes its former place.
func TestMovedNodes(t *testing.T) {
	ctx := t.Context()
	s, err := local.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lease, err := s.Acquire(ctx, "", state.Holder{User: "t", Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	f := lease.Fence()
	put := func(node, key string) {
		t.Helper()
		if err := state.HostKeys(s, f).Put(ctx, node, []string{key}); err != nil {
			t.Fatal(err)
		}
		if err := state.Addresses(s, f).Put(ctx, node+"/eth0", state.Address{IP: key}); err != nil {
			t.Fatal(err)
		}
	}
	put("s/r/z/a/one", "key of one")
	put("s/r/z/a/one-more", "key of another")
	moves := []model.Move{{From: "s/r/z/a/one", To: "s/r/z/b/uno"}}
	view := state.Moved(s, moves)
	if got, err := state.HostKeys(view, state.Fence{}).Get(ctx, "s/r/z/b/uno"); err != nil || got[0] != "key of one" {
		t.Errorf("under its present path: %v %v", got, err)
	}
	items, err := state.Addresses(view, state.Fence{}).List(ctx, "")
	if err != nil || len(items) != 2 || items[0].Key != "s/r/z/a/one-more/eth0" || items[1].Key != "s/r/z/b/uno/eth0" {
		t.Errorf("list: %+v %v", items, err)
	}
	if err := state.Rename(ctx, s, f, moves); err != nil {
		t.Fatal(err)
	}
	if err := state.Rename(ctx, s, f, moves); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if _, err := state.HostKeys(s, f).Get(ctx, "s/r/z/a/one"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the former path still has keys: %v", err)
	}
	if got, err := state.HostKeys(s, f).Get(ctx, "s/r/z/b/uno"); err != nil || got[0] != "key of one" {
		t.Errorf("after the rename: %v %v", got, err)
	}
	if _, err := state.HostKeys(s, f).Get(ctx, "s/r/z/a/one-more"); err != nil {
		t.Errorf("a neighbour was moved too: %v", err)
	}
}
