//go:build e2e

package rack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// Cloud is an inventory with a state of its own, driven from one station.
type Cloud struct {
	Rack    *Rack
	Station string
	Dir     string // of the inventory
	State   string
	Vars    []string // "name=value"
}

// NewCloud copies the demo's inventory, with its profiles, to where a test may change it. All clouds of a rack belong to one operator: the
// first one's keys are those of all, and so are the signed images.
func (r *Rack) NewCloud(t *testing.T, name, station string, vars ...string) *Cloud {
	t.Helper()
	dir := r.Path("clouds", name)
	for _, part := range []string{"inventories/demo", "profiles"} {
		if err := copyTree(filepath.Join(r.Root, part), filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cloud{Rack: r, Station: station, Dir: filepath.Join(dir, "inventories", "demo"), Vars: vars}
	c.State = filepath.Join(c.Dir, ".nubo")
	// Each cloud has a network name of its own, since the name is where a relay keeps its files on a jump host, which here shares the
	// machine's file system.
	for _, file := range []string{"cloud.hcl", "rack.hcl"} {
		c.rewrite(t, file, func(s string) string {
			return strings.NewReplacer(`"provision"`, `"`+c.network()+`"`, "network.provision.", "network."+c.network()+".").Replace(s)
		})
	}
	keys, first := filepath.Join(c.State, "keys"), r.Path("keys")
	if _, err := os.Stat(first); err == nil {
		if err := copyTree(first, keys); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c.images(t)
	if err := copyTree(keys, first); err != nil {
		t.Fatal(err)
	}
	return c
}

// network is the provisioning network's name in this cloud.
func (c *Cloud) network() string {
	return "prov-" + c.Rack.Name + "-" + filepath.Base(filepath.Dir(filepath.Dir(c.Dir)))
}

// copyTree copies plain files and directories, without any state.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == ".nubo":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o600)
	})
}

// images builds what is needed.
func (c *Cloud) images(t *testing.T) {
	t.Helper()
	began := time.Now()
	c.BuildImages(t)
	Figure(t, "images", time.Since(began))
}

// BuildImages runs nuboctl image build outside the rack, where the machine's package mirror can be reached, and returns what it prints.
func (c *Cloud) BuildImages(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(Within(t, 20*time.Minute), filepath.Join(c.Rack.Bin, "nuboctl"), c.args(t, append([]string{"image", "build"}, args...)...)...)
	cmd.Dir, cmd.Stderr = c.Rack.Root, c.Rack.log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nuboctl image build: %v", err)
	}
	return string(out)
}

// store is the rack's image store: the bytes are in the usual one, and what is this operator's own, the names and signatures, is here.
func (r *Rack) store(t *testing.T) string {
	t.Helper()
	shared := os.Getenv(imagesVar)
	if shared == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		shared = filepath.Join(cache, "nuboctl", "images")
	}
	dir := r.Path("images")
	for _, part := range []string{"chunks", "files", "manifests", "built", "cache", "tmp"} {
		if err := os.MkdirAll(filepath.Join(shared, part), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(shared, part), filepath.Join(dir, part)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

func (c *Cloud) args(t *testing.T, args ...string) []string {
	t.Helper()
	argv := []string{"-C", c.Dir, "--state", c.State, "--images", c.Rack.store(t)}
	for _, v := range c.Vars {
		argv = append(argv, "--var", v)
	}
	return append(argv, args...)
}

// Begin starts nuboctl on the cloud's station.
func (c *Cloud) Begin(t *testing.T, args ...string) *Proc {
	t.Helper()
	return c.BeginWith(t, nil, args...)
}

// BeginWith is Begin with standard input.
func (c *Cloud) BeginWith(t *testing.T, stdin io.Reader, args ...string) *Proc {
	t.Helper()
	show := io.Discard
	if args[0] == "apply" || args[0] == "reinstall" {
		show = c.Rack.log
	}
	return c.Rack.begin(t, show, c.Station, stdin, append([]string{filepath.Join(c.Rack.Bin, "nuboctl")}, c.args(t, args...)...)...)
}

// Nubo runs nuboctl on the cloud's station to its end.
func (c *Cloud) Nubo(ctx context.Context, t *testing.T, args ...string) Run {
	t.Helper()
	return c.Begin(t, args...).Wait(ctx, t)
}

// Expect runs nuboctl and fails the test when it ends with another exit code.
func (c *Cloud) Expect(ctx context.Context, t *testing.T, code int, args ...string) Run {
	t.Helper()
	run := c.Nubo(ctx, t, args...)
	if run.Code != code {
		t.Fatalf("nuboctl %s: exit %d, want %d\n%s", strings.Join(args, " "), run.Code, code, run.All())
	}
	return run
}

// SSH runs a command on a node with Debian's ssh, under the host key that was known before, and returns what it printed to stdout.
func (c *Cloud) SSH(ctx context.Context, t *testing.T, node, command string) string {
	t.Helper()
	return strings.TrimSpace(c.Expect(ctx, t, 0, "ssh", node, command).Stdout)
}

// TrySSH is SSH for a node that may not answer.
func (c *Cloud) TrySSH(ctx context.Context, t *testing.T, node, command string) (string, error) {
	t.Helper()
	run := c.Nubo(ctx, t, "ssh", node, command)
	if run.Code != 0 {
		return "", fmt.Errorf("ssh %s: exit %d: %s", node, run.Code, tail(run.Stderr, 1))
	}
	return strings.TrimSpace(run.Stdout), nil
}

// Edit replaces text in a file of the inventory; text that is not there fails the test. The returned function undoes it.
func (c *Cloud) Edit(t *testing.T, file, from, to string) (undo func()) {
	t.Helper()
	was := c.rewrite(t, file, func(s string) string {
		if !strings.Contains(s, from) {
			t.Fatalf("%s does not contain %q", file, from)
		}
		return strings.ReplaceAll(s, from, to)
	})
	return func() { c.rewrite(t, file, func(string) string { return was }) }
}

func (c *Cloud) rewrite(t *testing.T, file string, change func(string) string) (was string) {
	t.Helper()
	name := filepath.Join(c.Dir, file)
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, []byte(change(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Journal is what nuboctl journal gives.
func (c *Cloud) Journal(ctx context.Context, t *testing.T) []state.Record {
	t.Helper()
	var out []state.Record
	lines := bufio.NewScanner(bytes.NewReader([]byte(c.Expect(ctx, t, 0, "journal", "--json").Stdout)))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r state.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("journal: %v: %s", err, lines.Text())
		}
		out = append(out, r)
	}
	return out
}

// Figures prints how long a blade took from power on to installed and to SSH, by the journal.
func (c *Cloud) Figures(ctx context.Context, t *testing.T, what string) {
	t.Helper()
	at := map[string]time.Time{}
	for _, r := range c.Journal(ctx, t) {
		kind, _, _ := strings.Cut(string(r.OpID), " ")
		at[kind+" "+string(r.Kind)] = r.Time
	}
	on := at[string(plan.PowerOn)+" "+string(state.KindIntent)]
	for name, end := range map[string]plan.Kind{"power-on→installed": plan.InstallWait, "power-on→ssh": plan.HostVerify} {
		if done := at[string(end)+" "+string(state.KindDone)]; !done.IsZero() {
			Figure(t, what+" "+name, done.Sub(on))
		}
	}
}
