package ceph

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/arm.sh
var armScript string

//go:embed scripts/expire.sh
var expireScript string

// Mark is what the cluster itself keeps of a flag of ours, in its key-value store: who set it, under which epoch, and when it ends by the clocks of the
// monitors' hosts, which Ceph keeps together. Those hosts wait for that end (Arm): nobody has to come back.
type Mark struct {
	Until int64  `json:"until"` // seconds since 1970
	Owner string `json:"owner"`
	Epoch int64  `json:"epoch"`
	// Undo is the command of ceph(8) that takes the flag away; empty when somebody else had set it before, so that it stays.
	Undo string `json:"undo"`
}

// End is when it ends; the zero value when there is no mark.
func (m Mark) End() time.Time {
	if m.Until == 0 {
		return time.Time{}
	}
	return time.Unix(m.Until, 0)
}

const nooutPrefix = "nubo/noout/"

// NooutKey is the key of the mark of a host's noout.
func NooutKey(host string) string { return nooutPrefix + host }

// unitOf is the unit that waits for the end of a mark.
func unitOf(key string) string { return strings.ReplaceAll(key, "/", "-") }

// set writes a mark. It stands before what it is about, so that no flag of ours is ever without one.
func (m Mark) set(ctx context.Context, h remote.Host, key string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return tell(ctx, h, cmd("config-key set", "key", key, "val", string(text)))
}

// Arm has a monitor's host wait for the end of a mark. It may be repeated.
func Arm(ctx context.Context, h remote.Host, key string) error {
	if err := run(ctx, h, armScript, nil, unitOf(key), expireScript, key); err != nil {
		return fmt.Errorf("have %s end by itself: %w", key, err)
	}
	return nil
}

// DisarmNoout ends the waiting.
func DisarmNoout(ctx context.Context, h remote.Host, host string) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", `systemctl stop "$1.service" 2>/dev/null || true`, "disarm", unitOf(NooutKey(host))}, Limit: time.Minute})
	return err
}

// MarkNoout writes who sets noout for a host's bucket and until when. kept says that the flag is somebody else's.
func MarkNoout(ctx context.Context, h remote.Host, host string, m Mark, kept bool) error {
	m.Undo = "osd unset-group noout " + host
	if kept {
		m.Undo = ""
	}
	if err := m.set(ctx, h, NooutKey(host)); err != nil {
		return fmt.Errorf("mark noout of %s: %w", host, err)
	}
	return nil
}

// SetNoout sets the flag for a host's bucket.
func SetNoout(ctx context.Context, h remote.Host, host string) error {
	return tell(ctx, h, cmd("osd set-group", "flags", "noout", "who", []string{host}))
}

// UnsetNoout takes the flag away, unless it is somebody else's, and then the mark.
func UnsetNoout(ctx context.Context, h remote.Host, host string, kept bool) error {
	var list []Command
	if !kept {
		list = append(list, cmd("osd unset-group", "flags", "noout", "who", []string{host}))
	}
	return tell(ctx, h, append(list, cmd("config-key rm", "key", NooutKey(host)))...)
}

//go:embed scripts/daemons.sh
var daemonsScript string

//go:embed scripts/stop.sh
var stopScript string

//go:embed scripts/start.sh
var startScript string

// Find looks which daemons of a cluster a host has. It changes nothing, and needs no cluster.
func Find(ctx context.Context, h remote.Host, fsid string) (Daemons, error) {
	res, err := h.Run(ctx, remote.Command{Script: daemonsScript, Limit: time.Minute})
	if err != nil {
		return Daemons{}, fmt.Errorf("look for Ceph's daemons: %w", err)
	}
	d, err := parseDaemons(res.Stdout, fsid)
	if err != nil {
		return Daemons{}, fmt.Errorf("look for Ceph's daemons: %w", err)
	}
	return d, nil
}

// ErrHeld: the daemons are of another release than those that were stopped, and the host's slot is on trial.
var ErrHeld = errors.New("another release of Ceph waits for its slot to be declared good")

// held is the exit code of start.sh for that.
const held = 75

// Stop stops a host's daemons, OSDs first. It returns when that is done.
func Stop(ctx context.Context, h remote.Host) error {
	if err := run(ctx, h, stopScript, nil); err != nil {
		return fmt.Errorf("stop Ceph's daemons: %w", err)
	}
	return nil
}

// Down tells the monitors that OSDs have ended. It may be repeated: one that is down stays so, and one that runs all the same says so and is up again.
func Down(ctx context.Context, h remote.Host, osds []int) error {
	if len(osds) == 0 {
		return nil
	}
	return tell(ctx, h, cmd("osd down", "ids", ids(osds)))
}

// Start starts a host's daemons. It does not wait until they are in service. On a slot on trial with another release than the one that was stopped it
// gives ErrHeld unless the slot has been declared good.
func Start(ctx context.Context, h remote.Host, good bool) error {
	var args []string
	if good {
		args = []string{"good"}
	}
	err := run(ctx, h, startScript, nil, args...)
	if code, ran := remote.ExitCode(err); ran && code == held {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("start Ceph's daemons: %w", err)
	}
	return nil
}
