package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is an inventory of one site to which a test adds, or in which it replaces one line.
const small = `cloud "c" {
  domain = "c.test"
}
network "prov" {
  cidr = "10.1.0.0/24"
  dhcp {}
}
network "stor" {
  cidr = "10.2.0.0/24"
  vlan = 101
}
profile "p" {
  image = "debian-13"
  roles = ["compute", "ceph-mon", "ceph-mgr", "ceph-osd"]
  cores = 8
  root_device { serial = "root-1" }
  osd_device { serial = "osd-*" }
  bridge "br-ex" {
    uplink = "eth0"
    vlan "stor0" { network = "stor" }
  }
}
site "s" {
  bmc {
    credentials = secret("bmc")
    insecure = true
  }
  region "r" {
    ceph {
      fsid = "c9cdd9cb-f074-4085-bf1e-b99afe9f7ab0"
      pool "vms" {}
    }
    zone "z" {
      rack "k" {
        profile = "p"
        node "b" {
          for_each = range(1, 4)
          name = format("b%d", each.value)
          bmc { address = format("redfish+https://10.9.0.%d/redfish/v1/Systems/1", each.value) }
          nic "eth0" { mac = format("52:54:00:00:00:%02x", each.value) }
        }
      }
    }
  }
}
`

// withNode has one more node, as the first of the rack.
func withNode(lines ...string) string {
	return strings.Replace(small, "        node \"b\" {\n", "        node \"x\" {\n          "+strings.Join(lines, "\n          ")+"\n        }\n        node \"b\" {\n", 1)
}

const (
	anyBMC = `bmc { address = "redfish+https://10.9.0.9/redfish/v1/Systems/1" }`
	anyNIC = `nic "eth0" { mac = "52:54:00:00:00:09" }`
)

