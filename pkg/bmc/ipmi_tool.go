package bmc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ipmiTool runs Debian's ipmitool for what bmclib's driver cannot read. The password goes by
// the environment of that one process, as bmclib does it, never by its arguments.
type ipmiTool struct {
	path  string
	addr  Address
	login Credentials
}

// run returns what ipmitool prints. It is verbose, because only so does ipmitool tell a wrong
// password from a BMC that is not there.
func (t ipmiTool) run(ctx context.Context, args ...string) (string, error) {
	common := []string{"-v", "-I", "lanplus", "-C", strconv.Itoa(t.addr.CipherSuite),
		"-H", t.addr.Host, "-p", t.addr.Port, "-U", t.login.User, "-E", "-N", "5"}
	cmd := exec.CommandContext(ctx, t.path, append(common, args...)...)
	cmd.Env = []string{"IPMITOOL_PASSWORD=" + t.login.Password}
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ended := ctx.Err(); ended != nil {
		return "", &Error{Kind: ErrUnreachable, Cause: fmt.Errorf("ipmitool %s: no answer in time: %w", strings.Join(args, " "), ended), Remedy: remedies[ErrUnreachable]}
	}
	said := strings.ReplaceAll(complaint.String(), "Loading IANA PEN Registry...", "") // -v tells that too
	return out.String(), ipmiFault(fmt.Errorf("ipmitool %s: %w: %s", strings.Join(args, " "), err, said))
}

// complaints are how ipmitool's messages are understood; the first that fits counts.
var complaints = []struct {
	text   string
	kind   error
	remedy string
}{
	{"RAKP 2 HMAC is invalid", ErrAuth, ""},
	{"unauthorized name", ErrAuth, ""},
	{"invalid role", ErrAuth, privilegeRemedy},
	{"Set Session Privilege Level to", ErrAuth, privilegeRemedy},
	{"Requested privilege level exceeds limit", ErrAuth, privilegeRemedy},
	{"invalid integrity check value", ErrAuth, keyRemedy},
	{"unauthorized GUID", ErrAuth, keyRemedy},
	{"unauthorized role", ErrAuth, privilegeRemedy},
	{"Insufficient privilege", ErrAuth, "give the account the administrator privilege on the BMC"},
	{"invalid authentication algorithm", ErrUnsupported, cipherRemedy},
	{"no matching", ErrUnsupported, cipherRemedy}, // cipher suite, authentication algorithm, integrity payload
	{"invalid integrity algorithm", ErrUnsupported, cipherRemedy},
	{"invalid confidentiality algorithm", ErrUnsupported, cipherRemedy},
	{"is not what we requested", ErrUnsupported, cipherRemedy}, // it answers with a suite of its own choice
	{"does not support IPMI v2", ErrUnsupported, "the BMC speaks only IPMI 1.5, which sends what it does in the clear: renew its firmware, or use Redfish"},
	{"insufficient resources", ErrBusy, ""},
	{"Address lookup for", ErrUnreachable, "correct the host name in the address"},
	{"Unable to establish", ErrUnreachable, ""},
	{"Node busy", ErrBusy, ""},
	{"BMC initialization in progress", ErrBusy, ""},
	{"in update mode", ErrBusy, ""},
	{"not supported in present state", ErrBusy, "the BMC would in another state of the machine: wait until it has started or stopped"},
	{"activation limit reached", ErrBusy, "somebody else has this console open; ipmitool sol deactivate ends that session"},
	{"SOL payload disabled", ErrUnsupported, "switch Serial-over-LAN on in the BMC's settings, for this account too (ipmitool sol payload enable)"},
	{"Parameter not supported", ErrUnsupported, ""},
	{"Parameter out of range", ErrUnsupported, ""},
	{"Invalid data field", ErrUnsupported, ""},
	{"Invalid command", ErrUnsupported, ""},
	{"Unsupported", ErrUnsupported, ""},
	{"not present", ErrUnsupported, ""},
	{"record not found", ErrUnsupported, ""},
}

const (
	privilegeRemedy = "give the account the administrator privilege on the BMC, and for its LAN channel"
	keyRemedy       = "the BMC has a key of its own (K_g) beside the passwords, or another password: remove the key on the BMC, or correct the password"
)

const cipherRemedy = "the BMC does not offer cipher suite 17: renew its firmware, or, if SHA-1 is acceptable on its network, add ?ciphersuite=3 to the address"

// ipmiFault gives an error of ipmitool its kind.
func ipmiFault(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	for _, c := range complaints {
		if strings.Contains(err.Error(), c.text) {
			e := &Error{Kind: c.kind, Cause: err, Remedy: c.remedy}
			if e.Remedy == "" {
				e.Remedy = remedies[c.kind]
			}
			return e
		}
	}
	return &Error{Kind: ErrUnreachable, Cause: err, Remedy: remedies[ErrUnreachable]}
}
