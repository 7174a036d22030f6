package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer"
	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/running"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/installer/stream"
	"github.com/nuboctl/nuboctl/pkg/order"
)

const slotUsage = `nubo-agent slot: the two slots of this host

  nubo-agent slot status                                            what they hold, which boots
  nubo-agent slot write --slot a|b --relay URL [--rate-limit MIBS]  fill the idle slot by the signed order on stdin
  nubo-agent slot try --slot a|b [--deadline 15m]                   boot it once at the next reboot
  nubo-agent slot good                                              make the booted slot the default
  nubo-agent slot cancel                                            take "try" back
  nubo-agent slot watch                                             reboot a tried slot that is not good in time (a unit runs it)

All but status and watch take --epoch N. The status is printed as JSON at the end; progress goes to stderr as JSON lines.
Exit status: 0 done, 1 error, 3 refused and nothing changed.
`

// privateMark tells the program that it is in a mount namespace of its own already.
const privateMark = "NUBO_AGENT_PRIVATE=1"

// maxOrder bounds the order on standard input, in bytes.
const maxOrder = 16 << 20

type slotArgs struct {
	verb     string
	slot     string
	relay    string
	epoch    int64
	rate     int64
	deadline time.Duration
}

func parseSlot(args []string) (slotArgs, error) {
	if len(args) == 0 {
		return slotArgs{}, errors.New("which verb?\n" + slotUsage)
	}
	a := slotArgs{verb: args[0]}
	f := flag.NewFlagSet("slot "+a.verb, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if a.verb == "write" || a.verb == "try" {
		f.StringVar(&a.slot, "slot", "", "a or b")
	}
	switch a.verb {
	case "status", "watch":
	case "write":
		f.StringVar(&a.relay, "relay", "", "http://ADDRESS:PORT")
		f.Int64Var(&a.rate, "rate-limit", 0, "MiB per second")
	case "try":
		f.DurationVar(&a.deadline, "deadline", 15*time.Minute, "time until it must be declared good")
	case "good", "cancel":
	default:
		return a, fmt.Errorf("unknown verb %q\n%s", a.verb, slotUsage)
	}
	f.Int64Var(&a.epoch, "epoch", 0, "fencing epoch")
	if err := f.Parse(args[1:]); err != nil {
		return a, fmt.Errorf("slot %s: %w\n%s", a.verb, err, slotUsage)
	}
	if f.NArg() > 0 {
		return a, fmt.Errorf("slot %s: unexpected argument %q", a.verb, f.Arg(0))
	}
	if (a.verb == "write" || a.verb == "try") && a.slot != "a" && a.slot != "b" {
		return a, fmt.Errorf("slot %s: --slot must be a or b", a.verb)
	}
	return a, nil
}

// slots runs one verb in a mount namespace of its own, so that no mount of it is ever seen or left behind.
func slots(args []string) int {
	a, err := parseSlot(args)
	if err == nil && os.Getenv("NUBO_AGENT_PRIVATE") == "" {
		return private()
	}
	if err == nil {
		err = a.run()
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, running.ErrRefused):
		fmt.Fprintln(os.Stderr, err)
		return 3
	default:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
}

// private starts this program again in its own mount namespace and passes its exit status on.
func private() int {
	runtime.LockOSThread() // the child's parent-death signal is bound to this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), privateMark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nubo-agent slot:", err)
		return 1
	}
	return 0
}

func (a slotArgs) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("read the kernel command line: %w", err)
	}
	h := running.Host{
		Root: "/", Work: "/run/nubo-slot", Booted: installer.Argument(string(cmdline), "nubo.slot"),
		Runner: run.Exec{}, Device: running.ByPartUUID,
	}
	if a.verb == "watch" {
		return watch(ctx, h, installer.Argument(string(cmdline), "nubo.try"))
	}
	if a.verb != "status" {
		release, err := h.Claim(a.epoch)
		if err != nil {
			return err
		}
		defer release()
	}
	if err := a.do(ctx, h); err != nil {
		return err
	}
	status, err := h.Status()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(status)
}

func (a slotArgs) do(ctx context.Context, h running.Host) error {
	switch a.verb {
	case "write":
		return a.write(ctx, h)
	case "try":
		return h.Try(a.slot, a.deadline)
	case "good":
		return h.Good(ctx)
	case "cancel":
		return h.Cancel()
	default:
		return nil
	}
}

// watch runs as a unit in a system on trial; the deadline is counted from its boot.
func watch(ctx context.Context, h running.Host, seconds string) error {
	n, err := strconv.Atoi(seconds)
	if err != nil || n <= 0 {
		n = int((15 * time.Minute).Seconds())
	}
	var up unix.Sysinfo_t
	if err := unix.Sysinfo(&up); err != nil {
		return fmt.Errorf("time since boot: %w", err)
	}
	left := time.Duration(n)*time.Second - time.Duration(up.Uptime)*time.Second
	return h.Watch(ctx, left, 30*time.Second, func(line string) { fmt.Println(line) })
}

func (a slotArgs) write(ctx context.Context, h running.Host) error {
	var signed order.Signed
	if err := json.NewDecoder(io.LimitReader(os.Stdin, maxOrder)).Decode(&signed); err != nil {
		return fmt.Errorf("%w: the signed order on standard input: %w", running.ErrRefused, err)
	}
	trust, err := os.ReadFile(slot.TrustFile)
	if err != nil {
		return fmt.Errorf("the keys to trust: %w", err)
	}
	keys, err := installer.ParseTrust(trust)
	if err != nil {
		return err
	}
	relay, err := client.New(a.relay)
	if err != nil {
		return fmt.Errorf("%w: %w", running.ErrRefused, err)
	}
	// The virtual machines on this host come first.
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 10); err != nil {
		return fmt.Errorf("lower the priority: %w", err)
	}
	say := lines()
	serial, macs := installer.Identity("/sys")
	return h.Write(ctx, running.Write{
		Slot: a.slot, Signed: signed, Keys: keys, Trust: trust, Images: relay, Agent: "/proc/self/exe", Serial: serial, MACs: macs,
		Stream: stream.Options{
			BytesPerSecond: a.rate << 20,
			Progress:       func(done, total int64) { say(step{Step: "fetch", Done: done, Total: total}) },
			Retrying:       func(err error, next time.Duration) { say(step{Step: "retry", Text: err.Error()}) },
		},
		Step: func(phase, text string) { say(step{Step: phase, Text: text}) },
	})
}

// step is one line of progress.
type step struct {
	Step  string `json:"step"`
	Text  string `json:"text,omitempty"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
}

// lines writes progress to stderr; byte counts at most twice a second, and the last one.
func lines() func(step) {
	var last time.Time
	return func(s step) {
		if s.Total > 0 && s.Done < s.Total && time.Since(last) < 500*time.Millisecond {
			return
		}
		if s.Total > 0 {
			last = time.Now()
		}
		b, err := json.Marshal(s)
		if err == nil {
			fmt.Fprintln(os.Stderr, string(b))
		}
	}
}
