package kvm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// ErrCordoned says that a host takes no virtual machines for now.
var ErrCordoned = errors.New("the host is cordoned")

// Cordon is nuboctl's mark that no virtual machine may come to a host. The host keeps it in a file on its state partition, with the second at which it ends
// by the host's own clock: nobody has to come back for that.
type Cordon struct {
	Left  time.Duration // until it ends by itself; zero when there is none
	Owner string        // who set it, in one line
	Drain bool          // it is what a drain is for, and no step of a rollout
}

const (
	cordonFile = "/var/lib/nubo/cordon"
	// hookFile is where libvirt, from 6.5 on, looks for hooks beside an operator's own /etc/libvirt/hooks/qemu (https://libvirt.org/hooks.html).
	hookFile = "/etc/libvirt/hooks/qemu.d/50-nubo-cordon"
)

// cordonWord is in what the hook says, and in what libvirt on other hosts says of it.
const cordonWord = "is cordoned by nuboctl"

// hookScript refuses to start a virtual machine, or to take one from another host, while the mark is valid. It lets pass what Hold stopped, since that was
// there before and is started again before the mark goes. It fails open: a mark that has ended or cannot be read refuses nothing.
const hookScript = `#!/bin/sh
# Written by nuboctl; changes here do not last. Refuses to start virtual machines on a host that is cordoned.
case "$2" in prepare | migrate | restore) ;; *) exit 0 ;; esac
read -r word until 2>/dev/null <` + cordonFile + ` || exit 0
case "$word $until" in until\ *[!0-9]*) exit 0 ;; until\ ?*) ;; *) exit 0 ;; esac
now=$(date +%s) || exit 0
[ "$now" -lt "$until" ] || exit 0
while IFS= read -r line; do
  case $line in *` + heldNamespace + `*) exit 0 ;; esac
done
echo "this host ` + cordonWord + ` until $(date -Is -d "@$until"): no virtual machine may start here or come here. Choose another host, or end it: nuboctl undrain $(hostname)" >&2
exit 1
`

// readCordon prints the seconds that are left and the owner; nothing when there is no mark.
const readCordon = `[ -e "$1" ] || exit 0
{ read -r word until && read -r word2 owner; } <"$1" || { word=broken; }
case "$word $until" in until\ *[!0-9]*|until\ ) word=broken ;; esac
if [ "$word" != until ]; then echo "$1 cannot be read as a cordon: remove it" >&2; exit 65; fi
why=$(sed -n 's/^for //p' "$1")
echo "$((until - $(date +%s))) ${why:-rollout} $owner"`

// ReadCordon reads the mark. One that has ended is none.
func ReadCordon(ctx context.Context, h remote.Host) (Cordon, error) {
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", readCordon, "cordon", cordonFile}})
	if err != nil {
		return Cordon{}, fmt.Errorf("read the cordon: %w", err)
	}
	left, rest, _ := strings.Cut(strings.TrimSpace(string(res.Stdout)), " ")
	why, owner, _ := strings.Cut(rest, " ")
	if left == "" {
		return Cordon{}, nil
	}
	seconds, err := strconv.ParseInt(left, 10, 64)
	if err != nil {
		return Cordon{}, fmt.Errorf("read the cordon: the host says %q", left)
	}
	if seconds <= 0 {
		return Cordon{}, nil
	}
	return Cordon{Left: time.Duration(seconds) * time.Second, Owner: owner, Drain: why == drainWord}, nil
}

// drainWord stands in the mark of a drain.
const drainWord = "drain"

// setCordon writes the mark in one step: seconds, owner, what it is for.
const setCordon = `mkdir -p -- "${1%/*}"
printf 'until %s\nowner %s\nfor %s\n' "$(($(date +%s) + $2))" "$3" "$4" >"$1.new"
sync -- "$1.new"
mv -f -- "$1.new" "$1"
sync -- "${1%/*}"`

// SetCordon sets the mark for a while, rounded up to seconds, in place of the one there is.
func SetCordon(ctx context.Context, h remote.Host, c Cordon) error {
	seconds := int64((c.Left + time.Second - 1) / time.Second)
	if seconds <= 0 {
		return fmt.Errorf("set a cordon for %s: that is over already", c.Left)
	}
	owner, why := strings.Join(strings.Fields(c.Owner), " "), "rollout"
	if c.Drain {
		why = drainWord
	}
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", setCordon, "cordon", cordonFile, fmt.Sprint(seconds), owner, why}}); err != nil {
		return fmt.Errorf("set the cordon: %w", err)
	}
	return nil
}

// RemoveCordon takes the mark away; no error when there is none.
func RemoveCordon(ctx context.Context, h remote.Host) error {
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"rm", "-f", "--", cordonFile}}); err != nil {
		return fmt.Errorf("remove the cordon: %w", err)
	}
	return nil
}

// plantHook brings the hook, which it reads, to the file "$1" when its SHA-256 is not "$2", and restarts a libvirt that was started before: libvirt looks for
// hooks when it starts. Virtual machines are processes of their own and do not notice.
const plantHook = `sum=$(sha256sum 2>/dev/null <"$1" || :)
if [ "${sum%% *}" != "$2" ] || [ ! -x "$1" ]; then
  mkdir -p -- "${1%/*}"
  cat >"$1.new"
  sum=$(sha256sum <"$1.new")
  [ "${sum%% *}" = "$2" ]
  chmod 0755 -- "$1.new"
  mv -f -- "$1.new" "$1"
fi
pid=/run/libvirtd.pid
if [ -e "$pid" ] && [ "$1" -nt "$pid" ]; then systemctl restart libvirtd.service; fi`

// EnsureHook plants the hook by which libvirt itself refuses virtual machines on a cordoned host.
func EnsureHook(ctx context.Context, h remote.Host) error {
	sum := sha256.Sum256([]byte(hookScript))
	_, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", plantHook, "hook", hookFile, hex.EncodeToString(sum[:])}, Stdin: strings.NewReader(hookScript), Limit: 2 * time.Minute})
	if err != nil {
		return fmt.Errorf("plant libvirt's hook %s, and restart libvirt, which looks for hooks when it starts: %w", hookFile, err)
	}
	return nil
}
