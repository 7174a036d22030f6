package inventory

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// adoptedText is an inventory of one host that somebody else laid down: no image, BMC, disk or network of its first card is needed.
const adoptedText = `cloud "x" {
  domain = "x.test"
}
network "lan" {
  cidr = "10.0.0.0/24"
}
profile "found" {
  adopted = true
  roles   = ["compute", "ceph-mon", "ceph-osd"]
  bridge "br-ex" { uplink = "eth1" }
}
site "s" {
  region "r" {
    ceph {
      adopted = true
      fsid    = "11111111-2222-3333-4444-555555555555"
    }
    zone "z" {
      rack "a" {
        profile = "found"
        node "n1" {
          nic "eth0" { mac = "52:54:00:00:00:01" }
          nic "eth1" {
            mac     = "52:54:00:00:00:02"
            address = "10.0.0.11"
          }
        }
      }
    }
  }
}
`

func TestAdopted(t *testing.T) {
	inv, list := LoadFiles(map[string][]byte{"x.hcl": []byte(adoptedText)}, Options{})
	if list.HasErrors() {
		t.Fatal(list.Err())
	}
	d := inv.Desired
	if n := d.Nodes[0]; !n.Adopted || n.Image != (model.ImageRef{}) || n.BMC.Address != "" || n.NICs[0].Network != "" || n.NICs[1].Network != "lan" {
		t.Errorf("node: %+v", n)
	}
	if !d.Regions[0].Ceph.Adopted || !d.Profiles[0].Adopted {
		t.Errorf("region %+v, profile %+v", d.Regions[0].Ceph, d.Profiles[0])
	}
	vm := "vm \"v\" {\n  node = \"n1\"\n  image = \"a\"\n  memory_mib = 64\n}\n"
	if _, list := LoadFiles(map[string][]byte{"x.hcl": []byte(adoptedText + vm)}, Options{}); !strings.Contains(list.Err().Error(), "changes nothing there") {
		t.Errorf("a virtual machine on it: %v", list.Err())
	}
	for change, want := range map[[2]string]string{
		{"adopted = true\n  roles", "roles"}:                                     `profile "found" has no image`,
		{"adopted = true\n  roles", "image = \"a\"\n  adopted = true\n  roles"}:  "says image",
		{"adopted = true\n  roles", "butane = \"a\"\n  adopted = true\n  roles"}: "says butane",
		{`nic "eth0" {`, "bmc {}\n nic \"eth0\" {"}:                              "has no address",
	} {
		text := strings.Replace(adoptedText, change[0], change[1], 1)
		if _, list := LoadFiles(map[string][]byte{"x.hcl": []byte(text)}, Options{}); text == adoptedText || !strings.Contains(list.Err().Error(), want) {
			t.Errorf("%v: %v, want %q", change, list.Err(), want)
		}
	}
}
