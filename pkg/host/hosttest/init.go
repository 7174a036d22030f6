package hosttest

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// services stands for systemd's service manager: what systemctl and systemd-run ask for goes through a pipe to this process, which starts the services
// on the host, reaps them, and ends with them.
type services struct {
	box *Box
	mu  sync.Mutex
	// commands are what units run, by unit; a unit without one is given its command when it is started.
	commands map[string][]string
	running  map[string]*exec.Cmd
	states   map[string]string // how those that do not run ended: "inactive", "failed"
	dead     map[string]chan struct{}
}

// serveSystemd begins to answer the host's systemctl. A request is a line in a pipe, its words in base64; the answer is
// a file beside it.
func (b *Box) serveSystemd(t testing.TB) {
	t.Helper()
	b.services = &services{box: b, commands: map[string][]string{}, running: map[string]*exec.Cmd{}, states: map[string]string{}, dead: map[string]chan struct{}{}}
	pipe := filepath.Join(b.Dir, "init", "requests")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	requests, err := os.OpenFile(pipe, os.O_RDWR, 0) // with a writer of its own it never ends by itself
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(requests)
		for lines.Scan() && lines.Text() != "end" {
			words := strings.Split(lines.Text(), "\t")
			for i, w := range words[1:] {
				text, _ := base64.StdEncoding.DecodeString(w)
				words[i+1] = string(text)
			}
			go b.services.answer(words[0], words[1:])
		}
	}()
	t.Cleanup(func() {
		b.services.stopAll()
		if t.Failed() {
			b.services.tell(t)
		}
		fmt.Fprintln(requests, "end")
		<-done
		requests.Close()
	})
}

// Service makes a unit known to the host's systemctl; it is not started.
func (b *Box) Service(unit string, argv ...string) {
	b.services.mu.Lock()
	defer b.services.mu.Unlock()
	b.services.commands[unit] = argv
}

// answer carries out one request and writes "STATUS\nTEXT" to the file that it names.
func (s *services) answer(file string, words []string) {
	code, text := s.do(words)
	name := filepath.Join(s.box.Dir, "init", file)
	if err := os.WriteFile(name+".new", []byte(fmt.Sprintf("%d\n%s", code, text)), 0o644); err == nil {
		_ = os.Rename(name+".new", name)
	}
}

func (s *services) do(words []string) (int, string) {
	switch words[0] {
	case "start":
		return s.start(words[1], nil), ""
	case "run":
		return s.start(words[1], words[2:]), ""
	case "stop":
		s.stop(words[1])
		return 0, ""
	case "is-active":
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running[words[1]] != nil {
			return 0, "active\n"
		}
		return 3, "inactive\n"
	case "state":
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running[words[1]] != nil {
			return 0, "active\n"
		}
		if state, ok := s.states[words[1]]; ok {
			return 0, state + "\n"
		}
		return 0, "inactive\n"
	case "list":
		return 0, s.list(words[1:])
	}
	return 1, ""
}

// start runs a unit's command until it ends by itself or is stopped. 5 is systemctl's status for a unit that is not there.
func (s *services) start(unit string, argv []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[unit] != nil {
		if argv != nil {
			return 1 // systemd-run: the unit is there already
		}
		return 0
	}
	if argv == nil {
		argv = s.commands[unit]
	}
	if len(argv) == 0 {
		return 5
	}
	full := append(s.box.enter(), argv...)
	log, err := os.OpenFile(filepath.Join(s.box.Dir, "init", unit+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 1
	}
	cmd := exec.Command(full[0], full[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		log.Close()
		return 1
	}
	ended := make(chan struct{})
	s.running[unit], s.dead[unit] = cmd, ended
	go func() {
		err := cmd.Wait()
		log.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, unit)
		s.states[unit] = "inactive"
		if err != nil {
			s.states[unit] = "failed"
		}
		close(ended)
	}()
	return 0
}

// stopTime is systemd's own TimeoutStopSec: who does not end by then is killed.
const stopTime = 90 * time.Second

// stop ends a unit with all its processes, and waits for it.
func (s *services) stop(unit string) {
	s.mu.Lock()
	cmd, ended := s.running[unit], s.dead[unit]
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	kill := time.AfterFunc(stopTime, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	<-ended
	kill.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[unit] = "inactive"
}

func (s *services) stopAll() {
	s.mu.Lock()
	var units []string
	for unit := range s.running {
		units = append(units, unit)
	}
	s.mu.Unlock()
	for _, unit := range units {
		s.stop(unit)
	}
}

// tell shows what the services said last.
func (s *services) tell(t testing.TB) {
	logs, _ := filepath.Glob(filepath.Join(s.box.Dir, "init", "*.log"))
	for _, name := range logs {
		text, _ := os.ReadFile(name)
		t.Logf("%s:\n%s", filepath.Base(name), text[max(0, len(text)-2000):])
	}
}

// list prints the units that match a pattern as "systemctl list-units --plain" does.
func (s *services) list(patterns []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for unit := range s.running {
		for _, p := range patterns {
			if ok, _ := filepath.Match(p, strings.TrimSuffix(unit, ".service")); ok {
				fmt.Fprintf(&b, "%s loaded active running\n", unit)
			}
		}
	}
	return b.String()
}
