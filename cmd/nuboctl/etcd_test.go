package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nuboctl/nuboctl/pkg/state/etcd/etcdtest"
)

// startEtcd DIR STATE runs three members of etcd, with TLS and authentication, until the script ends. It puts into DIR, an inventory, the certificates, a
// store of secrets with what opens etcd, and STATE, a file with the state block.
func startEtcd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: etcd DIR STATE")
	}
	run := ts.MkAbs("etcd-members")
	ts.Check(os.MkdirAll(run, 0o755))
	c, err := etcdtest.Start(run, 3)
	ts.Check(err)
	ts.Defer(c.Stop)
	dir := ts.MkAbs(args[0])
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(c.Dir, name))
		ts.Check(err)
		return string(text)
	}
	type credentials struct {
		User     string `json:"user"`
		Password string `json:"password"`
	}
	secrets := map[string]credentials{}
	old, err := os.ReadFile(filepath.Join(dir, "passwords.dev-cleartext.json"))
	ts.Check(err)
	ts.Check(json.Unmarshal(old, &secrets))
	secrets["etcd"] = credentials{etcdtest.User, etcdtest.Password}
	secrets["etcd-key"] = credentials{"", read("client-key.pem")}
	text, err := json.Marshal(secrets)
	ts.Check(err)
	block := fmt.Sprintf(`state {
  etcd {
    endpoints   = ["%s"]
    prefix      = "%s/script"
    ca          = file("etcd-ca.pem")
    cert        = file("etcd-client.pem")
    key         = secret("etcd-key")
    credentials = secret("etcd")
    ttl         = "30s"
  }
}
`, strings.Join(c.Endpoints, `", "`), etcdtest.Prefix)
	for name, content := range map[string]string{"passwords.dev-cleartext.json": string(text), "etcd-ca.pem": read("ca.pem"), "etcd-client.pem": read("client.pem"), args[1]: block} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
}
