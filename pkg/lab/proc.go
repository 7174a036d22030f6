package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is the record of a process that the lab started. A pid comes back for another process one day; pid, start time
// and boot together do not.
type Process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, field 22 of /proc/PID/stat (proc(5))
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
}

// Alive tells whether this very process still runs. One that has ended and waits to be reaped does not.
func (p Process) Alive() bool {
	if p.PID == 0 {
		return false
	}
	boot, err := bootID()
	if err != nil || boot != p.Boot {
		return false
	}
	start, state, err := procStat(p.PID)
	return err == nil && start == p.Start && state != 'Z' && state != 'X'
}

// stop ends the process: SIGTERM, and SIGKILL when it is still there after the grace.
func (p Process) stop(ctx context.Context, grace time.Duration) error {
	gone := func() (bool, error) { return !p.Alive(), nil }
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 10 * time.Second}} {
		if !p.Alive() {
			return nil
		}
		if err := syscall.Kill(p.PID, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end %s (pid %d): %w", p.Name, p.PID, err)
		}
		if err := waitFor(ctx, fmt.Sprintf("the end of %s (pid %d)", p.Name, p.PID), step.wait, gone); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%s (pid %d) is still there after SIGKILL: look for it with ps", p.Name, p.PID)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// procStat reads start time and state from /proc/PID/stat.
func procStat(pid int) (start uint64, state byte, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The command's name, in parentheses, may hold anything; the state is field 3, the start time field 22.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, fields[0][0], err
}

// records is the folder of process records, one file each.
type records string

func (r records) file(name string) string { return filepath.Join(string(r), name+".json") }

// get reads a record; the zero Process, which is not alive, when there is none.
func (r records) get(name string) (Process, error) {
	var p Process
	data, err := os.ReadFile(r.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return Process{}, fmt.Errorf("read the record of process %s: %w", name, err)
	}
	return p, nil
}

// alive tells whether the recorded process of that name runs.
func (r records) alive(name string) bool {
	p, err := r.get(name)
	return err == nil && p.Alive()
}

// list reads all records, by name.
func (r records) list() ([]Process, error) {
	files, err := filepath.Glob(filepath.Join(string(r), "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []Process
	for _, f := range files {
		p, err := r.get(strings.TrimSuffix(filepath.Base(f), ".json"))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// start runs a command in a session of its own, detached from ours, with its output added to a log file, and records it.
// The command is not awaited but reaped.
func (r records) start(name string, cmd *exec.Cmd, logFile string) (Process, error) {
	fail := func(err error) (Process, error) { return Process{}, fmt.Errorf("start %s: %w", name, err) }
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	p := Process{Name: name, PID: cmd.Process.Pid}
	p.Start, _, err = procStat(p.PID) // before the reaper: until then the pid is this process's
	if err == nil {
		p.Boot, err = bootID()
	}
	var data []byte
	if err == nil {
		data, err = json.Marshal(p)
	}
	if err == nil {
		err = writeFile(r.file(name), data, 0o600)
	}
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		return fail(err)
	}
	go func() { _ = cmd.Wait() }()
	return p, nil
}

// end ends the recorded process of that name and drops the record.
func (r records) end(ctx context.Context, name string, grace time.Duration) error {
	p, err := r.get(name)
	if err != nil {
		return err
	}
	if err := p.stop(ctx, grace); err != nil {
		return err
	}
	if err := os.Remove(r.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop the record of process %s: %w", name, err)
	}
	return nil
}

// lastLines gives the end of a log file for a message, or nothing.
func lastLines(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
