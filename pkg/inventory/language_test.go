package inventory

import (
	"os"
	"strings"
	"testing"
)

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`cidrhost("10.0.0.0/24", 5)`:                      "10.0.0.5",
		`cidrhost("10.0.0.0/24", -1)`:                     "10.0.0.255",
		`cidrhost("fd00::/64", 16)`:                       "fd00::10",
		`cidrsubnet("10.0.0.0/8", 8, 3)`:                  "10.3.0.0/16",
		`cidrnetmask("10.0.0.0/20")`:                      "255.255.240.0",
		`join(",", formatlist("%d", range(3)))`:           "0,1,2",
		`join(",", formatlist("%d", range(3, 0, -1)))`:    "3,2,1",
		`tostring(length("abc") + length([1]))`:           "4",
		`lookup({a = "x"}, "b", "y")`:                     "y",
		`merge({a = "x"}, {a = "z"}).a`:                   "z",
		`startswith("abc", "ab") ? "yes" : "no"`:          "yes",
		`try(tonumber("x"), "fallback")`:                  "fallback",
		`jsondecode("{\"a\": \"b\"}").a`:                  "b",
		`csvdecode(file("nodes.csv"))[1].name`:            "two",
		`replace(upper(trimspace(" ab ")), "B", "C")`:     "AC",
		`tostring(max(1, floor(2.5), min(9, ceil(2.1))))`: "3",
		`element(concat(["a"], ["b"]), 1)`:                "b",
	} {
		files := map[string][]byte{"x.hcl": []byte("cloud \"x\" {\n  domain = \"x.test\"\n  release = " + expr + "\n}\n"), "nodes.csv": []byte("name\none\ntwo\n")}
		inv, diags := LoadFiles(files, Options{})
		if diags.HasErrors() || inv.Desired.Cloud.Release != want {
			t.Errorf("%s = %q, want %q; %v", expr, inv.Desired.Cloud.Release, want, diags.Err())
		}
	}
	for _, expr := range []string{`cidrhost("10.0.0.0/30", 4)`, `cidrsubnet("10.0.0.0/30", 3, 0)`, `cidrsubnet("10.0.0.0/8", 2, 4)`, `cidrnetmask("fd00::/8")`, `range(1, 2, 0)`,
		`range(1000000)`, `file("../nothing")`, `file("/etc/passwd")`, `secret("")`, `cidrhost("x", 1)`, `range(1.5)`} {
		_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte("cloud \"x\" {\n  domain = \"x.test\"\n  ntp = [tostring(length(" + expr + "))]\n}\n")}, Options{})
		if !diags.HasErrors() {
			t.Errorf("%s was accepted", expr)
		}
	}
}

// Mistakes that need a file of their own, since they stop or change the rest.
func TestSingleMistakes(t *testing.T) {
	const head = "cloud \"x\" {\n  domain = \"x.test\"\n}\n"
	for name, tt := range map[string]struct{ text, want string }{
		"no cloud":             {"", "no cloud block"},
		"syntax":               {head + "network \"a\" {\n", "Unclosed"},
		"two clouds":           {head + head, "more than one cloud"},
		"attribute outside":    {head + "x = 1\n", "outside of any block"},
		"no label":             {head + "network {\n  cidr = \"10.0.0.0/24\"\n}\n", "takes one label"},
		"label too many":       {head + "rollout \"x\" {}\n", "takes no label"},
		"missing attribute":    {head + "network \"a\" {}\n", "lacks \"cidr\""},
		"block as attribute":   {head + "network \"a\" {\n  cidr = \"10.0.0.0/24\"\n  dhcp = true\n}\n", "unknown attribute \"dhcp\""},
		"for_each of a number": {head + "network \"a\" {\n  for_each = 3\n  cidr = \"10.0.0.0/24\"\n}\n", "cannot go through"},
		"null":                 {head + "network \"a\" {\n  cidr = null\n}\n", "must not be null"},
		"bare word":            {head + "network \"a\" {\n  cidr = provision\n}\n", "no \"provision\" to refer to"},
		"network among them":   {head + "network \"a\" {\n  cidr = \"10.0.0.0/24\"\n}\nnetwork \"b\" {\n  cidr = network.a.cidr\n}\n", "cannot refer to network"},
		"cleartext name":       {head + "secrets {\n  cleartext = \"passwords.json\"\n}\n", "must have \"dev-cleartext\""},
		"relay without key":    {head + "network \"a\" {\n  cidr = \"10.0.0.0/24\"\n  dhcp {}\n  relay {\n    via = \"root@j\"\n    address = \"10.0.0.2\"\n  }\n}\n", "trusted blindly"},
		"moved to nowhere":     {head + "moved {\n  from = \"a\"\n  to = \"b\"\n}\n", "there is no node b"},
		"state nowhere":        {head + "state {}\n", "names no store"},
		"etcd in clear text":   {head + "state {\n  etcd {\n    endpoints = [\"http://a:2379\"]\n  }\n}\n", "is not encrypted: who can read the state"},
		"etcd unverified":      {head + "state {\n  etcd {\n    endpoints = [\"https://a:2379\"]\n  }\n}\n", "cannot be verified"},
		"etcd without a port":  {head + "state {\n  etcd {\n    endpoints = [\"https://a\"]\n    ca = \"x\"\n  }\n}\n", "is no address of an etcd member"},
		"etcd with a password": {head + "state {\n  etcd {\n    endpoints = [\"https://u:p@a:2379\"]\n    ca = \"x\"\n  }\n}\n", "holds a user name or password"},
		"etcd half a pair":     {head + "state {\n  etcd {\n    endpoints = [\"https://a:2379\"]\n    ca = \"x\"\n    cert = \"y\"\n  }\n}\n", "belong together"},
		"etcd lease":           {head + "state {\n  etcd {\n    endpoints = [\"https://a:2379\"]\n    ca = \"x\"\n    ttl = \"1s\"\n  }\n}\n", "a lease of"},
		"address twice": {head + "network \"a\" {\n  cidr = \"10.0.0.0/24\"\n  gateway = \"10.0.0.2\"\n  dhcp {}\n  relay {\n    address = \"10.0.0.2\"\n  }\n}\n",
			"used twice"},
	} {
		inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(tt.text)}, Options{})
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Summary, tt.want) && d.Remedy != ""
		}
		if !found {
			t.Errorf("%s: %q not among\n%s", name, tt.want, render(inv.Files, diags))
		}
	}
}

