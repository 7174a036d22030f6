package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// ErrSlow says that a move was called off at its deadline.
var ErrSlow = errors.New("it writes to its memory faster than the network carries, and its move was called off")

// Migrate moves a running machine live, and proves on both hosts what came of it. A move that an earlier call began is waited for; one that it finished is
// only looked at. It halts when both hosts have the machine and that does not end by itself.
func (g *Guests) Migrate(ctx context.Context, vm string, from, to model.Node, report func(plan.Progress)) error {
	m := &move{g: g, vm: vm, from: from, to: to, report: report}
	if err := m.connect(ctx); err != nil {
		return err
	}
	defer m.close()
	here, there, err := m.look(ctx)
	if err != nil {
		return err
	}
	if here.Active() {
		waited, err := m.await(ctx, here)
		if !waited || errors.Is(err, errGivenUp) {
			if here, there, err = m.look(ctx); err != nil {
				return err
			}
		} else {
			return err
		}
	}
	switch {
	case there.Active():
		// It has arrived, or both hosts have it for a moment yet, or it is unknown.
		if err := m.settled(ctx); err != nil {
			return err
		}
		return errors.Join(m.finish(ctx, there), m.tidy(ctx, there))
	case !here.Active():
		return fmt.Errorf("%s: %w that runs on %s or %s", vm, kvm.ErrNoDomain, from.Path, to.Path)
	}
	if err := m.admit(ctx, here); err != nil {
		return err
	}
	return m.move(ctx, here)
}

// errGivenUp says that a move that was under way has ended where it began, and not by us.
var errGivenUp = errors.New("an earlier move was given up")

// await waits for a move that an earlier call began; false when there is none.
func (m *move) await(ctx context.Context, here kvm.Observed) (bool, error) {
	within, cancel := m.within(ctx, here.MemoryMiB)
	defer cancel()
	waited, err := m.src.Await(within, m.vm, m.bytes)
	if err != nil || !waited {
		return err != nil, err
	}
	switch err := m.settled(ctx); {
	case err == nil:
		return true, errors.Join(m.finish(ctx, here), m.tidy(ctx, here))
	case within.Err() != nil:
		return true, errors.Join(context.Cause(within), err)
	case errors.Is(err, kvm.ErrMigrate):
		return true, errGivenUp
	default:
		return true, err
	}
}

// move moves it.
func (m *move) move(ctx context.Context, here kvm.Observed) error {
	address, ok := facts.Migration(m.g.VMs.Desired, m.to)
	if !ok {
		return fmt.Errorf("%s has no address on a network of the plane %q", m.to.Path, model.PlaneMigration)
	}
	how := kvm.Move{To: address, MiBs: m.speed(), Report: m.bytes}
	for _, name := range here.Traits.Boot {
		if err := copyFile(ctx, m.g.VMs.Links.To(m.from), m.g.fenced(m.to), name); err != nil {
			return fmt.Errorf("%s: bring what %s boots from: %w", m.to.Path, m.vm, err)
		}
	}
	disks, err := m.blanks(ctx, here)
	if err != nil {
		return errors.Join(err, m.discard(ctx, disks))
	}
	total := here.MemoryMiB
	var copied []string
	for _, d := range disks {
		how.Copy, copied, total = append(how.Copy, d.Target), append(copied, d.Path), total+d.mib
	}
	within, cancel := m.within(ctx, total)
	defer cancel()
	err = noRoom(m.src.Migrate(within, m.vm, how))
	if ended := m.settled(ctx); ended != nil {
		err = errors.Join(err, ended)
		if errors.Is(ended, kvm.ErrMigrate) {
			err = errors.Join(err, m.discard(ctx, disks))
		}
		return err
	}
	if err != nil && m.g.Log != nil {
		m.g.Log.Warn("a move was said to have failed, and the machine has arrived", "vm", m.vm, "to", string(m.to.Path), "error", err)
	}
	return errors.Join(m.finish(ctx, here), m.retire(ctx, copied))
}

