package ovs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// keptBackups is how many databases from before a change a host keeps.
const keptBackups = 10

// ErrNoBackup: the host has no backup of that name.
var ErrNoBackup = errors.New("no such backup of Open vSwitch's database")

var backupName = regexp.MustCompile(`^backup-[0-9T.]+\.db$`)

// Backups are the databases that a host has kept, each from before a change that was confirmed, newest first. The name tells when it was confirmed
// (UTC).
func (d Driver) Backups(ctx context.Context, h remote.Host) ([]string, error) {
	script := `cd -- "$1" 2>/dev/null || exit 0; ls -1 | grep '^backup-.*\.db$' | sort -r || :`
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", script, "backups", d.dir()}})
	if err != nil {
		return nil, fmt.Errorf("list backups of Open vSwitch: %w", err)
	}
	return strings.Fields(string(res.Stdout)), nil
}

const restoreScript = `[ -e "$1/$2" ] || exit 44
if [ -n "$3" ]; then ovsdb-client --timeout=20 restore "$3" <"$1/$2"; else ovsdb-client --timeout=20 restore <"$1/$2"; fi`

// Restore puts a backup back, with everything that Open vSwitch knew then: ports that virtual machines have got since are gone, so it is for hosts without any
// or for emergencies. It is armed and confirmed like any change: what cuts the host off is undone by the host. ErrNoBackup when there is none.
func (d Driver) Restore(ctx context.Context, h remote.Host, name string, guard Guard) error {
	if !backupName.MatchString(name) {
		return fmt.Errorf("%w: %q", ErrNoBackup, name)
	}
	if _, err := d.Settle(ctx, h); err != nil {
		return err
	}
	window := guard.Window
	if window <= 0 {
		window = DefaultWindow
	}
	proof, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	undo, err := d.Arm(ctx, h, guard.ID, window)
	if err != nil {
		return err
	}
	asking, stop := context.WithTimeout(proof, window/3)
	_, err = h.Run(asking, remote.Command{Argv: []string{"sh", "-euc", restoreScript, "restore", d.dir(), name, d.DB}})
	silent := errors.Is(err, remote.ErrUnreachable) || asking.Err() != nil
	stop()
	if code, ran := remote.ExitCode(err); ran && code == 44 {
		err = fmt.Errorf("%w: %s", ErrNoBackup, name)
	}
	if err != nil && !silent {
		return d.abandon(ctx, h, undo, fmt.Errorf("restore Open vSwitch: %w", err))
	}
	_, err = d.prove(proof, undo, Spec{}, guard)
	return err
}
