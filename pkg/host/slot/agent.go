package slot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// agentPath is where every slot has nubo's agent.
const agentPath = "/usr/lib/nubo/nubo-agent"

// ErrRefused: the agent found that a precondition does not hold, and changed nothing.
var ErrRefused = errors.New("host refused")

// refused is the agent's exit status for that.
const refused = 3

// Condition is what a slot is worth.
type Condition string

// The conditions. Writing: its writing has not come to an end, it cannot be booted. Written: complete, not proven. Good: was booted and
// declared good.
const (
	Empty   Condition = "empty"
	Writing Condition = "writing"
	Written Condition = "written"
	Good    Condition = "good"
)

// Status is what the agent tells about both slots (`nubo-agent slot status`).
type Status struct {
	FormatVersion int    `json:"format_version"`
	Booted        string `json:"booted"`       // a or b
	Default       string `json:"default_slot"` // booted unless told otherwise
	Next          string `json:"next_slot"`    // booted once, next time; empty: none
	Slots         []Slot `json:"slots"`
}

// Slot is one of the two.
type Slot struct {
	Name      string       `json:"name"`
	Image     model.Digest `json:"image"`
	Config    model.Digest `json:"config"`
	Order     string       `json:"order"`
	Condition Condition    `json:"state"`
}

// Slot gives one slot by name.
func (s Status) Slot(name string) (Slot, bool) {
	for _, one := range s.Slots {
		if one.Name == name {
			return one, true
		}
	}
	return Slot{}, false
}

// Idle gives the name of the slot that is not booted.
func (s Status) Idle() string {
	if s.Booted == "a" {
		return "b"
	}
	return "a"
}

// Agent is nubo's agent on a host.
type Agent struct {
	Host remote.Host
	// Epoch is the fencing epoch of the caller's lease; the host refuses one that is older than the last it saw. 0 sends none.
	Epoch int64
	// Path is where the agent is; empty: /usr/lib/nubo/nubo-agent.
	Path string
}

// Status looks at both slots without changing anything.
func (a Agent) Status(ctx context.Context) (Status, error) {
	return a.ask(ctx, a.command("status"))
}

// Try has the slot booted once, next time; it does not reboot. The default stays until Good, and the host restarts into it when that has not come
// within deadline of the boot; 0: the agent's own.
func (a Agent) Try(ctx context.Context, slot string, deadline time.Duration) (Status, error) {
	if err := checkName(slot); err != nil {
		return Status{}, err
	}
	words := []string{"try", "--slot", slot}
	if deadline > 0 {
		words = append(words, "--deadline", deadline.String())
	}
	return a.ask(ctx, a.change(words...))
}

// Good makes the booted slot the default.
func (a Agent) Good(ctx context.Context) (Status, error) { return a.ask(ctx, a.change("good")) }

// Cancel takes back a Try that was not booted yet.
func (a Agent) Cancel(ctx context.Context) (Status, error) { return a.ask(ctx, a.change("cancel")) }

func checkName(slot string) error {
	if slot != "a" && slot != "b" {
		return fmt.Errorf("slot %q: a host has the slots a and b", slot)
	}
	return nil
}

func (a Agent) command(words ...string) remote.Command {
	path := a.Path
	if path == "" {
		path = agentPath
	}
	return remote.Command{Argv: append([]string{path, "slot"}, words...)}
}

// change is a command that stamps the epoch.
func (a Agent) change(words ...string) remote.Command {
	if a.Epoch != 0 {
		words = append(words, "--epoch", strconv.FormatInt(a.Epoch, 10))
	}
	return a.command(words...)
}

// ask runs the agent and reads the status that every verb ends with.
func (a Agent) ask(ctx context.Context, cmd remote.Command) (Status, error) {
	verb := "slot " + cmd.Argv[2]
	res, err := a.Host.Run(ctx, cmd)
	if code, ran := remote.ExitCode(err); ran && code == refused {
		return Status{}, fmt.Errorf("%s: %w: %w", verb, ErrRefused, err)
	}
	if err != nil {
		return Status{}, fmt.Errorf("%s: %w", verb, err)
	}
	return parseStatus(verb, res.Stdout)
}

func parseStatus(verb string, raw []byte) (Status, error) {
	var s Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return Status{}, fmt.Errorf("%s: the agent's answer: %w", verb, err)
	}
	if s.FormatVersion != 1 {
		return Status{}, fmt.Errorf("%s: the agent answers in format %d, this program knows 1: use the release that installed the host", verb, s.FormatVersion)
	}
	return s, nil
}
