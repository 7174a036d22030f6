package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
	"github.com/nuboctl/nuboctl/pkg/state/etcd/etcdtest"
)

// flow is a whole use of nuboctl with marked secrets, and everything that it lets others see.
type flow struct {
	t       *testing.T
	dir     string // all that it writes is below
	marks   map[string]string
	allowed []string // files that are secret themselves

	mu   sync.Mutex
	seen map[string]string // what was seen where
}

// mark makes a secret that is not found anywhere by chance.
func (f *flow) mark(name, value string) string {
	f.marks[name] = value
	return value
}

// see keeps something that somebody else could see.
func (f *flow) see(where, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[where] += text
}

// run runs nuboctl with verbose logs, looking at its process list meanwhile, and keeps what it says.
func (f *flow) run(code int, args ...string) { f.t.Helper(); f.runUntil("", code, args...) }

// runUntil is run, with Ctrl-C as soon as a program with a word in its arguments was started.
func (f *flow) runUntil(word string, code int, args ...string) {
	f.t.Helper()
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = append([]string{"nuboctl", "-v", "-C", filepath.Join(f.dir, "site")}, args...)
	cmd.Env = append(os.Environ(), "HOME="+f.dir, "XDG_CACHE_HOME="+filepath.Join(f.dir, "cache"), "NUBO_AGE_IDENTITY="+filepath.Join(f.dir, "identity"), "DEBUG_BMCLIB=true")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); f.watch(cmd.Process, word, ended) }()
	_ = cmd.Wait() // the exit code tells
	close(ended)
	<-watched
	what := "output of nuboctl " + strings.Join(args, " ")
	f.see(what, out.String())
	if got := cmd.ProcessState.ExitCode(); got != code {
		f.t.Errorf("%s: exit code %d, want %d:\n%s", what, got, code, &out)
	}
}

