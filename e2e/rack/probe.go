//go:build e2e

package rack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// VM is a virtual machine with the tests' guest program on it (e2e/probe/guest).
type VM struct{ Name, Address string }

// Probes watch virtual machines from the workstation while something is done to the hosts below them: a ping ten times a second, and a TCP stream
// on which the guest tells ten times a second what it has written to its disk. Everything they see is kept in a log beside the rack's.
type Probes struct {
	vms  []*probe
	done sync.WaitGroup
}

// Seen is what the probes of one machine saw between two marks.
type Seen struct {
	VM            string
	Sent, Lost    int           // pings
	PingSilence   time.Duration // longest time between two answers
	StreamSilence time.Duration // longest time between two lines
	WriteSilence  time.Duration // longest time that one durable write took, as the guest has it
	Written       uint64        // records acknowledged
	Errors        int           // writes that failed
	Restarts      int           // boots of the machine
	Breaks        int           // the stream's connection was lost
}

func (s Seen) String() string {
	return fmt.Sprintf("%s: ping silence %d ms, %d of %d lost; stream silence %d ms; longest write %d ms, %d written, %d I/O errors; %d restarts, %d lost connections",
		s.VM, s.PingSilence.Milliseconds(), s.Lost, s.Sent, s.StreamSilence.Milliseconds(), s.WriteSilence.Milliseconds(), s.Written, s.Errors, s.Restarts, s.Breaks)
}

// Undisturbed is what must hold of a machine through everything: it was not restarted, no write failed, and none that was acknowledged is gone.
func (s Seen) Undisturbed(t *testing.T) {
	t.Helper()
	if s.Restarts > 0 || s.Errors > 0 || s.Breaks > 0 || s.Written == 0 {
		t.Errorf("%s was disturbed: %s", s.VM, s)
	}
}

// Probe starts the probes and waits until every machine answers both. They end with the test.
func (r *Rack) Probe(ctx context.Context, t *testing.T, vms ...VM) *Probes {
	t.Helper()
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Probes{}
	file, err := os.Create(filepath.Join(r.Path(), "probes.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		p.done.Wait()
		_ = file.Close()
	})
	log := &lockedWriter{w: file}
	kept := func(vm, what string, take func(time.Time, string)) func(time.Time, string) {
		return func(now time.Time, line string) {
			fmt.Fprintln(log, now.Format(time.RFC3339Nano), vm, what, line)
			take(now, line)
		}
	}
	for _, vm := range vms {
		one := &probe{vm: vm}
		p.vms = append(p.vms, one)
		p.done.Go(func() {
			r.repeat(watch, kept(vm.Name, "ping", one.pinged), nil, "ping", "-n", "-D", "-O", "-i", "0.1", "-W", "2", vm.Address)
		})
		p.done.Go(func() {
			r.repeat(watch, kept(vm.Name, "guest", one.told), one.broken, "socat", "-u", "TCP4:"+vm.Address+":7000,connect-timeout=5", "STDOUT")
		})
	}
	for _, one := range p.vms {
		Eventually(ctx, t, one.vm.Name+" to answer pings and to tell what it writes", func() error {
			one.mu.Lock()
			defer one.mu.Unlock()
			if one.lastPing.IsZero() || one.lastLine.IsZero() {
				return fmt.Errorf("ping %v, stream %v", one.lastPing, one.lastLine)
			}
			return nil
		})
	}
	p.Mark(t, "")
	return p
}

// Mark ends a part of the test: what was seen in it is printed under its name (nothing for an empty one) and returned.
func (p *Probes) Mark(t *testing.T, name string) []Seen {
	t.Helper()
	var all []Seen
	for _, one := range p.vms {
		s := one.take()
		all = append(all, s)
		if name != "" {
			t.Logf("PROBE %s: %s", name, s)
		}
	}
	return all
}

// Pings returns when so many pings went out to every machine since the last mark.
func (p *Probes) Pings(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	for _, one := range p.vms {
		Eventually(ctx, t, fmt.Sprintf("%d pings to %s", n, one.vm.Name), func() error {
			one.mu.Lock()
			defer one.mu.Unlock()
			if one.seen.Sent < n {
				return fmt.Errorf("there were %d", one.seen.Sent)
			}
			return nil
		})
	}
}

// probe is one machine.
type probe struct {
	vm VM

	mu       sync.Mutex
	seen     Seen
	lastSeq  int
	lastPing time.Time
	lastLine time.Time
	acked    uint64
	failed   int
	boot     string
}

// take gives what was seen since the last time. A silence that still goes on counts in both parts.
func (p *probe) take() Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seen
	now := time.Now()
	s.VM = p.vm.Name
	s.PingSilence, s.StreamSilence = max(s.PingSilence, now.Sub(p.lastPing)), max(s.StreamSilence, now.Sub(p.lastLine))
	p.seen = Seen{}
	return s
}

var pingLine = regexp.MustCompile(`^\[[0-9.]+\] (\d+ bytes from .*|no answer yet for )icmp_seq=(\d+)`)

// pinged takes a line of ping -D -O.
func (p *probe) pinged(now time.Time, line string) {
	m := pingLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	seq, _ := strconv.Atoi(m[2])
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq < p.lastSeq { // numbers wrap at 65,536, and begin anew with a new ping
		p.lastSeq = seq - 1
	}
	p.seen.Sent += seq - p.lastSeq
	p.seen.Lost += seq - p.lastSeq
	p.lastSeq = seq
	if strings.HasPrefix(m[1], "no answer") {
		return
	}
	p.seen.Lost--
	if !p.lastPing.IsZero() {
		p.seen.PingSilence = max(p.seen.PingSilence, now.Sub(p.lastPing))
	}
	p.lastPing = now
}

// told takes a line of the guest: boot-id found acknowledged errors longest-write-ms.
func (p *probe) told(now time.Time, line string) {
	var boot string
	var found, acked uint64
	var failed int
	var ms int64
	if _, err := fmt.Sscan(line, &boot, &found, &acked, &failed, &ms); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boot != "" {
		p.seen.StreamSilence = max(p.seen.StreamSilence, now.Sub(p.lastLine))
		if boot != p.boot {
			p.seen.Restarts++
			p.failed = 0
			if found < p.acked { // acknowledged, and gone
				p.seen.Errors++
			}
		} else {
			p.seen.Written += acked - p.acked
			p.seen.Errors += failed - p.failed
		}
	}
	p.seen.WriteSilence = max(p.seen.WriteSilence, time.Duration(ms)*time.Millisecond)
	p.boot, p.acked, p.failed, p.lastLine = boot, acked, failed, now
}

func (p *probe) broken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boot != "" {
		p.seen.Breaks++
	}
}

// repeat runs a program at the workstation until ctx ends, again whenever it has ended, and hands on each of its lines with the time at which it
// came. ended is told when it ended by itself.
func (r *Rack) repeat(ctx context.Context, line func(time.Time, string), ended func(), argv ...string) {
	full := r.labArgs(append([]string{"exec", "--in", "ws", "--"}, argv...)...)
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, full[0], full[1:]...)
		cmd.Dir, cmd.Stdout, cmd.WaitDelay = r.Root, &lines{each: line}, 5*time.Second
		_ = cmd.Run() // how it ended says nothing: that it ended does
		if ctx.Err() == nil && ended != nil {
			ended()
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // between two tries to connect
		}
	}
}

// lines cuts what is written into lines.
type lines struct {
	each func(time.Time, string)
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	now := time.Now()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.each(now, string(line))
		l.rest = rest
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
