package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

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
	if len(d.Traits.Local) == 0 {
		return nil, nil
	}
	h, err := m.dst.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: look whose disks are there: %w", m.to.Path, err)
	}
	var out []blank
	for _, l := range d.Traits.Local {
		if err := taken(h.Domains, m.vm, l.Path); err != nil { // also one that is marked, since a mark may have been left beside it
			return out, fmt.Errorf("%s: make room for the disk %s of %s: %w", m.to.Path, l.Path, m.vm, err)
		}
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
func (m *move) retire(ctx context.Context, disks []string) error {
	var errs []error
	for _, path := range disks {
		if err := retire(ctx, m.g.fenced(m.from), m.g.fenced(m.to), path); err != nil {
			errs = append(errs, fmt.Errorf("%s was copied from %s to %s: put the old one aside: %w", path, m.from.Path, m.to.Path, err))
		}
	}
	return errors.Join(errs...)
}

// retire puts a disk at its source aside and then takes the mark of the copy away. In this order, what is interrupted is found by the mark and done again.
func retire(ctx context.Context, from, to remote.Host, path string) error {
	if _, err := from.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", `[ ! -e "$1" ] || mv -f -- "$1" "$1` + oldMark + `"`, "aside", path}}); err != nil {
		return err
	}
	_, err := to.Run(ctx, remote.Command{Argv: []string{"rm", "-f", "--", path + copyMark}})
	return err
}

// tidy retires what an earlier call has copied and left: of a machine that has arrived. A copy that is still marked would be taken for an unfinished one.
func (m *move) tidy(ctx context.Context, d kvm.Observed) error {
	left, err := copies(ctx, m.g.fenced(m.to), d.Traits.Local)
	if err != nil || len(left) == 0 {
		return err
	}
	h, err := m.src.Observe(ctx)
	for _, path := range left {
		err = errors.Join(err, taken(h.Domains, m.vm, path))
	}
	if err != nil {
		return fmt.Errorf("%s: put aside what %s has left there: %w", m.from.Path, m.vm, err)
	}
	return m.retire(ctx, left)
}

// copies are those of a machine's disks at its destination that are marked as copies.
func copies(ctx context.Context, to remote.Host, disks []kvm.LocalDisk) ([]string, error) {
	var out []string
	for _, l := range disks {
		if !l.Copyable() {
			continue
		}
		res, err := to.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", `[ ! -e "$1` + copyMark + `" ] || echo copy`, "marked", l.Path}})
		if err != nil {
			return nil, fmt.Errorf("look for the mark of the copy %s: %w", l.Path, err)
		}
		if len(res.Stdout) > 0 {
			out = append(out, l.Path)
		}
	}
	return out, nil
}

// taken refuses a file that is a disk of another machine of its host, whether that runs or not.
func taken(domains []kvm.Observed, vm, path string) error {
	for _, d := range domains {
		if d.Name != vm && slices.ContainsFunc(d.Traits.Local, func(l kvm.LocalDisk) bool { return l.Path == path }) {
			return fmt.Errorf("%s is a disk of %s", path, d.Name)
		}
	}
	return nil
}
