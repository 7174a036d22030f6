package kvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// sockets are tried in this order: the monolithic daemon, then the modular one (https://libvirt.org/daemons.html).
var sockets = []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"}

// Conn is a session with a host's libvirt. Close it when done. When the context of a call ends, the session is closed with it, since
// libvirt's protocol cannot take a call back; make a new one then.
type Conn struct {
	lib  *libvirt.Libvirt
	wire net.Conn
	host remote.Host
}

// Connect opens a session with qemu:///system on the host. ErrNotRunning when no libvirt answers there.
func Connect(ctx context.Context, h remote.Host) (*Conn, error) {
	var errs []error
	for _, path := range sockets {
		wire, err := h.Dial(ctx, "unix", path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := &Conn{lib: libvirt.NewWithDialer(dialers.NewAlreadyConnected(wire)), wire: wire, host: h}
		err = c.call(ctx, "connect", func() error { return c.lib.ConnectToURI(libvirt.QEMUSystem) })
		if err == nil {
			return c, nil
		}
		_ = wire.Close()
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("connect to libvirt: %w", errors.Join(append([]error{ErrNotRunning}, errs...)...))
}

// Close ends the session.
func (c *Conn) Close() error {
	_ = c.lib.Disconnect() // fails when the other side is gone already
	return c.wire.Close()
}

// call runs one libvirt call; the end of ctx breaks the session, and with it the call.
func (c *Conn) call(ctx context.Context, what string, do func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	defer stop()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("libvirt: %s: %w", what, context.Cause(ctx))
	}
	err := do()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("libvirt: %s: %w", what, context.Cause(ctx))
	case libvirt.IsNotFound(err):
		return fmt.Errorf("libvirt: %s: %w: %w", what, ErrNoDomain, err)
	}
	return fmt.Errorf("libvirt: %s: %w", what, err)
}

// Accelerated reports whether the host can use KVM: the device can be written and the processor has the instructions. A device alone
// is not enough: guests hang where it opens on a processor without them.
func (c *Conn) Accelerated(ctx context.Context) (bool, error) {
	_, err := c.host.Run(ctx, remote.Command{Script: `[ -w /dev/kvm ] && grep -Eqw 'vmx|svm' /proc/cpuinfo || exit 3`})
	if code, ran := remote.ExitCode(err); ran && code == 3 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for KVM: %w", err)
	}
	return true, nil
}

// Observe gives versions and all domains. It changes nothing.
func (c *Conn) Observe(ctx context.Context) (Host, error) {
	var h Host
	var err error
	if h.Accelerated, err = c.Accelerated(ctx); err != nil {
		return Host{}, err
	}
	var lib, qemu uint64
	var domains []libvirt.Domain
	err = c.call(ctx, "read versions and list virtual machines", func() (err error) {
		if lib, err = c.lib.ConnectGetLibVersion(); err != nil {
			return err
		}
		if qemu, err = c.lib.ConnectGetVersion(); err != nil {
			return err
		}
		domains, _, err = c.lib.ConnectListAllDomains(1, 0)
		return err
	})
	if err != nil {
		return Host{}, err
	}
	h.Libvirt, h.QEMU = version(lib), version(qemu)
	if caps, err := c.capabilities(ctx, h.Accelerated); err == nil {
		h.CPU = hostCPU(caps)
	} else if ctx.Err() != nil {
		return Host{}, err
	}
	if h.Secrets, err = c.Secrets(ctx); err != nil {
		return Host{}, err
	}
	for _, dom := range domains {
		o, err := c.observe(ctx, dom)
		if errors.Is(err, ErrNoDomain) {
			continue // went away meanwhile
		}
		if err != nil {
			return Host{}, err
		}
		h.Domains = append(h.Domains, o)
	}
	sort.Slice(h.Domains, func(i, j int) bool { return h.Domains[i].Name < h.Domains[j].Name })
	return h, nil
}

// version decodes libvirt's 1000000*major + 1000*minor + release (virGetVersion).
func version(n uint64) string {
	return fmt.Sprintf("%d.%d.%d", n/1000000, n/1000%1000, n%1000)
}

// observe reads one domain.
func (c *Conn) observe(ctx context.Context, dom libvirt.Domain) (Observed, error) {
	var text, running string
	var state, reason, auto, persistent int32
	err := c.call(ctx, "read "+dom.Name, func() (err error) {
		if text, err = c.lib.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive); err != nil {
			return err
		}
		if running, err = c.lib.DomainGetXMLDesc(dom, 0); err != nil {
			return err
		}
		if state, reason, err = c.lib.DomainGetState(dom, 0); err != nil {
			return err
		}
		if persistent, err = c.lib.DomainIsPersistent(dom); err != nil || persistent == 0 {
			return err
		}
		auto, err = c.lib.DomainGetAutostart(dom)
		return err
	})
	if err != nil {
		return Observed{}, err
	}
	o, err := Parse(text)
	if err == nil {
		o.Traits, err = parseTraits(running, text)
	}
	if err != nil {
		return Observed{}, fmt.Errorf("%s: %w", dom.Name, err)
	}
	o.State, o.Autostart, o.Traits.Persistent = stateName(state), auto == 1, persistent == 1
	o.Arriving = o.State == Paused && (libvirt.DomainPausedReason(reason) == libvirt.DomainPausedMigration || libvirt.DomainPausedReason(reason) == libvirt.DomainPausedStartingUp)
	return o, nil
}

func stateName(n int32) State {
	switch libvirt.DomainState(n) {
	case libvirt.DomainRunning, libvirt.DomainBlocked:
		return Running
	case libvirt.DomainPaused:
		return Paused
	case libvirt.DomainShutdown:
		return Shutdown
	case libvirt.DomainShutoff:
		return Shutoff
	case libvirt.DomainCrashed:
		return Crashed
	}
	return State("state " + strconv.Itoa(int(n)))
}
