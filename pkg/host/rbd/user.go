package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Key gives the key of a Ceph user who may use the images of some pools and nothing else, and makes the user, or changes its rights, where needed.
// The key is a secret: the caller hands it on and keeps it nowhere.
func Key(ctx context.Context, h remote.Host, user string, pools []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if !word.MatchString(user) || len(pools) == 0 {
		return nil, fmt.Errorf("Ceph user %q with %d pools: a name and a pool are needed", user, len(pools))
	}
	caps, err := rights(pools)
	if err != nil {
		return nil, err
	}
	get := append([]string{"ceph", "--format", "json", "auth", "get-or-create", "client." + user}, caps...)
	res, err := h.Run(ctx, remote.Command{Argv: get})
	if failed(err, syscall.EINVAL) { // it is there with other rights
		_, err = h.Run(ctx, remote.Command{Argv: append([]string{"ceph", "auth", "caps", "client." + user}, caps...)})
		if err == nil {
			res, err = h.Run(ctx, remote.Command{Argv: get})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("Ceph user client.%s: %w", user, err)
	}
	var list []struct {
		Entity string `json:"entity"`
		Key    string `json:"key"`
	}
	// What cannot be read is not shown: it may hold the key.
	if err := json.Unmarshal(res.Stdout, &list); err != nil || len(list) != 1 || list[0].Entity != "client."+user || list[0].Key == "" {
		return nil, errors.New("Ceph user client." + user + ": ceph auth get-or-create printed something else than one key")
	}
	return []byte(list[0].Key), nil
}

// rights are the least that librbd works with (Ceph's documentation, "profile rbd"): mon lets it find images and fence a dead client's locks.
func rights(pools []string) ([]string, error) {
	var grants []string
	for _, p := range slices.Sorted(slices.Values(pools)) {
		if !word.MatchString(p) {
			return nil, fmt.Errorf("pool %q: names are letters, digits, '_', '.', '-'", p)
		}
		grants = append(grants, "profile rbd pool="+p)
	}
	all := strings.Join(grants, ", ")
	return []string{"mon", "profile rbd", "osd", all, "mgr", all}, nil
}
