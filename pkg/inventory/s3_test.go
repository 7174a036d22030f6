package inventory

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// gatewaySite is a region with three OSD hosts, of which the first serves S3, and what a case adds to its ceph block.
func gatewaySite(ceph, role string) string {
	return `
cloud "x" {
  domain = "x.test"
}
network "storage" {
  cidr = "10.1.0.0/24"
}
network "public" {
  cidr = "10.2.0.0/24"
}
profile "p" {
  image = "debian-13"
  roles = ["ceph-mon", "ceph-mgr", "ceph-osd"` + role + `]
  root_device {
    serial = "root-*"
  }
  osd_device {
    serial = "osd-*"
  }
}
site "s" {
  region "r" {
    ceph {
` + ceph + `
    }
    zone "z" {
      rack "a" {
        node "n" {
          for_each = range(1, 4)
          name     = format("n-%d", each.value)
          profile  = "p"
          bmc {
            address = format("redfish+https://bmc-%d.x.test/redfish/v1/Systems/1", each.value)
            pin     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
          }
          nic "eth0" {
            mac     = format("02:00:00:00:00:%02x", each.value)
            network = "storage"
          }
        }
      }
    }
  }
}
`
}

func TestS3(t *testing.T) {
	const rgw = `, "ceph-rgw"`
	for name, c := range map[string]struct {
		ceph, role string
		want       string // a mistake; empty: none about S3
		port       int
	}{
		"nothing said":        {"network = \"storage\"", rgw, "", model.S3Port},
		"a port":              {"network = \"storage\"\ns3 {\n  port = 7500\n}", rgw, "", 7500},
		"no port":             {"network = \"storage\"\ns3 {\n  port = 70000\n}", rgw, "70000 is no port", 70000},
		"no network":          {"s3 {\n  port = 80\n}", rgw, "on which network S3 is served is not said", 80},
		"nobody is there":     {"network = \"storage\"\ns3 {\n  network = \"public\"\n}", rgw, "has no card there", model.S3Port},
		"nobody serves":       {"network = \"storage\"\ns3 {\n  network = \"public\"\n}", "", "", model.S3Port},
		"two pools":           {"network = \"storage\"\npool \"a\" {\n  application = \"rgw\"\n}\npool \"b\" {\n  application = \"rgw\"\n}", rgw, "a and b holds what is in buckets", model.S3Port},
		"a pool of their own": {"network = \"storage\"\npool \"a\" {\n  application = \"rgw\"\n}\npool \"default.rgw.meta\" {\n  application = \"rgw\"\n}", rgw, "", model.S3Port},
		"too many copies":     {"network = \"storage\"\nfailure_domain = \"rack\"", rgw, "the pools of the object gateways have 3 copies", model.S3Port},
	} {
		t.Run(name, func(t *testing.T) {
			inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(gatewaySite(c.ceph, c.role))}, Options{Images: []string{"debian-13"}})
			said := ""
			for _, d := range diags {
				if !strings.Contains(d.Summary, "has no credentials") { // no matter here
					said += d.Summary + "\n"
				}
			}
			if (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
				t.Fatalf("%q is to be said, and it is:\n%s", c.want, said)
			}
			if got := inv.Desired.Regions[0].Ceph.GatewayPort(); got != c.port {
				t.Errorf("port %d", got)
			}
		})
	}
}
