package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer"
	"github.com/nuboctl/nuboctl/pkg/installer/lldp"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// hold is how long a machine whose install failed stays on for somebody to look at it. Then it is switched off: it never starts over by
// itself, and a BMC sees plainly that it is not in use.
const hold = 30 * time.Minute

// install ends by a restart or by switching the machine off, and otherwise with an exit status.
func install() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	started := time.Now()
	log := func(line string) { fmt.Printf("nubo [%5.1fs] %s\n", time.Since(started).Seconds(), line) }
	log("nubo-agent " + version)
	err := attempt(ctx, log)
	log("memory at its highest: " + peak())
	if err != nil {
		log("NOT INSTALLED: " + err.Error())
		log(fmt.Sprintf("this machine is switched off in %s; nothing is tried again before it is asked to", hold))
		select {
		case <-time.After(hold):
		case <-ctx.Done():
			return 1
		}
		return end(log, unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	log("restarting into the installed system")
	return end(log, unix.LINUX_REBOOT_CMD_RESTART)
}

func attempt(ctx context.Context, log func(string)) error {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("read the kernel command line: %w", err)
	}
	trust, err := os.ReadFile("/etc/nubo/trust.pub")
	if err != nil {
		return fmt.Errorf("read the keys to trust: %w", err)
	}
	i, err := installer.New(installer.Options{
		Relay: installer.Argument(string(cmdline), "nubo.relay"), OrderID: installer.Argument(string(cmdline), "nubo.order"),
		Trust: trust, Agent: "/proc/self/exe", Sysroot: "/run/sysroot", Sys: "/sys", Proc: "/proc",
		Runner: run.Exec{Log: log}, SetClock: setClock, Log: log, Hear: lldp.Listen,
	})
	if err != nil {
		return err
	}
	return i.Run(ctx)
}

// peak is the most memory that this process has used (VmHWM of proc_pid_status(5), binary kilobytes), as text.
func peak() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return fmt.Sprintf("%.1f MB", float64(kib)*1024/1e6)
		}
	}
	return "not told by this kernel"
}

// setClock sets the system's clock. The clock in hardware is left to the installed system's time service.
func setClock(now time.Time) error {
	tv := unix.NsecToTimeval(now.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return fmt.Errorf("set the clock to %s: %w", now.UTC().Format(time.RFC3339), err)
	}
	return nil
}

// end restarts or switches off without asking any init: the disks are unmounted and synchronised.
func end(log func(string), how int) int {
	unix.Sync()
	if err := unix.Reboot(how); err != nil {
		log("restart: " + err.Error())
	}
	return 1
}
