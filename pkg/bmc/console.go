package bmc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/stmcginnis/gofish"
)

// RecordConsole writes what the machine's serial console prints into out, from now until the context ends, which is no error. It needs
// Serial-over-LAN, of which a BMC has one: ErrBusy while somebody else has it. Over Redfish it is ErrUnsupported: see ConsoleReader.
func RecordConsole(ctx context.Context, t Target, out io.Writer) error {
	const op = "record the serial console"
	addr, err := ParseAddress(t.Address)
	if err != nil {
		return err
	}
	c := &client{target: t, addr: addr}
	if addr.Protocol != IPMI {
		return c.lacks(op)
	}
	path, err := exec.LookPath("ipmitool")
	if err != nil {
		return c.wrap(op, &Error{Kind: ErrUnsupported, Cause: err, Remedy: "install the package ipmitool"})
	}
	err = c.wrap(op, ipmiTool{path: path, addr: addr, login: t.Credentials}.follow(ctx, out))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow runs ipmitool's Serial-over-LAN until the context ends. The session ends in an orderly way when ipmitool's input does, which is also what
// happens when this process dies; a killed ipmitool would leave it open until the BMC gives up.
func (t ipmiTool) follow(ctx context.Context, out io.Writer) error {
	cmd := exec.Command(t.path, "-v", "-I", "lanplus", "-C", fmt.Sprint(t.addr.CipherSuite), "-H", t.addr.Host, "-p", t.addr.Port, "-U", t.login.User, "-E", "sol", "activate")
	cmd.Env = []string{"IPMITOOL_PASSWORD=" + t.login.Password}
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &complaint
	input, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("ipmitool: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("ipmitool: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = input.Close()
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		err = <-ended
		kill.Stop()
	}
	said := strings.TrimSpace(complaint.String())
	switch {
	case strings.Contains(said, "already active"):
		return fault(ErrBusy, "ipmitool: %s", said).advise("somebody else has this console open; ipmitool sol deactivate ends that session")
	case err == nil:
		err = errors.New("the BMC ended it")
	}
	return ipmiFault(fmt.Errorf("ipmitool sol activate: %w: %s", err, said))
}

// ConsoleLog implements ConsoleReader.
func (c *client) ConsoleLog(ctx context.Context) (lines []string, err error) {
	const op = "read the console log"
	reader, ok := c.driver.(interface {
		consoleLog(context.Context) ([]string, error)
	})
	if !ok {
		return nil, c.lacks(op)
	}
	err = c.retry(ctx, op, func(ctx context.Context) error {
		lines, err = reader.consoleLog(ctx)
		return err
	})
	return lines, err
}

// hostLogger is the log service under which OpenBMC keeps what the host's serial console prints, a line in each entry's Message.
const hostLogger = "HostLogger"

// consolePage is how many lines are asked for.
const consolePage = 400

// consoleLog finds the log service HostLogger of the system and reads the end of its entries.
func (d *redfishDriver) consoleLog(ctx context.Context) (lines []string, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var system struct{ LogServices link }
		if _, err := get(api, d.system, &system); err != nil {
			return err
		}
		services, err := members(api, string(system.LogServices))
		if err != nil {
			return err
		}
		for _, path := range services {
			if strings.HasSuffix(strings.TrimRight(string(path), "/"), "/"+hostLogger) {
				lines, err = consoleEntries(api, string(path))
				return err
			}
		}
		return fault(ErrUnsupported, "the BMC has no log service %s", hostLogger)
	})
	return lines, err
}

// consoleEntries reads the last entries of a log service, which hands out the oldest first.
func consoleEntries(api *gofish.APIClient, service string) ([]string, error) {
	var log struct{ Entries link }
	if _, err := get(api, service, &log); err != nil {
		return nil, err
	}
	var page struct {
		Count   int `json:"Members@odata.count"`
		Members []struct{ Message word }
	}
	if _, err := get(api, string(log.Entries)+"?$top=1", &page); err != nil {
		return nil, err
	}
	skip := max(0, page.Count-consolePage)
	if _, err := get(api, fmt.Sprintf("%s?$skip=%d&$top=%d", log.Entries, skip, consolePage), &page); err != nil {
		return nil, err
	}
	lines := make([]string, len(page.Members))
	for i, m := range page.Members {
		lines[i] = string(m.Message)
	}
	return lines[max(0, len(lines)-consolePage):], nil
}
