package ovs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// What can go wrong with a guarded change, for errors.Is.
var (
	// ErrNoUndo: the undo could not be armed, so nothing was changed.
	ErrNoUndo = errors.New("undo could not be armed on the host")
	// ErrUndone: the change is not in force any more; the host has put the old state back.
	ErrUndone = errors.New("change was undone on the host")
	// ErrUnproven: the change was made and could not be confirmed. The host puts the old state back by itself when the window ends.
	ErrUnproven = errors.New("change could not be confirmed; the host undoes it by itself")
)

// DefaultWindow is how long a change may stay unconfirmed.
const DefaultWindow = 60 * time.Second

// Undo is an armed undo on a host: a snapshot of the Open vSwitch database (ovsdb-client backup, which needs no stop of the server) and a
// transient systemd timer that puts it back. Who comes first decides, by renaming one file: Confirm, Now, or the timer.
// A reboot in the window loses the timer; the boot script of the host's profile then sets the network.
type Undo struct {
	driver Driver
	id     string
}

// unitName is what an ID may hold, since it becomes part of a unit's and a file's name.
var unitName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

const armScript = `umask 077
mkdir -p -- "$1"
cd -- "$1"
rm -f -- "$2.armed" "$2.done" "$2.undone" "$2.stale"
if [ -n "$4" ]; then ovsdb-client --timeout=20 backup "$4" >"$2.db"; else ovsdb-client --timeout=20 backup >"$2.db"; fi
cat >"$2.sh"
sync -- "$2.db" "$2.sh"
: >"$2.armed"
if ! systemd-run --quiet --collect --unit="nubo-ovs-undo-$2" --on-active="$3" --timer-property=AccuracySec=1s /bin/sh "$1/$2.sh"; then
  rm -f -- "$2.armed"
  exit 1
fi`

// undoScript is written to the host whole, so that the timer needs no arguments.
func (u Undo) undoScript() string {
	restore := "ovsdb-client --timeout=20 restore"
	if u.driver.DB != "" {
		restore += " " + remote.Quote(u.driver.DB)
	}
	return fmt.Sprintf("#!/bin/sh\nset -eu\ncd -- %s\nmv -- %s.armed %s.undone 2>/dev/null || exit 0\n%s <%s.db\n",
		remote.Quote(u.driver.dir()), u.id, u.id, restore, u.id)
}

// dir gives the directory of snapshots.
func (d Driver) dir() string {
	if d.Dir == "" {
		return "/var/lib/nubo/ovs"
	}
	return d.Dir
}

// Arm takes the snapshot and starts the timer. The ID names the change; a later change may use it again. ErrNoUndo when it cannot.
func (d Driver) Arm(ctx context.Context, h remote.Host, id string, window time.Duration) (Undo, error) {
	u := Undo{driver: d, id: id}
	if !unitName.MatchString(id) {
		return u, fmt.Errorf("%w: %q cannot be part of a unit's name", ErrNoUndo, id)
	}
	if window <= 0 {
		window = DefaultWindow
	}
	seconds := strconv.FormatInt(int64(math.Ceil(window.Seconds())), 10) + "s"
	_, err := h.Run(ctx, remote.Command{
		Argv:  []string{"sh", "-euc", armScript, "arm", d.dir(), id, seconds, d.DB},
		Stdin: stringReader(u.undoScript()),
	})
	if err != nil {
		return u, fmt.Errorf("snapshot Open vSwitch and arm its undo: %w", errors.Join(ErrNoUndo, err))
	}
	return u, nil
}

// settleScript undoes every change that someone armed and did not confirm. A marker without its timer is from before a reboot: by now others
// have built upon that state, so its snapshot is not put back.
const settleScript = `cd -- "$1" 2>/dev/null || exit 0
for armed in *.armed; do
  [ -e "$armed" ] || continue
  id=${armed%.armed}
  if systemctl is-active --quiet "nubo-ovs-undo-$id.timer"; then
    echo "$id"
    /bin/sh "./$id.sh"
    systemctl stop "nubo-ovs-undo-$id.timer" 2>/dev/null || :
  else
    mv -- "$armed" "$id.stale" 2>/dev/null || :
  fi
done`

// Settle undoes what a run that died has left unconfirmed on the host, and gives the IDs. Otherwise its timer would undo, later, what is found
// and built upon now. Only the holder of the node's lease may call it.
func (d Driver) Settle(ctx context.Context, h remote.Host) ([]string, error) {
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", settleScript, "settle", d.dir()}})
	if err != nil {
		return nil, fmt.Errorf("settle unconfirmed changes of Open vSwitch: %w", err)
	}
	return strings.Fields(string(res.Stdout)), nil
}

// lost is the exit status of disarmScript when the undo came first.
const lost = 65

// disarmScript keeps the database from before the change as a backup, and the newest $3 of those.
const disarmScript = `cd -- "$1"
mv -- "$2.armed" "$2.done" 2>/dev/null || exit 65
systemctl stop "nubo-ovs-undo-$2.timer" 2>/dev/null || :
name=backup-$(date -u +%Y%m%dT%H%M%S.%N).db
[ ! -e "$2.db" ] || mv -- "$2.db" "$name"
rm -f -- "$2.sh" "$2.done"
ls -1 | grep '^backup-.*\.db$' | sort -r | tail -n +"$(($3 + 1))" | while read -r old; do rm -f -- "$old"; done`

// Confirm makes the change stay. h should be a connection made after the change: that is the proof. ErrUndone when it is too late.
func (u Undo) Confirm(ctx context.Context, h remote.Host) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", disarmScript, "confirm", u.driver.dir(), u.id, strconv.Itoa(keptBackups)}})
	if code, ran := remote.ExitCode(err); ran && code == lost {
		return fmt.Errorf("confirm change of Open vSwitch: %w: the time was up", ErrUndone)
	}
	if err != nil {
		return fmt.Errorf("confirm change of Open vSwitch: %w", err)
	}
	return nil
}

// Now undoes the change at once instead of waiting for the timer.
func (u Undo) Now(ctx context.Context, h remote.Host) error {
	_, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc",
		"/bin/sh -- \"$1\"; systemctl stop \"nubo-ovs-undo-$2.timer\" 2>/dev/null || :", "undo", path.Join(u.driver.dir(), u.id+".sh"), u.id}})
	if err != nil {
		return fmt.Errorf("undo change of Open vSwitch: %w", err)
	}
	return nil
}
