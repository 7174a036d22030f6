package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// BMCConsole opens the serial console of one machine. Over IPMI that is Serial-over-LAN: the process becomes ipmitool, and does not return.
// Redfish has no serial console; the error then says where there is one. A BMC has one such session: take ends the one that somebody else has.
func BMCConsole(ctx context.Context, e Env, node string, take bool) error {
	n, secrets, err := e.loadNode(node)
	if err != nil {
		return err
	}
	a, err := bmc.ParseAddress(n.BMC.Address)
	if err != nil {
		return err
	}
	if a.Protocol != bmc.IPMI {
		return fmt.Errorf("%s: Redfish carries no serial console. Open the BMC's own: its page at %s/, or ssh to %s where the maker has one "+
			"(HPE iLO: vsp, Dell iDRAC: console com2, Lenovo XCC: console; OpenBMC: port 2200); for a blade of the virtual rack: nubo-lab console %s", n.Name, a.Endpoint(), a.Host, n.Name)
	}
	program, err := exec.LookPath("ipmitool")
	if err != nil {
		return fmt.Errorf("console of %s: %w; it is in Debian's package ipmitool", n.Name, err)
	}
	user, password, err := secrets.Resolve(n.BMC.Credentials)
	if err != nil {
		return fmt.Errorf("%s: BMC credentials: %w", n.Path, err)
	}
	common := []string{"ipmitool", "-I", "lanplus", "-C", strconv.Itoa(a.CipherSuite), "-H", a.Host, "-p", a.Port, "-U", user, "-E", "sol"}
	if take {
		end := exec.CommandContext(ctx, program, append(common[1:], "deactivate")...)
		end.Env = withPassword(os.Environ(), password)
		if out, err := end.CombinedOutput(); err != nil && !strings.Contains(string(out), "already de-activated") {
			return fmt.Errorf("console of %s: end the session that has it: %w: %s", n.Name, err, strings.TrimSpace(string(out)))
		}
	}
	e.note("Console of %s by Serial-over-LAN. To leave: Enter, then ~ and . (a tilde and a full stop)", n.Name)
	return fmt.Errorf("console of %s: become ipmitool: %w", n.Name, syscall.Exec(program, append(common, "activate"), withPassword(os.Environ(), password)))
}

// withPassword puts the password where ipmitool -E looks for it: the environment of that one process, which only its own user can read.
func withPassword(env []string, password string) []string {
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, "IPMITOOL_PASSWORD=") && !strings.HasPrefix(kv, "IPMI_PASSWORD=") {
			out = append(out, kv)
		}
	}
	return append(out, "IPMITOOL_PASSWORD="+password)
}
