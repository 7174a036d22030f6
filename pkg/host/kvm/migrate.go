package kvm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// ErrMigrate says that a domain was not moved: it runs where it ran.
var ErrMigrate = errors.New("virtual machine was not moved")

// ErrNoMemory says that a host has no memory for a domain.
var ErrNoMemory = errors.New("the host has no memory for it")

// Move says how a domain is moved.
type Move struct {
	To netip.Addr // of the other host's Migration
	// MiBs bounds the memory that crosses, MiB/s; 0: as fast as it goes.
	MiBs int
	// Copy names the disks that are copied too, by their targets ("vda"); files of that size must be there. All others are seen by both hosts.
	Copy []string
	// Report is told how many bytes have crossed, now and then; nil: nobody is.
	Report func(done, total int64)
}

// How long a guest may stand still while it changes hosts, ms. QEMU switches over when what is left crosses within it: a guest that writes little is not made to
// wait for longer than it must, and one that writes more is given more with each pass over its memory.
const (
	firstDowntime = 100
	mostDowntime  = 500
)

// Migrate moves a running domain to another host and does not stop it: this host's libvirt talks to that one's over TLS, and memory crosses in
// TLS too. Both hosts must be prepared (Migration), and have all of the domain's disks but those of Copy. A guest that writes faster than memory
// crosses is slowed down. It waits until the domain runs there; when ctx ends, the move is called off, and ErrMigrate is returned with the cause.
// The description moves with the domain.
func (c *Conn) Migrate(ctx context.Context, name string, m Move) error {
	dom, have, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if have.State != Running && have.State != Paused {
		return fmt.Errorf("move %s: %w: it is %s", name, ErrMigrate, have.State)
	}
	flags := libvirt.MigrateLive | libvirt.MigratePeer2peer | libvirt.MigratePersistDest | libvirt.MigrateUndefineSource |
		libvirt.MigrateTLS | libvirt.MigrateAutoConverge
	set := []libvirt.TypedParam{{Field: libvirt.MigrateParamURI, Value: *libvirt.NewTypedParamValueString("tcp://" + host(m.To))}}
	if m.MiBs > 0 {
		set = append(set, libvirt.TypedParam{Field: libvirt.MigrateParamBandwidth, Value: *libvirt.NewTypedParamValueUllong(uint64(m.MiBs))})
	}
	for _, target := range m.Copy {
		flags |= libvirt.MigrateNonSharedDisk
		set = append(set, libvirt.TypedParam{Field: libvirt.MigrateParamMigrateDisks, Value: *libvirt.NewTypedParamValueString(target)})
	}
	if err := c.bound(ctx, dom, firstDowntime); err != nil {
		return fmt.Errorf("move %s: %w: %w", name, ErrMigrate, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("move %s to %s: %w: %w", name, m.To, ErrMigrate, context.Cause(ctx))
	}
	stop := c.abortWith(ctx, dom)
	defer stop()
	done := c.watch(ctx, dom, m.Report)
	err = c.call(context.WithoutCancel(ctx), "move "+name, func() error {
		_, err := c.lib.DomainMigratePerform3Params(dom, optional("qemu+tls://"+host(m.To)+"/system"), set, nil, flags)
		return err
	})
	done()
	if err != nil {
		return fmt.Errorf("move %s to %s: %w: %w", name, m.To, ErrMigrate, errors.Join(context.Cause(ctx), refusal(err)))
	}
	return nil
}

// bound says how long a guest may stand still.
func (c *Conn) bound(ctx context.Context, dom libvirt.Domain, ms uint64) error {
	return c.call(ctx, "bound the standstill of "+dom.Name, func() error { return c.lib.DomainMigrateSetMaxDowntime(dom, ms, 0) })
}

// raise gives a guest more standstill when a pass over its memory asks for it, and returns the bound that it has then.
func (c *Conn) raise(ctx context.Context, dom libvirt.Domain, bound uint64, pass int64) uint64 {
	if next := downtime(pass); next > bound && c.bound(ctx, dom, next) == nil {
		return next
	}
	return bound
}

// downtime is how long a guest may stand still in a pass over its memory, counted from 1: half as much again with each pass behind the second.
func downtime(pass int64) uint64 {
	ms := uint64(firstDowntime)
	for ; pass > 2 && ms < mostDowntime; pass-- {
		ms += ms / 2
	}
	return min(ms, mostDowntime)
}

// refusal gives what the other host said its name, where it has one.
func refusal(err error) error {
	var said libvirt.Error
	if !errors.As(err, &said) {
		return err
	}
	for word, is := range map[string]error{"annot allocate memory": ErrNoMemory, "unable to map backing store": ErrNoMemory, cordonWord: ErrCordoned} {
		if strings.Contains(said.Message, word) {
			return fmt.Errorf("%w: %w", is, err)
		}
	}
	return err
}

// Await waits for a move that somebody began and nobody waits for, and returns when it has ended, however; when ctx ends, the move is called off.
// It reports false, and does not wait, when the domain is not on its way from here.
func (c *Conn) Await(ctx context.Context, name string, report func(done, total int64)) (bool, error) {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return false, err
	}
	stop := c.abortWith(ctx, dom)
	defer stop()
	bound := uint64(firstDowntime)
	for waited := false; ; waited = true {
		job, err := c.job(context.WithoutCancel(ctx), dom)
		if err != nil {
			// A domain that has just left has no job, and libvirt says so in several ways.
			if have, err2 := c.Get(context.WithoutCancel(ctx), name); errors.Is(err2, ErrNoDomain) || err2 == nil && !have.Active() {
				return waited, nil
			}
			return waited, err
		}
		if !job.moves {
			return waited, nil
		}
		if report != nil && job.total > 0 {
			report(job.total-job.left, job.total)
		}
		bound = c.raise(context.WithoutCancel(ctx), dom, bound, job.pass)
		if err := pause(context.WithoutCancel(ctx), jobPoll); err != nil {
			return true, err
		}
	}
}

