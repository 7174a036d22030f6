package inventory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// What validate lets through, the drivers take, and the other way round.
func TestAddressesAgreeWithDrivers(t *testing.T) {
	for address, good := range map[string]bool{
		"redfish+https://10.0.0.1:8443/redfish/v1/Systems/1":           true,
		"redfish://bmc.example/redfish/v1/Systems/437XR1138R2":         true,
		"redfish+https://10.0.0.1":                                     true,
		"redfish+https://10.0.0.1/redfish/v1/":                         true,
		"ilo5-redfish://10.0.0.1/redfish/v1/Systems/1":                 true,
		"idrac-redfish+https://i/redfish/v1/Systems/System.Embedded.1": true,
		"redfish-virtualmedia+https://h/redfish/v1/Systems/1":          true,
		"ipmi://10.0.0.1":               true,
		"ipmi://[fd00::1]:6230":         true,
		"ipmi://10.0.0.1?ciphersuite=3": true,
		"10.0.0.1:623":                  true,
		"redfish+https://admin:hunter2@10.0.0.1/redfish/v1/Systems/1": false,
		"redfish+https:///redfish/v1/Systems/1":                       false,
		"redfish+https://h/Systems/1":                                 false,
		"redfish+https://h/redfish/v1/Systems/1?x=1":                  false,
		"redfish+https://h:70000/redfish/v1/Systems/1":                false,
		"ipmi://h/path":                       false,
		"ipmi://h?privilegelevel=USER":        false,
		"ipmi://under_score":                  false,
		"libvirt://h":                         false,
		"ibmc+https://h/redfish/v1/Systems/1": false,
		"gopher://h":                          false,
	} {
		src := fmt.Sprintf("cloud \"x\" {\n  domain = \"x.test\"\n}\nnetwork \"n\" {\n  cidr = \"10.9.0.0/24\"\n  dhcp {}\n}\nprofile \"p\" {\n  image = \"i\"\n  roles = [\"compute\"]\n"+
			"  root_device { serial = \"x\" }\n}\nsite \"s\" {\n  region \"r\" {\n    zone \"z\" {\n      rack \"k\" {\n        node \"n\" {\n          profile = \"p\"\n          bmc {\n"+
			"            address = %q\n            credentials = secret(\"b\")\n%s          }\n          nic \"e\" { mac = \"02:00:00:00:00:01\" }\n        }\n      }\n    }\n  }\n}\n",
			address, map[bool]string{true: "", false: "            insecure = true\n"}[strings.HasPrefix(address, "ipmi") || strings.HasPrefix(address, "10.")])
		_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(src)}, Options{})
		if !diags.HasErrors() != good {
			t.Errorf("%s: validate says %v", address, diags)
		}
		if _, err := bmc.ParseAddress(address); (err == nil) != good {
			t.Errorf("%s: the drivers say %v", address, err)
		}
		for _, d := range diags {
			if strings.Contains(d.String(), "hunter2") {
				t.Errorf("a password is quoted: %s", d)
			}
		}
	}
}

func TestFirmwareOfAMachine(t *testing.T) {
	for _, c := range []struct{ place, own, want, complaint string }{
		{"", "", "", ""},
		{"firmware = \"uefi\"", "", "uefi", ""},
		{"firmware = \"uefi\"", "firmware = \"bios\"", "bios", ""},
		{"", "firmware = \"efi\"", "", "\"efi\" is no firmware"},
	} {
		src := fmt.Sprintf(`cloud "x" {
  domain = "x.test"
}
network "n" {
  cidr = "10.9.0.0/24"
  dhcp {}
}
profile "p" {
  image = "i"
  roles = ["compute"]
  root_device { serial = "x" }
}
site "s" {
  region "r" {
    zone "z" {
      rack "k" {
        bmc {
          credentials = secret("b")
          %s
        }
        node "n" {
          profile = "p"
          bmc {
            address = "ipmi://10.0.0.1"
            %s
          }
          nic "e" { mac = "02:00:00:00:00:01" }
        }
      }
    }
  }
}
`, c.place, c.own)
		inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(src)}, Options{})
		if c.complaint != "" {
			if !diags.HasErrors() || !strings.Contains(fmt.Sprint(diags), c.complaint) {
				t.Errorf("%s %s: %v, want a complaint: %s", c.place, c.own, diags, c.complaint)
			}
			continue
		}
		if diags.HasErrors() {
			t.Fatalf("%s %s: %v", c.place, c.own, diags)
		}
		if got := inv.Desired.Nodes[0].BMC.Firmware; got != c.want {
			t.Errorf("%s %s: %q, want %q", c.place, c.own, got, c.want)
		}
	}
}