// within is ctx until the deadline of a move of so much memory and disks.
func (m *move) within(ctx context.Context, mib int) (context.Context, context.CancelFunc) {
	limit := MoveDeadline
	if m.g.Deadline != nil {
		limit = m.g.Deadline
	}
	return context.WithTimeoutCause(ctx, limit(mib), fmt.Errorf("%w after %s", ErrSlow, limit(mib)))
}

// move is one call of Migrate.
type move struct {
	g        *Guests
	vm       string
	from, to model.Node
	report   func(plan.Progress)
	src, dst *kvm.Conn
}

func (m *move) connect(ctx context.Context) error {
	src, err := kvm.Connect(ctx, m.g.fenced(m.from))
	if err != nil {
		return fmt.Errorf("%s: %w", m.from.Path, err)
	}
	dst, err := kvm.Connect(ctx, m.g.fenced(m.to))
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", m.to.Path, err), src.Close())
	}
	m.src, m.dst = src, dst
	return nil
}

func (m *move) close() {
	_, _ = m.src.Close(), m.dst.Close() // what was asked has been answered
}

func (m *move) bytes(done, total int64) {
	m.report(plan.Progress{Text: "memory of " + m.vm, Done: done, Total: total})
}

// look reads the machine on both hosts; the zero value where there is none.
func (m *move) look(ctx context.Context) (here, there kvm.Observed, err error) {
	get := func(c *kvm.Conn, n model.Node) (kvm.Observed, error) {
		d, err := c.Get(ctx, m.vm)
		if errors.Is(err, kvm.ErrNoDomain) {
			return kvm.Observed{}, nil
		}
		if err != nil {
			err = fmt.Errorf("look for %s on %s: %w", m.vm, n.Path, err)
		}
		return d, err
	}
	here, err1 := get(m.src, m.from)
	there, err2 := get(m.dst, m.to)
	if err := errors.Join(err1, err2); err != nil {
		return here, there, err
	}
	if here.UUID != "" && there.UUID != "" && here.UUID != there.UUID {
		return here, there, fmt.Errorf("%s has another virtual machine of the name %s (%s, not %s): rename one of the two", m.to.Path, m.vm, there.UUID, here.UUID)
	}
	return here, there, nil
}

func (m *move) unknown(why string) error {
	return &ops.HaltedError{What: fmt.Sprintf("migrate %s from %s to %s", m.vm, m.from.Path, m.to.Path),
		Why: []string{why + ": where it runs is unknown; look at it on both hosts (virsh domstate --reason), and leave it on one"}}
}

// How long both hosts may take to agree where the machine is after a move has ended: each has to clean up, and tells the other.
const (
	settleWait = 30 * time.Second
	settlePoll = 250 * time.Millisecond
)

// settled proves on both hosts where the machine is now, over sessions of its own, since those of the move may have broken: nil when it is at its destination and
// gone from its source, ErrMigrate when it is at its source and nowhere else. Anything else is unknown, and halts.
func (m *move) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	fresh := &move{g: m.g, vm: m.vm, from: m.from, to: m.to, report: m.report}
	if err := fresh.connect(ctx); err != nil {
		return m.unknown("a host does not answer after the move: " + err.Error())
	}
	defer fresh.close()
	for {
		here, there, err := fresh.look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return m.unknown(err.Error())
		case err == nil && there.Active() && !there.Arriving && !here.Active():
			return fresh.leave(ctx, here)
		case err == nil && here.Active() && !here.Arriving && !there.Active():
			return fmt.Errorf("%w: it is %s on %s, and not on %s", kvm.ErrMigrate, here.State, m.from.Path, m.to.Path)
		}
		t := time.NewTimer(settlePoll)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return m.unknown(fmt.Sprintf("%s after the move it is %q on %s and %q on %s", settleWait, here.State, m.from.Path, there.State, m.to.Path))
		}
	}
}

