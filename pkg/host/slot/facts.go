package slot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Facts is what a running Debian host says about itself. What it does not know is empty.
type Facts struct {
	BootID    string        `json:"boot_id"` // of this boot: another one means that it was restarted (random(4), boot_id)
	MachineID string        `json:"machine_id"`
	Hostname  string        `json:"hostname"`
	OS        string        `json:"os"`       // ID of os-release(5): debian
	Version   string        `json:"version"`  // VERSION_ID: 13
	Codename  string        `json:"codename"` // VERSION_CODENAME: trixie
	Kernel    string        `json:"kernel"`   // uname -r
	Uptime    time.Duration `json:"uptime"`   // since this boot, in hundredths of a second
	// FailedUnits are systemd's units that have failed, sorted as systemctl does.
	FailedUnits []string `json:"failed_units,omitempty"`
	// Slot is the slot that was booted, a or b; empty on a host that nubo did not install.
	Slot string `json:"slot,omitempty"`
	// Image and Config are what the booted slot was made of (/etc/nubo/image.json); Order is the order that asked for it.
	Image  model.Digest `json:"image,omitempty"`
	Config model.Digest `json:"config,omitempty"`
	Order  string       `json:"order,omitempty"`
}

// factsScript prints sections: a line "== NAME", then lines that begin with one space.
const factsScript = `show() { printf '== %s\n' "$1"; sed 's/^/ /'; }
show boot_id </proc/sys/kernel/random/boot_id
show uptime </proc/uptime
show cmdline </proc/cmdline
uname -r | show kernel
uname -n | show hostname
cat /etc/machine-id 2>/dev/null | show machine_id
cat /etc/os-release 2>/dev/null | show os
cat /etc/nubo/image.json 2>/dev/null | show image
systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null | show failed`

// Observe reads the facts in one command. It changes nothing.
func Observe(ctx context.Context, h remote.Host) (Facts, error) {
	res, err := h.Run(ctx, remote.Command{Script: factsScript, Limit: 30 * time.Second})
	if err != nil {
		return Facts{}, fmt.Errorf("observe host: %w", err)
	}
	return Parse(res.Stdout)
}

// Parse reads what Observe's command printed.
func Parse(raw []byte) (Facts, error) {
	s, err := sections(raw)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{
		BootID: first(s["boot_id"]), MachineID: first(s["machine_id"]), Hostname: first(s["hostname"]), Kernel: first(s["kernel"]),
		Slot: bootedSlot(first(s["cmdline"])),
	}
	if f.BootID == "" || f.Kernel == "" {
		return Facts{}, errors.New("host did not tell its boot id and kernel: is /proc mounted there?")
	}
	for _, line := range s["failed"] {
		if words := strings.Fields(line); len(words) > 0 {
			f.FailedUnits = append(f.FailedUnits, words[0])
		}
	}
	f.release(s["os"])
	f.Uptime = uptime(first(s["uptime"]))
	return f, f.contents(s["image"])
}

// sections splits the script's output.
func sections(raw []byte) (map[string][]string, error) {
	out := map[string][]string{}
	name := ""
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, remote.MaxOutput)
	for lines.Scan() {
		line := lines.Text()
		if n, ok := strings.CutPrefix(line, "== "); ok {
			name = n
			out[name] = nil
			continue
		}
		text, ok := strings.CutPrefix(line, " ")
		if !ok || name == "" {
			return nil, fmt.Errorf("output of the host has a line outside of its sections: %.80q; does its shell print a greeting?", line)
		}
		out[name] = append(out[name], text)
	}
	return out, lines.Err()
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[0])
}

// bootedSlot reads the kernel's command line; the last word counts, as for the kernel.
func bootedSlot(cmdline string) string {
	slot := ""
	for _, word := range strings.Fields(cmdline) {
		if value, ok := strings.CutPrefix(word, "nubo.slot="); ok {
			slot = value
		}
	}
	if slot != "a" && slot != "b" {
		return ""
	}
	return slot
}

// release reads os-release(5).
func (f *Facts) release(lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch name {
		case "ID":
			f.OS = value
		case "VERSION_ID":
			f.Version = value
		case "VERSION_CODENAME":
			f.Codename = value
		}
	}
}

// uptime reads the first number of /proc/uptime, seconds with two decimals (proc(5)).
func uptime(line string) time.Duration {
	words := strings.Fields(line)
	if len(words) == 0 {
		return 0
	}
	seconds, err := strconv.ParseFloat(words[0], 64)
	if err != nil || seconds < 0 || seconds > 1e9 {
		return 0
	}
	return time.Duration(seconds*100) * 10 * time.Millisecond
}

// contents reads /etc/nubo/image.json, which hosts of others do not have.
func (f *Facts) contents(lines []string) error {
	text := strings.TrimSpace(strings.Join(lines, "\n"))
	if text == "" {
		return nil
	}
	var c struct {
		Image  model.Digest `json:"image"`
		Config model.Digest `json:"config"`
		Order  string       `json:"order"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("/etc/nubo/image.json on the host: %w", err)
	}
	f.Image, f.Config, f.Order = c.Image, c.Config, c.Order
	return nil
}
