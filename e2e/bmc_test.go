//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

const anyPin = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// bmcs: what is wrong with a BMC is found before anything is changed, and said with what to do.
func bmcs(t *testing.T, r *rack.Rack) {
	c := r.NewCloud(t, "bmc", "ws")
	const trust = `ca          = file("bmc-ca.pem")`
	for name, wrong := range map[string]struct {
		file, from, to string
		says           []string
	}{
		"password":      {"secrets.dev-cleartext.json", `"nubo-lab"`, `"not this one"`, []string{"not authorised", "check the credentials"}},
		"pin":           {"rack.hcl", trust, `pin = "` + anyPin + `"`, []string{"not trusted", "compare the certificate"}},
		"serial number": {"rack.hcl", `"NUBO-%02d"`, `"OTHER-%02d"`, []string{"another machine", "NUBO-01", "correct the address or the serial number"}},
		"no answer":     {"rack.hcl", ":8443/", ":8444/", []string{"unreachable", "check that the BMC has power and network"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.Edit(t, wrong.file, wrong.from, wrong.to)()
			refusedByBMC(t, c, wrong.says...)
		})
	}
	t.Run("another certificate", func(t *testing.T) {
		thief := listenAs(t, r, "jump", "10.77.9.2:8443")
		defer c.Edit(t, "rack.hcl", `"redfish+https://10.77.9.%d:8443/redfish/v1/Systems/1", 10 +`, `"redfish+https://10.77.9.%d:8443/redfish/v1/Systems/1", 1 +`)()
		t.Run("authority", func(t *testing.T) {
			refusedByBMC(t, c, "not trusted", "compare the certificate")
			if got := thief.got(); got != "" {
				t.Errorf("something was sent to a BMC that nothing vouches for: %q", got)
			}
			if thief.calls() == 0 {
				t.Error("nobody called at all: the test proves nothing")
			}
		})
		t.Run("pin", func(t *testing.T) {
			defer c.Edit(t, "rack.hcl", trust, `pin = "`+anyPin+`"`)()
			refusedByBMC(t, c, "not trusted", thief.pin)
			if got := thief.got(); got != "" {
				t.Errorf("something was sent to a BMC with another pin: %q", got)
			}
		})
		t.Run("one that is trusted hears us", func(t *testing.T) { // otherwise the two before would prove nothing
			defer c.Edit(t, "rack.hcl", trust, `pin = "`+thief.pin+`"`)()
			c.Expect(rack.Within(t, 2*time.Minute), t, 1, "bmc", "info", "blade-01")
			holds(t, thief.got(), "/redfish/v1")
		})
	})
}

// refusedByBMC applies to blade-01, and expects to hear why not and what to do, with nothing changed.
func refusedByBMC(t *testing.T, c *rack.Cloud, says ...string) {
	t.Helper()
	run := c.Expect(rack.Within(t, 3*time.Minute), t, 1, "apply", "--yes", "--bmc-patience", "5s", "--target", "blade-01")
	holds(t, run.All(), append(says, "lab/r1/az1/a/blade-01")...)
	if strings.Contains(run.All(), "nubo-lab\"") || strings.Contains(run.All(), "not this one") {
		t.Errorf("a password was printed:\n%s", run.All())
	}
	if power := c.Rack.Power(t, "blade-01"); power != "off" {
		t.Errorf("blade-01 is %s now", power)
	}
}