// watch reads the arguments of a process and of everything that it starts, and its own environment, until it has ended.
func (f *flow) watch(p *os.Process, word string, ended <-chan struct{}) {
	pid := p.Pid
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	seen := map[string]bool{}
	for {
		for _, file := range []string{fmt.Sprintf("/proc/%d/cmdline", pid), fmt.Sprintf("/proc/%d/environ", pid)} {
			if text, err := os.ReadFile(file); err == nil && !seen[string(text)] {
				seen[string(text)] = true
				f.see("processes", string(text)+"\n")
			}
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, t := range tasks {
			children, _ := os.ReadFile(t)
			for _, child := range strings.Fields(string(children)) {
				if text, err := os.ReadFile("/proc/" + child + "/cmdline"); err == nil && !seen[string(text)] {
					seen[string(text)] = true
					f.see("processes", string(text)+"\n")
					if word != "" && strings.Contains(string(text), word) {
						_ = p.Signal(os.Interrupt) // it may have ended by itself
					}
				}
			}
		}
		select {
		case <-ended:
			return
		case <-tick.C:
		}
	}
}

// files keeps what every file below the directory holds, and its name.
func (f *flow) files() {
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		for _, a := range f.allowed {
			if strings.HasPrefix(path, filepath.Join(f.dir, a)) {
				return nil
			}
		}
		text, err := os.ReadFile(path)
		f.see("file "+path, string(text))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// search looks for every mark in everything that was seen.
func (f *flow) search() {
	for where, text := range f.seen {
		for name, mark := range f.marks {
			if strings.Contains(text, mark) {
				f.t.Errorf("%s is in: %s", name, where)
			}
		}
	}
}

// keysAsMarks takes what is secret in the keys that nuboctl made: a line in the middle of each private half.
func (f *flow) keysAsMarks() {
	for _, name := range []string{"sign.key", "ssh_ca", "ssh_key"} {
		text, err := os.ReadFile(filepath.Join(f.dir, "site", ".nubo", "keys", name))
		if err != nil {
			f.t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		f.mark("the key "+name, strings.TrimSpace(lines[max(len(lines)-2, 1)]))
	}
}

func (f *flow) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		f.t.Fatal(err)
	}
}

// seal encrypts the store of secrets to a new identity.
func (f *flow) seal(secrets map[string]map[string]string) {
	f.t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("identity", f.mark("the age identity", id.String())+"\n")
	text, err := json.Marshal(secrets)
	if err != nil {
		f.t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		f.t.Fatal(err)
	}
	f.write("site/secrets.age", sealed.String())
}

// leakSite is an inventory of two machines, one behind Redfish, one behind IPMI, and a state in etcd.
const leakSite = `cloud "c" {
  domain  = "nubo.test"
  release = "trixie"
}
network "provision" {
  cidr = "192.0.2.0/24"
  dhcp {}
}
profile "p" {
  image  = "debian-13"
  butane = "none.bu"
  roles  = ["compute"]
  root_device { serial = "root-1" }
}
site "s" {
  region "r" {
    zone "z" {
      rack "a" {
        node "n" {
          profile = "p"
          bmc {
            address     = "redfish://REDFISH/redfish/v1/Systems/1"
            credentials = secret("bmc")
            pin         = "PIN"
          }
          nic "eth0" {
            mac     = "52:54:00:00:00:01"
            network = "provision"
          }
        }
        node "i" {
          profile = "p"
          bmc {
            address     = "ipmi://127.0.0.1:1"
            credentials = secret("ipmi")
          }
          nic "eth0" {
            mac     = "52:54:00:00:00:02"
            network = "provision"
          }
        }
      }
    }
  }
}
`

// TestNothingSecretLeaks uses nuboctl as an operator does, with marked passwords and keys, and looks for them in plans, observations, journal, state, logs,
// errors, copies, etcd, and in the process list while it runs.
func TestNothingSecretLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of its own")
	}
	f := &flow{t: t, dir: t.TempDir(), marks: map[string]string{}, seen: map[string]string{}, allowed: []string{"identity", "site/.nubo/keys", "site/secrets.age"}}
	cluster, err := etcdtest.Start(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	key, err := os.ReadFile(filepath.Join(cluster.Dir, "client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f.mark("the key that etcd is asked with", strings.Split(string(key), "\n")[1])
	bmcPassword, ipmiPassword := f.mark("the password of a BMC", "MARK-redfish-Zq7"), f.mark("the password of an IPMI BMC", "MARK-ipmi-Wk3")
	f.mark("the password of etcd", etcdtest.Password)

	service, err := redfish.New(redfish.NewMemory(redfish.Info{Serial: "SERIAL-1", Manufacturer: "Maker", Model: "Blade 9"}), redfish.Options{User: "admin", Password: bmcPassword})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(service)
	defer server.Close()
	secrets := map[string]map[string]string{"bmc": {"user": "admin", "password": bmcPassword}, "ipmi": {"user": "admin", "password": ipmiPassword},
		"etcd": {"user": etcdtest.User, "password": etcdtest.Password}, "etcd-key": {"user": "", "password": string(key)}}
	f.seal(secrets)
	for name, from := range map[string]string{"site/etcd-ca.pem": "ca.pem", "site/etcd-client.pem": "client.pem"} {
		text, err := os.ReadFile(filepath.Join(cluster.Dir, from))
		if err != nil {
			t.Fatal(err)
		}
		f.write(name, string(text))
	}
	f.write("site/none.bu", "variant: fcos\nversion: 1.4.0\n")
	f.write("site/cloud.hcl", strings.NewReplacer("REDFISH", server.Listener.Addr().String(), "PIN", bmc.PinOf(server.Certificate().Raw)).Replace(leakSite))
	block := fmt.Sprintf("state {\n  etcd {\n    endpoints = [\"%s\"]\n    prefix = \"%s/leaks\"\n    ca = file(\"etcd-ca.pem\")\n    cert = file(\"etcd-client.pem\")\n    key = secret(\"etcd-key\")\n    credentials = secret(\"etcd\")\n  }\n}\n",
		strings.Join(cluster.Endpoints, `", "`), etcdtest.Prefix)

	f.run(0, "validate")
	f.run(0, "bmc", "power", "on", "n")
	f.run(0, "bmc", "info", "n")
	f.runUntil("ipmitool", 130, "bmc", "power", "i") // nobody answers at its address
	f.write("site/state.hcl", block)
	f.run(0, "state", "migrate", "--to", "etcd")
	f.run(0, "inventory")
	f.run(0, "observe", "--target", "n", "-o", filepath.Join(f.dir, "observed.json"))
	f.run(0, "plan", "--target", "n", "-o", filepath.Join(f.dir, "plan.nubo"))
	f.run(0, "show", "--json", filepath.Join(f.dir, "plan.nubo"))
	f.run(1, "apply", filepath.Join(f.dir, "plan.nubo")) // the images are not built
	f.run(0, "bmc", "boot", "network", "n")
	f.run(0, "bmc", "power", "off", "n")
	f.run(0, "journal", "--json")
	f.run(0, "status", "--json")
	f.run(0, "export", "metal3")
	f.run(0, "state", "pull", filepath.Join(f.dir, "pulled"))
	secrets["bmc"]["password"] = f.mark("a wrong password", "MARK-wrong-Yt5")
	f.seal(secrets)
	f.run(1, "bmc", "power", "on", "n") // refused by the BMC
	secrets["etcd"]["password"] = f.mark("a wrong password of etcd", "MARK-wrong-Hj9")
	f.seal(secrets)
	f.run(1, "journal") // refused by etcd

	f.keysAsMarks()
	f.files()
	f.etcd(cluster)
	f.search()
	// The search itself must be able to find something: what is known to be there is.
	for where, word := range map[string]string{"file " + filepath.Join(f.dir, "plan.nubo"): "", "output of nuboctl journal --json": "by hand: power on", "processes": "ipmitool\x00", "etcd": "journal/"} {
		if text, ok := f.seen[where]; !ok || !strings.Contains(text, word) {
			t.Errorf("%q was not looked at: %.200s", where, text)
		}
	}
}

// etcd keeps everything that stands in etcd.
func (f *flow) etcd(c *etcdtest.Cluster) {
	cfg := c.Config("leaks")
	cl, err := clientv3.New(clientv3.Config{Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.User, Password: cfg.Password, Logger: zap.NewNop()})
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	resp, err := cl.Get(f.t.Context(), cfg.Prefix, clientv3.WithPrefix())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		f.see("etcd", string(kv.Key)+" "+string(kv.Value)+"\n")
	}
}
