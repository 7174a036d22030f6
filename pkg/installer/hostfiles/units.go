package hostfiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// unitDir is where an administrator's units live (systemd.unit(5)).
const unitDir = "etc/systemd/system"

// unit writes a unit, its drop-ins and its mask. A unit of a config is the administrator's, so it replaces what is there.
func (a *Applier) unit(u types.Unit) error {
	p := path.Join(unitDir, u.Name)
	if err := a.root.MkdirAll(unitDir, 0o755); err != nil {
		return err
	}
	if u.Mask != nil && *u.Mask {
		return a.mask(p)
	}
	if u.Contents != nil && *u.Contents != "" {
		if err := a.unitFile(p, *u.Contents); err != nil {
			return err
		}
	}
	for _, d := range u.Dropins {
		if d.Contents == nil {
			continue
		}
		if err := a.root.MkdirAll(p+".d", 0o755); err != nil {
			return err
		}
		if err := a.unitFile(path.Join(p+".d", d.Name), *d.Contents); err != nil {
			return err
		}
	}
	return nil
}

func (a *Applier) unitFile(p, body string) error {
	if err := a.root.RemoveAll(p); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return a.root.WriteFile(p, []byte(body), 0o644)
}

func (a *Applier) mask(p string) error {
	if err := a.root.RemoveAll(p); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return a.root.Symlink("/dev/null", p)
}

// enable makes enablement explicit: presets run on a first boot only, and a host with a machine-id has none.
func (a *Applier) enable(ctx context.Context, units []types.Unit) error {
	var on, off []string
	for _, u := range units {
		switch {
		case u.Enabled == nil || u.Mask != nil && *u.Mask:
		case *u.Enabled:
			on = append(on, u.Name)
		default:
			off = append(off, u.Name)
		}
	}
	return errors.Join(a.systemctl(ctx, "enable", on), a.systemctl(ctx, "disable", off))
}

// Enable enables units of the image by name.
func (a *Applier) Enable(ctx context.Context, names ...string) error {
	return a.systemctl(ctx, "enable", names)
}

func (a *Applier) systemctl(ctx context.Context, verb string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if _, err := a.Runner.Run(ctx, run.Chroot(a.path, append([]string{"systemctl", verb, "--"}, names...)...)); err != nil {
		return fmt.Errorf("%s units: %w", verb, err)
	}
	return nil
}
