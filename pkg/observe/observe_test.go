package observe_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe"
)

type source struct{ orderErr error }

func (source) BMC(_ context.Context, n model.Node) model.ObservedBMC {
	if n.Name == "silent" {
		return model.ObservedBMC{Power: model.PowerUnknown, Error: "no answer"}
	}
	return model.ObservedBMC{Reachable: true, Power: model.PowerOn}
}

func (s source) Order(_ context.Context, n model.Node) (model.ObservedOrder, error) {
	if n.Name == "silent" {
		return model.ObservedOrder{}, s.orderErr
	}
	return model.ObservedOrder{}, nil
}

func (source) Host(_ context.Context, n model.Node) model.ObservedHost {
	return model.ObservedHost{Reachable: n.Name != "silent"}
}

func (source) VMs(_ context.Context, n model.Node) ([]model.ObservedVM, error) {
	if n.Name == "silent" {
		panic("asked a host that does not answer for its machines")
	}
	return []model.ObservedVM{{Name: "b-" + n.Name, Node: n.Path}, {Name: "a-" + n.Name, Node: n.Path}}, nil
}

func (source) Ceph(_ context.Context, region model.Path) model.ObservedCeph {
	return model.ObservedCeph{Region: region, Absent: true}
}

func nodes(names ...string) []model.Node {
	var out []model.Node
	for _, n := range names {
		out = append(out, model.Node{Name: n, Path: model.Path("s").Join(n)})
	}
	return out
}

func TestNodesInOrderAndSilenceIsNoError(t *testing.T) {
	calls := 0
	got, err := observe.Nodes(t.Context(), nodes("one", "silent", "two"), source{}, observe.Options{
		Parallel: 2, Seen: func(done, total int, _ model.ObservedNode) {
			calls++
			if done != calls || total != 3 {
				t.Errorf("progress %d of %d at call %d", done, total, calls)
			}
		}})
	if err != nil || calls != 3 {
		t.Fatalf("%v, %d calls", err, calls)
	}
	var paths []model.Path
	for _, n := range got.Nodes {
		paths = append(paths, n.Path)
	}
	if diff := cmp.Diff([]model.Path{"s/one", "s/silent", "s/two"}, paths); diff != "" {
		t.Error(diff)
	}
	if got.Nodes[1].BMC.Error == "" || got.Nodes[1].Host.Reachable || len(got.VMs) != 4 || got.VMs[0].Name != "a-one" {
		t.Errorf("%+v", got)
	}
}

func TestAnOrderOfUnknownFateIsAnError(t *testing.T) {
	_, err := observe.Nodes(t.Context(), nodes("silent"), source{orderErr: errors.New("relay gone")}, observe.Options{})
	if err == nil || !strings.Contains(err.Error(), "s/silent") || !strings.Contains(err.Error(), "relay gone") {
		t.Errorf("got %v", err)
	}
}
