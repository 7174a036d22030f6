package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

var update = flag.Bool("update", false, "write the golden files in the scripts anew")

// deadline bounds every wait of these tests.
const deadline = 5 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"nuboctl": main,
		"peer":    func() { os.Exit(peer(os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			for _, name := range []string{"inventories/demo", "inventories/nubo", "profiles"} {
				if err := os.CopyFS(filepath.Join(env.WorkDir, name), os.DirFS(filepath.Join("..", "..", name))); err != nil {
					return err
				}
			}
			if err := os.CopyFS(filepath.Join(env.WorkDir, "adopt"), os.DirFS(filepath.Join("..", "..", "pkg", "adopt", "testdata"))); err != nil {
				return err
			}
			// A checkout in use has its state beside the inventory.
			return errors.Join(os.RemoveAll(filepath.Join(env.WorkDir, "inventories/demo/.nubo")), os.RemoveAll(filepath.Join(env.WorkDir, "inventories/nubo/.nubo")))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "waitfor": waitFor, "interrupt": interrupt, "replace": replace, "forge": forge, "etcd": startEtcd,
			"signedby": signedBy, "publickey": publicKey,
		},
	})
}

// exits CODE PROGRAM ARG… runs a program and checks its exit code; output is kept for the script's next lines.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// waitFor FILE waits until a file is there.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(until("file "+args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	}))
}

// until waits for a condition.
func until(what string, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("%s: not within %s", what, deadline)
		}
	}
	return nil
}

// interrupt CODE FILE PROGRAM ARG… runs a program, presses Ctrl-C once the file is there, and checks its exit code.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[2], args[3:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	ts.Check(cmd.Start())
	waited := until("file "+args[1], func() bool {
		_, err := os.Stat(ts.MkAbs(args[1]))
		return err == nil
	})
	ts.Check(errors.Join(waited, cmd.Process.Signal(syscall.SIGINT)))
	_ = cmd.Wait() // the exit code tells
	fmt.Fprint(ts.Stdout(), out.String())
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("interrupted, it ended with %s, want %s; it said:\n%s", got, args[0], &out)
	}
}

// replace FILE OLD NEW changes a file of the script; OLD must be in it.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}

// forge PLAN TO WHAT writes a plan anew with one thing changed in it.
func forge(ts *testscript.TestScript, _ bool, args []string) {
	p, err := plan.Decode([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	x := p.Certificate
	moving := slices.IndexFunc(x.Batches, func(b plan.Batch) bool { return len(b.Moves.VM) > 0 })
	change, ok := map[string]func(){
		"destination": func() { x.Batches[moving].Moves.To[0] = x.Batches[moving].Hosts[0] },
		"grade":       func() { x.Batches[0].Grade = "A+B+C" },
		"policy":      func() { x.Policy.ReservePercent++ },
		"after":       func() { p.Stages[1].After = p.Stages[1].Before },
	}[args[2]]
	if !ok {
		ts.Fatalf("cannot forge %s", args[2])
	}
	change()
	file, err := plan.Encode(p)
	ts.Check(errors.Join(err, os.WriteFile(ts.MkAbs(args[1]), file, 0o644)))
}

// BenchmarkVersion is how long the whole process takes to say its version; 30 ms is what it may take.
func BenchmarkVersion(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command(self)
		cmd.Args = []string{"nuboctl", "version"}
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

func TestDoubleDash(t *testing.T) {
	for _, c := range [][2]string{
		{"plan -var a=1 -var=b=2 --var c=3 -v", "plan --var a=1 --var=b=2 --var c=3 -v"},
		{"ssh n -- -var", "ssh n -- -var"},
		{"-vars x", "-vars x"},
		{"", ""},
	} {
		if got := strings.Join(doubleDash(strings.Fields(c[0])), " "); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0], got, c[1])
		}
	}
}
