package ceph

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/leave.sh
var leaveScript string

//go:embed scripts/wipe.sh
var wipeScript string

// ErrNeeded says that Ceph does not let something go yet.
var ErrNeeded = errors.New("it is still needed")

// Out marks OSDs out, so that their data goes elsewhere while they serve it. It may be repeated.
func Out(ctx context.Context, h remote.Host, osds []int) error {
	if len(osds) == 0 {
		return nil
	}
	return tell(ctx, h, cmd("osd out", "ids", ids(osds)))
}

// In has OSDs take data again. It may be repeated.
func In(ctx context.Context, h remote.Host, osds []int) error {
	if len(osds) == 0 {
		return nil
	}
	return tell(ctx, h, cmd("osd in", "ids", ids(osds)))
}

func ids(osds []int) []string {
	out := make([]string, len(osds))
	for i, id := range osds {
		out[i] = strconv.Itoa(id)
	}
	return out
}

// SafeToDestroy asks Ceph whether OSDs can go without any copy being fewer: nil, or why not, which wraps ErrNeeded. A snapshot: ask right before.
func SafeToDestroy(ctx context.Context, h remote.Host, osds []int) error {
	if len(osds) == 0 {
		return nil
	}
	replies, err := ask(ctx, h, true, toMgr(cmd("osd safe-to-destroy", "ids", ids(osds))))
	if err != nil {
		return err
	}
	return destroyable(replies[0], osds)
}

// destroyable reads the answer of "osd safe-to-destroy" (DaemonServer.cc): its exit code and its list of those that are safe both have to say so.
func destroyable(r Reply, osds []int) error {
	var report struct {
		Safe []int `json:"safe_to_destroy"`
	}
	switch {
	case r.Code == -int(syscall.EBUSY), r.Code == -int(syscall.EAGAIN):
		return fmt.Errorf("ceph osd safe-to-destroy: %w: %s", ErrNeeded, r.Text)
	case r.Code != 0:
		return fmt.Errorf("ceph osd safe-to-destroy: %s (error %d)", r.Text, -r.Code)
	case json.Unmarshal(r.Out, &report) != nil:
		return fmt.Errorf("ceph osd safe-to-destroy: its answer cannot be read: %.200s", r.Out)
	}
	for _, id := range osds {
		if !slices.Contains(report.Safe, id) {
			return fmt.Errorf("ceph osd safe-to-destroy: %w: it does not name osd.%d", ErrNeeded, id)
		}
	}
	return nil
}

// StopOSD stops an OSD on its own host and leaves its disk. It does not come back by itself while the host runs. That it may stop was asked before.
func StopOSD(ctx context.Context, h remote.Host, id int) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"systemctl", "stop", fmt.Sprintf("ceph-osd@%d.service", id)}, Limit: 5 * time.Minute})
	if err != nil {
		return fmt.Errorf("stop osd.%d: %w", id, err)
	}
	return nil
}

// Purge removes an OSD that is down from the cluster: its entry, its place in the CRUSH tree, and its keys. The manager, through which this goes, asks once more
// whether it is safe to destroy, right before it has the monitors do it (DaemonServer.cc). It may be repeated.
func Purge(ctx context.Context, h remote.Host, id int) error {
	replies, err := ask(ctx, h, true, toMgr(cmd("osd purge", "id", id, "yes_i_really_mean_it", true)))
	if err != nil {
		return err
	}
	switch r := replies[0]; r.Code {
	case 0, -int(syscall.ENOENT):
		return nil
	case -int(syscall.EBUSY), -int(syscall.EAGAIN):
		return fmt.Errorf("ceph osd purge osd.%d: %w: %s", id, ErrNeeded, r.Text)
	default:
		return fmt.Errorf("ceph osd purge osd.%d: %s (error %d)", id, r.Text, -r.Code)
	}
}

// RemoveBucket removes a host's bucket from the CRUSH tree; Ceph refuses when something is in it. That there is none is fine.
func RemoveBucket(ctx context.Context, h remote.Host, host string) error {
	return tell(ctx, h, cmd("osd crush rm", "name", host))
}

// OKToRemove asks Ceph whether the quorum holds without a monitor: nil, or why not.
func OKToRemove(ctx context.Context, h remote.Host, mon string) error {
	replies, err := ask(ctx, h, true, cmd("mon ok-to-rm", "id", mon))
	if err != nil {
		return err
	}
	if r := replies[0]; r.Code != 0 {
		return fmt.Errorf("ceph mon ok-to-rm %s: %w: %s (error %d)", mon, ErrNeeded, r.Text, -r.Code)
	}
	return nil
}

// RemoveMon takes a monitor out of the monmap.
func RemoveMon(ctx context.Context, h remote.Host, mon string) error {
	return tell(ctx, h, cmd("mon remove", "name", mon))
}

// Forget removes the keys of an identity, which may be gone already.
func Forget(ctx context.Context, h remote.Host, entity string) error {
	replies, err := ask(ctx, h, true, cmd("auth rm", "entity", entity))
	if err != nil {
		return err
	}
	if r := replies[0]; r.Code != 0 && r.Code != -int(syscall.ENOENT) {
		return fmt.Errorf("ceph auth rm %s: %s (error %d)", entity, r.Text, -r.Code)
	}
	return nil
}

// Leave ends the monitor, the manager, the metadata server and the object gateway of a host that leaves, and removes their data there and the administrator's key.
func Leave(ctx context.Context, h remote.Host, name string) error {
	return run(ctx, h, leaveScript, nil, name)
}

// Wipe removes whatever a disk could be read again by. It is not a secure erase: data that nothing points to any more is still there.
func Wipe(ctx context.Context, h remote.Host, device, serial string) error {
	if strings.TrimSpace(serial) == "" {
		return fmt.Errorf("wipe %s: it has no serial number to be recognised by", device)
	}
	return run(ctx, h, wipeScript, nil, device, serial)
}
