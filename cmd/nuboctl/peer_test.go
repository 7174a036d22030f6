package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/local"
)

// peer is the other side of a test, as a process of its own: somebody who holds the lock, a BMC that answers, or one that accepts and says nothing.
func peer(args []string) int {
	var err error
	switch args[0] {
	case "lock":
		err = holdLock(args[1], args[2])
	case "redfish":
		err = serveRedfish(args[1], args[2], args[3])
	case "silent":
		err = saySomethingNever(args[1], args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// untilEnded waits for the test to end this process. It listens for the signal, since a program in which nothing can happen any more is ended by Go's
// runtime, where no C library is linked in.
func untilEnded() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	<-ended
	return nil
}

// holdLock takes the lease of a state directory, writes a file when it has it, and keeps it until the test ends.
func holdLock(dir, told string) error {
	s, err := local.Open(dir)
	if err != nil {
		return err
	}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := s.Acquire(context.Background(), "", state.Holder{User: "somebody", Host: "elsewhere", PID: os.Getpid(), Command: "nuboctl apply", Since: since}); err != nil {
		return err
	}
	if err := os.WriteFile(told, nil, 0o644); err != nil {
		return err
	}
	return untilEnded()
}

// saySomethingNever listens on a free port, writes it into a file, and another file when somebody has connected.
func saySomethingNever(port, connected string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := tell(port, l.Addr()); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close() // it stays open until the test ends
		if err := os.WriteFile(connected, nil, 0o644); err != nil {
			return err
		}
	}
}

// tell writes a port's number into a file, which appears whole.
func tell(file string, a net.Addr) error {
	_, number, err := net.SplitHostPort(a.String())
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(number), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// serveRedfish is the BMC of one machine, until the test ends. Its port and the pin of its certificate are written into files. While the file
// revert is there, it acknowledges writes and does not do them.
func serveRedfish(port, pin, revert string) error {
	machine := redfish.NewMemory(redfish.Info{Serial: "SERIAL-1", Manufacturer: "Maker", Model: "Blade 9"})
	service, err := redfish.New(machine, redfish.Options{User: "admin", Password: "correct horse", Fault: func(*http.Request) redfish.Fault {
		_, err := os.Stat(revert)
		return redfish.Fault{Revert: err == nil}
	}})
	if err != nil {
		return err
	}
	s := httptest.NewTLSServer(service)
	defer s.Close()
	if err := os.WriteFile(pin, []byte(bmc.PinOf(s.Certificate().Raw)), 0o644); err != nil {
		return err
	}
	if err := tell(port, s.Listener.Addr()); err != nil {
		return err
	}
	return untilEnded()
}
