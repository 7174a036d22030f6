package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// A disk on one host only is copied while its machine runs (on_drain = "block_migrate"): libvirt writes it into an empty one of the same size at the same
// place. A file beside that says that it is such a copy, so that the next attempt may begin it anew and nobody else's file is ever overwritten.
const (
	copyMark = ".nubo-copy"
	oldMark  = ".nubo-moved" // what was copied is kept under this name: nothing is lost
)

// blank is a disk that is copied.
type blank struct {
	kvm.LocalDisk
	mib int
}

const makeBlank = `if [ -e "$1" ] && [ ! -e "$1` + copyMark + `" ]; then
  echo "$1 is there already: move it away" >&2
  exit 65
fi
mkdir -p -- "${1%/*}"
: >"$1` + copyMark + `"
qemu-img create -q -f "$2" "$1" "$3"`

// blanks makes the disks at the destination into which those of the machine are copied.
func (m *move) blanks(ctx context.Context, d kvm.Observed) ([]blank, error) {
	var out []blank
	for _, l := range d.Traits.Local {
		res, err := m.g.VMs.Links.To(m.from).Run(ctx, remote.Command{Argv: []string{"qemu-img", "info", "-U", "--output=json", l.Path}})
		var info struct {
			Size   int64  `json:"virtual-size"` // bytes
			Format string `json:"format"`
		}
		if err == nil {
			err = json.Unmarshal(res.Stdout, &info)
		}
		if err != nil {
			return out, fmt.Errorf("%s: look at the disk %s of %s: %w", m.from.Path, l.Path, m.vm, err)
		}
		if l.Format == "" {
			l.Format = info.Format
		}
		_, err = m.g.fenced(m.to).Run(ctx, remote.Command{Argv: []string{"sh", "-euc", makeBlank, "blank", l.Path, l.Format, fmt.Sprint(info.Size)}})
		if err != nil {
			return out, fmt.Errorf("%s: make room for the disk %s of %s: %w", m.to.Path, l.Path, m.vm, err)
		}
		out = append(out, blank{l, int(info.Size >> 20)})
	}
	return out, nil
}

// discard takes copies away that were not needed.
func (m *move) discard(ctx context.Context, disks []blank) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, d := range disks {
		if _, err := m.g.fenced(m.to).Run(ctx, remote.Command{Argv: []string{"rm", "-f", "--", d.Path, d.Path + copyMark}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: remove the unfinished copy %s: %w", m.to.Path, d.Path, err))
		}
	}
	return errors.Join(errs...)
}

// retire makes copies what they were copied from, and puts that aside.
func (m *move) retire(ctx context.Context, disks []blank) error {
	var errs []error
	for _, d := range disks {
		_, err1 := m.g.fenced(m.to).Run(ctx, remote.Command{Argv: []string{"rm", "-f", "--", d.Path + copyMark}})
		_, err2 := m.g.fenced(m.from).Run(ctx, remote.Command{Argv: []string{"mv", "-f", "--", d.Path, d.Path + oldMark}})
		if err := errors.Join(err1, err2); err != nil {
			errs = append(errs, fmt.Errorf("%s was copied from %s to %s: put the old one aside: %w", d.Path, m.from.Path, m.to.Path, err))
		}
	}
	return errors.Join(errs...)
}
