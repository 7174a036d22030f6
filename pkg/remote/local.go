package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// Local is this machine as a Host: the same command lines, run by the local shell.
type Local struct {
	// Shell runs the command lines: program and leading arguments, "sh -c" when empty. With "nsenter … sh -c" it is another namespace's shell.
	Shell []string
}

// Name is what Local calls itself in errors.
const localName = "this machine"

// Run runs the command in a process group of its own, which is killed when ctx ends.
func (l Local) Run(ctx context.Context, cmd Command) (Result, error) {
	line, err := cmd.Line()
	if err != nil {
		return Result{}, &Error{Host: localName, Op: "run " + cmd.String(), Err: err}
	}
	shell := l.Shell
	if len(shell) == 0 {
		shell = []string{"sh", "-c"}
	}
	child := exec.CommandContext(ctx, shell[0], append(append([]string(nil), shell[1:]...), line)...)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	child.WaitDelay = 5 * time.Second
	out := newOutputs(cmd)
	child.Stdout, child.Stderr = &out.stdout, &out.stderr
	err = runFed(child, cmd.Stdin)
	return out.result(cmd), l.outcome(ctx, cmd, out, err)
}

// runFed runs a child without waiting for a reader that gives nothing more: os/exec would.
func runFed(child *exec.Cmd, stdin io.Reader) error {
	if stdin == nil {
		return child.Run()
	}
	pipe, err := child.StdinPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(pipe, stdin) }()
	if err := child.Wait(); err != nil {
		return err
	}
	return fedWell(fed)
}

// outcome turns what os/exec says into this package's errors.
func (Local) outcome(ctx context.Context, cmd Command, out *outputs, err error) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return &Error{Host: localName, Op: "run " + cmd.String(), Err: context.Cause(ctx)}
	case errors.As(err, &exit):
		status, _ := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return cmd.exitError(localName, -1, signalName(status.Signal()), out.stderr.bytes())
		}
		return cmd.exitError(localName, exit.ExitCode(), "", out.stderr.bytes())
	case err != nil:
		return &Error{Host: localName, Op: "run " + cmd.String(), Err: err}
	case out.overflowed():
		return &Error{Host: localName, Op: "run " + cmd.String(), Err: ErrTooMuchOutput}
	}
	return nil
}

// Write replaces a file.
func (l Local) Write(ctx context.Context, file File) error { return writeFile(ctx, l, file) }

// Dial connects to an address of this machine. It does not follow Shell into another network namespace; unix sockets work everywhere.
func (Local) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, &Error{Host: localName, Op: "dial " + network + " " + address, Err: errors.Join(ErrRefused, err)}
	}
	return conn, nil
}

// checkNetwork allows what SSH can forward.
func checkNetwork(network string) error {
	if network != "unix" && network != "tcp" {
		return fmt.Errorf("dial network %q: only unix and tcp can be reached through a host", network)
	}
	return nil
}

// signalName gives a signal as SSH names it (RFC 4254 6.10), without SIG.
func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL",
		syscall.SIGPIPE: "PIPE", syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV", syscall.SIGTERM: "TERM",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprint(int(s))
}