// A mistake within for_each is reported once or a few times, not for every element.
func TestForEachFoldsMistakes(t *testing.T) {
	_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte("cloud \"x\" {\n  domain = \"x.test\"\n}\nnetwork \"n\" {\n  for_each = range(500)\n  cidr = format(\"10.%d\", each.value)\n}\n")}, Options{})
	if len(diags) != mostAtOnePlace || !strings.Contains(diags[len(diags)-1].Detail, "497 more") {
		t.Errorf("%d diagnostics: %v", len(diags), diags[0])
	}
}

func TestVariables(t *testing.T) {
	src := []byte("variable \"n\" {\n  type = number\n  default = 1\n}\nvariable \"l\" {\n  type = list(string)\n  default = []\n}\nvariable \"s\" {\n  type = string\n  default = \"\"\n}\n" +
		"cloud \"x\" {\n  domain = \"x.test\"\n  release = \"${var.n}-${join(\"+\", var.l)}-${var.s}\"\n}\n")
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{}, "1--"},
		{Options{Vars: map[string]string{"n": "3", "l": `["a","b"]`, "s": "7"}}, "3-a+b-7"},
		{Options{Vars: map[string]string{"n": "3"}, Env: map[string]string{"NUBO_VAR_n": "4", "NUBO_VAR_s": "env"}}, "3--env"},
	} {
		inv, diags := LoadFiles(map[string][]byte{"x.hcl": src}, tt.opts)
		if diags.HasErrors() || inv.Desired.Cloud.Release != tt.want {
			t.Errorf("%q, want %q: %v", inv.Desired.Cloud.Release, tt.want, diags.Err())
		}
	}
	if _, diags := LoadFiles(map[string][]byte{"x.hcl": src}, Options{Vars: map[string]string{"n": "many"}}); !diags.HasErrors() {
		t.Error("a number was given as text and accepted")
	}
}

func TestInsecureIsLoud(t *testing.T) {
	b, err := os.ReadFile("testdata/sketch/cloud.hcl")
	if err != nil {
		t.Fatal(err)
	}
	pin := "            pin         = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n"
	for to, want := range map[string]string{"": "could not be verified", "insecure = true\n": "INSECURE", "insecure = true\nca = file(\"cloud.hcl\")\n": "insecure together with",
		"ca = file(\"cloud.hcl\")\n": "no certificate"} {
		text := strings.Replace(string(b), pin, to, 1)
		_, diags := LoadFiles(map[string][]byte{"cloud.hcl": []byte(text), "profiles/hyperconverged.bu": nil}, Options{})
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Summary, want)
		}
		if !found {
			t.Errorf("%q: %q is not among %v", to, want, diags)
		}
	}
}

func TestGraphAndReference(t *testing.T) {
	inv := mustLoad(t, "testdata/sketch", nil)
	golden(t, "graph.golden", []byte(Graph(inv.Desired)))
	golden(t, "reference.golden", []byte(Reference()))
}
