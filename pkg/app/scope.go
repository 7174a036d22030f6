package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// scopeOf is the place that an apply must have for itself: the region of its targets when they are all in one, else everything. Nodes that boot
// from the same network belong together, because the network's relay serves one holder only.
func (s *session) scopeOf(o ApplyOptions) (string, error) {
	var targets []model.Path
	var err error
	if o.File != "" {
		targets = planned(o.saved)
	} else if targets, err = s.targets(o.Plan.Targets); err != nil {
		return "", err
	}
	return scopeOf(s.desired, targets), nil
}

// planned are the nodes that a plan does something to.
func planned(p plan.Plan) []model.Path {
	seen := map[model.Path]bool{}
	var out []model.Path
	for _, st := range p.Stages {
		for _, op := range st.Ops {
			word, path, _ := strings.Cut(string(op.Target), ":")
			if word != "node" { // what belongs to no node is everybody's
				return nil
			}
			if n := model.Path(path); !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}

func scopeOf(d model.Desired, targets []model.Path) string {
	if len(targets) == 0 {
		return ""
	}
	region := regionOf(d, targets[0])
	for _, t := range targets {
		if region == "" || !region.Contains(t) {
			return ""
		}
	}
	boots := map[string]bool{}
	for _, n := range d.Nodes {
		for _, nic := range n.NICs {
			if region.Contains(n.Path) && networkOf(d, nic.Network).DHCP != "" {
				boots[nic.Network] = true
			}
		}
	}
	for _, n := range d.Nodes {
		for _, nic := range n.NICs {
			if boots[nic.Network] && !region.Contains(n.Path) {
				return ""
			}
		}
	}
	return string(region)
}

func regionOf(d model.Desired, p model.Path) model.Path {
	for _, r := range d.Regions {
		if r.Path.Contains(p) {
			return r.Path
		}
	}
	return ""
}

// keysBucket holds the public halves of the keys that hosts and relays trust, so that a second workstation with keys of its own is found out before
// it gives an order that nobody obeys.
const keysBucket = "keys"

func (s *session) publicKeys() []byte {
	// Marshalling a map of strings cannot fail, and its keys are sorted.
	text, _ := json.Marshal(map[string]string{"sign": s.keys.Public.String(), "ssh_ca": string(s.keys.CA.PublicKey().Marshal()),
		"libvirt_ca": s.keys.Move.Libvirt.Print(), "qemu_ca": s.keys.Move.QEMU.Print()})
	return text
}

// sameKeys compares this workstation's keys with those of the shared state.
func (s *session) sameKeys(ctx context.Context) error {
	if s.inv.State.Etcd == nil {
		return nil
	}
	have, err := s.store.Get(ctx, keysBucket, "public")
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err == nil && string(have.Value) != string(s.publicKeys()) {
		return fmt.Errorf("the keys in %s are not those that the cloud trusts: copy the directory keys from the workstation that made them, over a way that nobody else can read", s.keys.dir)
	}
	return err
}

// keepKeys records which keys the cloud trusts.
func (s *session) keepKeys(ctx context.Context, f state.Fence) error {
	if s.inv.State.Etcd == nil {
		return nil
	}
	if _, err := s.store.Get(ctx, keysBucket, "public"); !errors.Is(err, state.ErrNotFound) {
		return err
	}
	return s.store.Commit(ctx, f, state.Write{Bucket: keysBucket, Key: "public", Value: s.publicKeys()})
}
