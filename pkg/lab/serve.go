package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

// rackdName is the daemon's process record.
const rackdName = "rackd"

// Serve is the rack's daemon: it answers for the BMCs and holds the control socket, until the context ends. It must run
// in the switch's namespace. Blades that run stay so when it ends. Self is the program whose "chassis" command ipmi_sim
// shall run.
func Serve(ctx context.Context, rack *Rack, d Dirs, self string, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	s := &server{rack: rack, dirs: d, self: self, log: log, group: group, machines: map[string]*machine{}}
	for _, b := range rack.Blades {
		s.machines[b.Name] = newMachine(b, d)
	}
	if err := s.start(ctx); err != nil {
		cancel()
		return errors.Join(err, group.Wait())
	}
	log.Info("the rack is served", "rack", rack.Name, "blades", len(rack.Blades), "kvm", haveKVM())
	return group.Wait()
}

// server is the daemon at work.
type server struct {
	rack     *Rack
	dirs     Dirs
	self     string
	log      *slog.Logger
	group    *errgroup.Group
	machines map[string]*machine
	ready    atomic.Bool
}

// start opens everything and then answers pings.
func (s *server) start(ctx context.Context) error {
	for _, n := range s.rack.Networks {
		if n.Time == "" {
			continue
		}
		if err := s.ntp(ctx, n.Time); err != nil {
			return err
		}
	}
	for _, b := range s.rack.Blades {
		if b.BMC.Protocol != "redfish" {
			continue
		}
		if err := s.redfish(ctx, s.machines[b.Name]); err != nil {
			return err
		}
	}
	if err := remove(s.dirs.control()); err != nil {
		return err
	}
	listener, err := net.Listen("unix", s.dirs.control())
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	s.serve(ctx, &http.Server{Handler: controlHandler(s.machines, s.ready.Load)}, listener)
	for _, b := range s.rack.Blades { // after the control socket, which their script asks
		line, err := s.serial(ctx, b)
		if err != nil {
			return err
		}
		if b.BMC.Protocol != "ipmi" {
			continue
		}
		if err := startIPMI(ctx, b, s.dirs, s.self, line); err != nil {
			return err
		}
		s.group.Go(func() error { keepIPMI(ctx, b, s.dirs, s.self, line, s.log); return nil })
	}
	s.ready.Store(true)
	return nil
}

// redfish starts the BMC of one blade.
func (s *server) redfish(ctx context.Context, m *machine) error {
	b := m.blade
	fail := func(err error) error { return fmt.Errorf("BMC of %s at %s: %w", b.Name, b.BMC.Address, err) }
	cert, err := bmcCertificate(s.rack, b, s.dirs, time.Now())
	if err != nil {
		return fail(err)
	}
	log := s.log.With("bmc", b.Name)
	handler, err := redfish.New(redfishMachine{m}, redfish.Options{User: b.BMC.User, Password: b.BMC.Password, Log: log})
	if err != nil {
		return fail(err)
	}
	listener, err := net.Listen("tcp", b.BMC.Address)
	if err != nil {
		return fail(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	s.serve(ctx, &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}, tls.NewListener(listener, config))
	return nil
}

// serve runs an HTTP server in the group until the context ends.
func (s *server) serve(ctx context.Context, server *http.Server, listener net.Listener) {
	server.ReadHeaderTimeout = 10 * time.Second
	s.group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
}
