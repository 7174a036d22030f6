package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Guests implements ops.Guests where libvirt itself is the authority: every domain of a host counts, whoever defined it.
type Guests struct {
	VMs *VMs // what the inventory declares, the way to the hosts, and the epoch
	Log *slog.Logger
	// Deadline bounds a move by the machine's memory; nil: MoveDeadline.
	Deadline func(memoryMiB int) time.Duration
	// Grace is how long a machine that is stopped has to shut down; 0: holdGrace.
	Grace time.Duration

	rates rates
}

// holdGrace is what libvirt-guests gives on Debian, too, before it takes a guest's power.
const holdGrace = 5 * time.Minute

// MoveDeadline is how long a virtual machine may take to change hosts: five minutes, and half a minute for each GiB of its memory, which is 34 MiB/s. One that
// needs longer writes faster than the network carries.
func MoveDeadline(memoryMiB int) time.Duration {
	return 5*time.Minute + time.Duration(memoryMiB)*30*time.Second/1024
}

// List lists what is active on a host, and what was stopped by Hold.
func (g *Guests) List(ctx context.Context, n model.Node) ([]ops.Guest, error) {
	link := g.VMs.Links.To(n)
	c, err := kvm.Connect(ctx, link)
	if errors.Is(err, kvm.ErrNotRunning) && !facts.Carries(n) {
		return nil, noQEMU(ctx, link, n) // a host without libvirt
	}
	if err != nil {
		return nil, fmt.Errorf("%s: list its virtual machines: %w", n.Path, err)
	}
	defer c.Close()
	h, err := c.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: list its virtual machines: %w", n.Path, err)
	}
	rate := g.rates.of(ctx, g.Log, link, n, h.Domains)
	var out []ops.Guest
	for _, d := range h.Domains {
		if d.Active() || d.Held {
			fixed, onDrain := g.VMs.policy(d)
			out = append(out, ops.Guest{Name: d.Name, DirtyMiBs: rate[d.Name], Fixed: fixed != "", Consent: onDrain == drainStop, Held: d.Held && !d.Active(), Marked: d.Held && d.Active()})
		}
	}
	return out, nil
}

// noQEMU proves that no virtual machine runs on a host that has no libvirt.
func noQEMU(ctx context.Context, h remote.Host, n model.Node) error {
	res, err := h.Run(ctx, remote.Command{Script: `for f in /proc/[0-9]*/comm; do
  read -r name 2>/dev/null <"$f" || continue
  case $name in qemu-system*|qemu-kvm|kvm) echo "$f $name" ;; esac
done`})
	if err != nil {
		return fmt.Errorf("%s: look for virtual machines: %w", n.Path, err)
	}
	if len(res.Stdout) > 0 {
		return fmt.Errorf("%s: libvirt does not answer, and there are processes of virtual machines (%q): start libvirt there", n.Path, strings.TrimSpace(string(res.Stdout)))
	}
	return nil
}

// The words of on_drain.
const (
	drainStop = "stop_start"
	drainCopy = "block_migrate"
)

// policy says why a domain cannot be migrated, empty when it can, and what its owner says of a drain. The inventory speaks for machines that nuboctl defined
// from it, and for no other.
func (v *VMs) policy(d kvm.Observed) (fixed, onDrain string) {
	vm, declared := v.declared(d.Name)
	own := declared && d.Ours
	if own {
		onDrain = vm.OnDrain
	}
	return d.Traits.Tied(own, onDrain == drainCopy), onDrain
}

// Hold stops a machine whose owner consents, and marks it.
func (g *Guests) Hold(ctx context.Context, vm string, n model.Node) error {
	return g.change(ctx, "stop", vm, n, func(c *kvm.Conn) error {
		d, err := c.Get(ctx, vm)
		if err != nil {
			return err
		}
		if _, onDrain := g.VMs.policy(d); onDrain != drainStop {
			return &ops.HaltedError{What: "stop " + vm + " on " + string(n.Path), Why: []string{"its owner does not consent: nuboctl stops machines that its inventory declares with on_drain = \"" + drainStop + "\""}}
		}
		return c.Hold(ctx, vm, cmp.Or(g.Grace, holdGrace))
	})
}

// Release starts a held machine again.
func (g *Guests) Release(ctx context.Context, vm string, n model.Node) error {
	return g.change(ctx, "start", vm, n, func(c *kvm.Conn) error { return c.Release(ctx, vm) })
}

// change connects under the epoch.
func (g *Guests) change(ctx context.Context, what, vm string, n model.Node, do func(*kvm.Conn) error) error {
	c, err := kvm.Connect(ctx, g.fenced(n))
	if err == nil {
		defer c.Close()
		err = do(c)
	}
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", what, vm, n.Path, err)
	}
	return nil
}

func (g *Guests) fenced(n model.Node) remote.Fenced {
	return remote.Fenced{Host: g.VMs.Links.To(n), Epoch: g.VMs.Epoch}
}

// rates remembers how fast machines write to their memory, since measuring takes over a second and a drain lists again after every move.
type rates struct {
	mu   sync.Mutex
	last map[model.Path]measured
}

type measured struct {
	at   time.Time
	rate map[string]float64
}

// rateAge is how long a measurement is good enough to order moves by.
const rateAge = time.Minute

func (r *rates) of(ctx context.Context, log *slog.Logger, h remote.Host, n model.Node, domains []kvm.Observed) map[string]float64 {
	r.mu.Lock()
	last, ok := r.last[n.Path]
	r.mu.Unlock()
	fresh := ok && time.Since(last.at) < rateAge
	for _, d := range domains {
		if _, known := last.rate[d.Name]; d.State == kvm.Running && !known {
			fresh = false // somebody has started it since
		}
	}
	if fresh {
		return last.rate
	}
	rate := measure(ctx, log, h, n, domains)
	for _, d := range domains {
		rate[d.Name] += 0 // what cannot be measured is not asked again at once
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[model.Path]measured{}
	}
	r.last[n.Path] = measured{time.Now(), rate}
	return rate
}

// rateLimit bounds a measurement.
const rateLimit = 10 * time.Second

// measure gives the rates of running machines, MiB/s; why one could not be measured is logged, and it counts as 0. It has a session of its own, so that a
// question that libvirt does not answer in time ends that and nothing else.
func measure(ctx context.Context, log *slog.Logger, h remote.Host, n model.Node, domains []kvm.Observed) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, rateLimit)
	defer cancel()
	rate := map[string]float64{}
	c, err := kvm.Connect(ctx, h)
	if err == nil {
		defer c.Close()
		rate, err = c.Rates(ctx, domains)
	}
	if err != nil && log != nil {
		log.Warn("how fast virtual machines write to their memory is not known of all", "node", string(n.Path), "error", err)
	}
	return rate
}