// jobPoll is how often the progress of a move is asked for.
const jobPoll = 500 * time.Millisecond

// job is what libvirt tells of a domain's job, bytes.
type job struct {
	busy, moves bool // there is one; it is a move
	total, left int64
	pass        int64 // over the memory, from 1
}

func (c *Conn) job(ctx context.Context, dom libvirt.Domain) (job, error) {
	var kind int32
	var list []libvirt.TypedParam
	err := c.call(ctx, "look how far the move of "+dom.Name+" is", func() (err error) {
		kind, list, err = c.lib.DomainGetJobStats(dom, 0)
		return err
	})
	if err != nil {
		return job{}, err
	}
	values := params(list)
	number := func(name string) int64 {
		n, _ := values[name].(uint64)
		return int64(n)
	}
	operation, _ := values[libvirt.DomainJobOperationStr].(int32)
	running := libvirt.DomainJobType(kind) == libvirt.DomainJobBounded || libvirt.DomainJobType(kind) == libvirt.DomainJobUnbounded
	return job{busy: running, moves: running && libvirt.DomainJobOperation(operation) == libvirt.DomainJobOperationStrMigrationOut, total: number(libvirt.DomainJobDataTotal), left: number(libvirt.DomainJobDataRemaining), pass: number(libvirt.DomainJobMemoryIteration)}, nil
}

// watch tells how far a domain's move is, and raises the bound of its standstill, until the returned function is called, or ctx ends.
func (c *Conn) watch(ctx context.Context, dom libvirt.Domain, tell func(done, total int64)) (stop func()) {
	watching, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		bound := uint64(firstDowntime)
		for pause(watching, jobPoll) == nil {
			// A question under a context that ends would end the session, with the move that is waited for.
			j, err := c.job(context.WithoutCancel(ctx), dom)
			if err != nil || !j.moves {
				continue
			}
			if tell != nil && j.total > 0 {
				tell(j.total-j.left, j.total)
			}
			bound = c.raise(context.WithoutCancel(ctx), dom, bound, j.pass)
		}
	}()
	return func() { cancel(); <-ended }
}

// host writes an address as URIs do.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// A move is called off again and again for a while: it may not have begun when the first call comes.
const (
	abortPoll = time.Second
	abortWait = 20 * time.Second
)

// abortWith calls a domain's move off when ctx ends, until stop is called. Libvirt cannot take a call back, and a move that is left alone goes on. When
// that does not end it either, the session is ended, so that nobody waits for a host that is gone.
func (c *Conn) abortWith(ctx context.Context, dom libvirt.Domain) (stop func()) {
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		asking, cancel := context.WithTimeout(ended, abortWait)
		defer cancel()
		for asking.Err() == nil {
			// The session that waits for the move is the one that is used: libvirt answers calls beside it.
			_ = c.call(asking, "call off the move of "+dom.Name, func() error { return c.lib.DomainAbortJob(dom) })
			_ = pause(asking, abortPoll) // asking is looked at next
		}
		if ended.Err() == nil {
			_ = c.wire.Close()
		}
	})
	return cancel
}

// Autostart lets a domain start by itself with its host, or not.
func (c *Conn) Autostart(ctx context.Context, name string, on bool) error {
	dom, err := c.lookup(ctx, name)
	if err != nil {
		return err
	}
	value := int32(0)
	if on {
		value = 1
	}
	return c.call(ctx, "set autostart of "+name, func() error { return c.lib.DomainSetAutostart(dom, value) })
}

// Forget takes a description away that a move has left behind: of a domain that is off, by its UUID. No error when there is none.
func (c *Conn) Forget(ctx context.Context, name, uuid string) error {
	dom, have, err := c.find(ctx, name)
	switch {
	case errors.Is(err, ErrNoDomain):
		return nil
	case err != nil:
		return err
	case have.UUID != uuid:
		return fmt.Errorf("forget %s: it is another one (%s, not %s)", name, have.UUID, uuid)
	case have.Active():
		return fmt.Errorf("forget %s: %w", name, ErrActive)
	}
	flags := libvirt.DomainUndefineManagedSave | libvirt.DomainUndefineSnapshotsMetadata | libvirt.DomainUndefineNvram
	return c.call(ctx, "undefine "+name, func() error { return c.lib.DomainUndefineFlags(dom, flags) })
}