// leave takes away what a move has left of the machine at its source: a description of something that runs elsewhere must not be started.
func (m *move) leave(ctx context.Context, here kvm.Observed) error {
	if here.UUID == "" {
		return nil
	}
	return m.src.Forget(ctx, m.vm, here.UUID)
}

// finish gives the machine back what libvirt does not take along.
func (m *move) finish(ctx context.Context, was kvm.Observed) error {
	want := was.Autostart
	if vm, ok := m.g.VMs.declared(m.vm); ok && was.Ours {
		want = m.g.VMs.domain(vm, was.Accelerated).Autostart
	}
	if !want {
		return nil
	}
	if err := m.dst.Autostart(ctx, m.vm, true); err != nil {
		return fmt.Errorf("%s runs on %s now: %w", m.vm, m.to.Path, err)
	}
	return nil
}

// admit finds out before anything moves whether the destination takes the machine.
func (m *move) admit(ctx context.Context, d kvm.Observed) error {
	if fixed, _ := m.g.VMs.policy(d); fixed != "" {
		return fmt.Errorf("%s: %w: %s", m.vm, kvm.ErrMigrate, fixed)
	}
	link := m.g.VMs.Links.To(m.to)
	if err := cordoned(ctx, link, m.to); err != nil {
		return err
	}
	if err := m.src.CanTake(ctx, m.vm, m.dst); err != nil {
		return fmt.Errorf("%s: %w", m.to.Path, err)
	}
	if d.Traits.NUMACells > 0 {
		return nil // QEMU takes huge pages at once, or refuses
	}
	res, err := link.Run(ctx, remote.Command{Argv: []string{"sed", "-n", `s/^MemAvailable: *\([0-9]*\) kB$/\1/p`, "/proc/meminfo"}})
	if err != nil {
		return fmt.Errorf("%s: read how much memory it has left: %w", m.to.Path, err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(res.Stdout)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s: read how much memory it has left: %w", m.to.Path, err)
	}
	// Beside its memory a guest needs page tables and what QEMU needs for itself.
	if need := int64(d.MemoryMiB) + int64(d.MemoryMiB)/64 + 64; kib>>10 < need {
		return fmt.Errorf("%s: %w: %s needs %d MiB, and %d MiB are left", m.to.Path, ops.ErrNoRoom, m.vm, need, kib>>10)
	}
	return nil
}

// noRoom gives refusals of the destination the name that ops know.
func noRoom(err error) error {
	if errors.Is(err, kvm.ErrNoMemory) || errors.Is(err, kvm.ErrCordoned) {
		return fmt.Errorf("%w: %w", ops.ErrNoRoom, err)
	}
	return err
}

// speed is what migrations may use of the slower of the two network cards, MiB/s; 0 when the inventory does not say.
func (m *move) speed() int {
	least := 0
	for _, p := range m.g.VMs.Desired.Profiles {
		if s := p.MigrationMiBs; s > 0 && (p.Name == m.from.Profile || p.Name == m.to.Profile) && (least == 0 || s < least) {
			least = s
		}
	}
	return least
}

// copyFile brings a file from one host to the same place on another, unless it is there with the same content.
func copyFile(ctx context.Context, from, to remote.Host, name string) error {
	var sums [2]string
	for i, h := range []remote.Host{from, to} {
		res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", `[ ! -e "$1" ] || sha256sum <"$1"`, "sum", name}})
		if err != nil {
			return err
		}
		sums[i] = string(res.Stdout)
	}
	if sums[0] != "" && sums[0] == sums[1] {
		return nil
	}
	kept, err := os.CreateTemp("", "nubo-")
	if err != nil {
		return err
	}
	defer os.Remove(kept.Name())
	defer kept.Close()
	if _, err := from.Run(ctx, remote.Command{Argv: []string{"cat", "--", name}, Stdout: kept}); err != nil {
		return err
	}
	if _, err := to.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", "--", path.Dir(name)}}); err != nil {
		return err
	}
	return to.Write(ctx, remote.File{Path: name, Mode: 0o644, Content: kept})
}