// Each of these was once accepted, or ended the program. All must be named where they were written.
func TestWhatNoCloudCanBe(t *testing.T) {
	change := func(old, to string) string { return strings.Replace(small, old, to, 1) }
	second := strings.NewReplacer(`site "s"`, `site "t"`, `"b%d"`, `"c%d"`, "10.9.0", "10.9.1", "52:54:00:00:00", "52:54:00:00:01").Replace(small[strings.Index(small, "site"):])
	vm := func(name, node, more string) string {
		return "vm \"" + name + "\" {\n  node = \"" + node + "\"\n  memory_mib = 64\n  image = \"guest\"\n  " + more + "\n}\n"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"good":                  {small, ""},
		"bmc's own port":        {withNode(`bmc { address = "redfish+https://10.9.0.1:443/redfish/v1/Systems/1" }`, anyNIC), "bmc address redfish+https://10.9.0.1/redfish/v1/Systems/1 occurs twice"},
		"ipmi's own port":       {strings.Replace(withNode(`bmc { address = "ipmi://10.9.0.9:623" }`, anyNIC), `format("redfish+https://10.9.0.%d/redfish/v1/Systems/1", each.value)`, `format("ipmi://10.9.0.%d", 8 + each.value)`, 1), "occurs twice"},
		"zero MAC":              {withNode(anyBMC, `nic "eth0" { mac = "00:00:00:00:00:00" }`), "is no card's address"},
		"bay 0":                 {withNode(anyBMC, anyNIC, "slot = 0"), "is in bay 0"},
		"number as a host name": {withNode(anyBMC, anyNIC, `name = "17"`), "is no host name"},
		"loopback":              {change("10.2.0.0/24", "127.0.0.0/24"), "no host has an address in 127.0.0.0/24"},
		"multicast":             {change("10.2.0.0/24", "239.0.0.0/24"), "no host has an address in 239.0.0.0/24"},
		"everything":            {change("10.2.0.0/24", "0.0.0.0/0"), "no host has an address in 0.0.0.0/0"},
		"gateway is the net":    {change("dhcp {}", "dhcp {}\n gateway = \"10.1.0.0\""), "which no host can have"},
		"gateway is broadcast":  {change("dhcp {}", "dhcp {}\n gateway = \"10.1.0.255\""), "which no host can have"},
		"too small a network":   {strings.Replace(change("10.1.0.0/24", "10.1.0.0/28"), "range(1, 4)", "range(1, 12)", 1), "network prov (10.1.0.0/28) has no address for 6 of the cards"},
		"no manager":            {change(`"ceph-mgr", `, ""), "has no manager"},
		"one fsid twice":        {small + second, "the clusters of s/r and t/r have the same fsid"},
		"pool with a blank":     {change(`pool "vms"`, `pool "v ms"`), "is no name for a pool"},
		"Ceph's own pool":       {change(`pool "vms"`, `pool ".mgr"`), "is no name for a pool"},
		"one disk for both":     {change(`serial = "osd-*"`, `serial = "root-1"`), "are the same disk, root-1"},
		"bridge like a card":    {change(`"br-ex"`, `"eth0"`), "eth0 is a bridge and a card of node"},
		"port like the bridge":  {change(`"stor0"`, `"br-ex"`), "br-ex is a port of bridge br-ex and a bridge of profile p"},
		"too many vCPUs":        {small + vm("v", "b1", "vcpus = 9"), "vm v has 9 vCPUs"},
		"apart on one node":     {small + vm("v", "b1", `anti_affinity = "g"`) + vm("w", "b1", `anti_affinity = "g"`), `vm v and vm w are of the anti-affinity group "g" and both on s/r/z/k/b1`},
		"apart on two nodes":    {small + vm("v", "b1", `anti_affinity = "g"`) + vm("w", "b2", `anti_affinity = "g"`), ""},
		"brackets":              {small + "locals {\n a = " + strings.Repeat("[", 100_000) + "\n}\n", "brackets, braces or parentheses are open here"},
		"parentheses":           {small + "locals {\n a = " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + "\n}\n", "brackets, braces or parentheses are open here"},
		"negations":             {small + "locals {\n a = " + strings.Repeat("!", 1_000_000) + "true\n}\n", "more than 10000 operators"},
		"a long sum":            {small + "locals {\n a = (1" + strings.Repeat("\n + 1", 20_000) + ")\n}\n", "more than 10000 operators"},
		"indices":               {small + "locals {\n a = b" + strings.Repeat("[0]", 20_000) + "\n}\n", "more than 10000 operators"},
		"a long list":           {small + "locals {\n a = [" + strings.Repeat("-1 + 2, ", 20_000) + "]\n}\n", ""},
		"many attributes":       {small + "locals {\n" + manyLocals(12_000) + "}\n", ""},
		"UTF-16":                {"c\x00l\x00o\x00u\x00d\x00", "is no text in UTF-8"},
		"indent backwards":      {small + "locals { a = indent(-1, \"x\\ny\") }\n", "indented by 0 to 1000"},
		"indent for ever":       {small + "locals { a = indent(2000000000, \"x\\ny\") }\n", "indented by 0 to 1000"},
		"a wide number":         {small + "locals { a = format(\"%0999999999d\", 1) }\n", "width or precision"},
		"an exact number":       {small + "locals { a = formatlist(\"%.999999999f\", [1]) }\n", "width or precision"},
		"per cents":             {small + "locals { a = format(\"%d%% of 100000000\", 1) }\n", ""},
		"a product":             {small + "locals {\n r = range(1000)\n a = setproduct(local.r, local.r, local.r)\n}\n", "product would have more than"},
		"range of all numbers":  {small + "locals { a = range(-9223372036854775807, 9223372036854775807) }\n", "range would have more than"},
		"range past the end":    {small + "locals { a = range(0, 9223372036854775807, 9223372036854775806) }\n", ""},
		"subnet past the end":   {small + "locals { a = cidrsubnet(\"10.0.0.0/8\", 9223372036854775807, 1) }\n", "cannot be made 9223372036854775807 bits longer"},
		"logarithm of nothing":  {small + "locals { a = log(0, 0) }\n", "these arguments make no sense"},
	} {
		_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(tt.text)}, Options{})
		found := tt.want == "" && !diags.HasErrors()
		for _, d := range diags {
			if text := d.Summary + " " + d.Detail; tt.want != "" && strings.Contains(text, tt.want) {
				found = true
				if d.Subject.IsZero() || d.Remedy == "" || strings.Contains(text, "goroutine") {
					t.Errorf("%s: no place, no remedy or a stack trace: %+v", name, d)
				}
			}
		}
		if !found {
			t.Errorf("%s: %q is not among %d: %.600v", name, tt.want, len(diags), diags)
		}
	}
}

func manyLocals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d = -1\n", i)
	}
	return b.String()
}

// Serial numbers are compared as the BMC's answer is: without regard to case and blanks around them.
func TestSerialNumbersAreComparedAsTheBMCDoes(t *testing.T) {
	text := strings.Replace(withNode(anyBMC, anyNIC, `serial = "ABC "`), "for_each = range(1, 4)", "for_each = range(1, 4)\n          serial = each.value == 1 ? \"abc\" : \"d${each.value}\"", 1)
	if _, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(text)}, Options{}); !strings.Contains(diags.Err().Error(), "serial number ABC occurs twice") {
		t.Errorf("%v", diags.Err())
	}
}

// Files that are none, or too large, are not read: a device never ends. A directory may be called as it likes.
func TestFilesThatAreNotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my[1]*?")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", strings.Count(dir, "/"))
	text := small + "locals {\n a = file(\"" + up + "dev/zero\")\n b = file(\"large\")\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "x.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "large"), maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	_, diags := Load(dir, Options{})
	for _, want := range []string{"is no plain file", "file large: has 16 MiB"} {
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Detail, want)
		}
		if !found {
			t.Errorf("%q is not among %v", want, diags)
		}
	}
}
