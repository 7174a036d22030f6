package provision_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A fleet is many simulated blades that are installed at once through the real servers of one process: state store, order book, DHCP, TFTP, HTTP. A
// simulated blade speaks what firmware, iPXE and the agent speak, from an address of its own, and writes no disk. Servers and blades are two processes in
// two network namespaces with a cable between them; nothing is left of them when the test ends.

// fleetSize says how many blades there are and how many bytes each of them takes.
type fleetSize struct {
	Blades                            int
	FirstStage, Kernel, Initrd, Image int64
	// Root is the image's tar, where it matters; otherwise it is bytes at random.
	Root []byte `json:",omitempty"`
	// Dir is where state, order book and images are kept; empty: on disk.
	Dir string
}

var (
	quickFleet = fleetSize{Blades: 1000, FirstStage: 16 << 10, Kernel: 64 << 10, Initrd: 128 << 10, Image: 256 << 10}
	fullFleet  = fleetSize{Blades: 1000, FirstStage: 256 << 10, Kernel: 1 << 20, Initrd: 4 << 20, Image: 8 << 20}
)

// fleetMemory is what the process of the servers may use at most, in bytes (VmHWM), with everything in it: test framework and cut image included.
const fleetMemory = 600e6

const (
	fleetInside = "NUBO_TEST_FLEET"        // set in the namespace of the blades
	fleetServer = "NUBO_TEST_FLEET_SERVER" // a fleetSize as JSON, in the process of the servers
)

var (
	fleetNet   = netip.MustParsePrefix("10.64.0.0/16")
	fleetRelay = netip.MustParseAddr("10.64.0.1")
)

// fleetAddress is the address of blade n, from 0.
func fleetAddress(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 64, byte(1 + n/250), byte(1 + n%250)})
}

func fleetMAC(n int) []byte { return []byte{0x52, 0x54, 0, 0x64, byte(n >> 8), byte(n)} }

// TestThousandBlades installs 1,000 blades at once: none is refused, none gives up, and the servers stay within their memory. State and order book are kept
// in memory, where there is such a file system, so that it does not wait for the disk some ten thousand times.
func TestThousandBlades(t *testing.T) {
	if !insideFleet(t) {
		return
	}
	size := quickFleet
	if dir, err := os.MkdirTemp("/dev/shm", "nubo-fleet-"); err == nil {
		size.Dir = dir
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	runFleet(t, size)
}

// TestBenchFleet is the same with more bytes and on disk, for figures.
func TestBenchFleet(t *testing.T) {
	if os.Getenv("NUBO_BENCH") == "" {
		t.Skip("a benchmark: set NUBO_BENCH=1 (make bench)")
	}
	if insideFleet(t) {
		runFleet(t, fullFleet)
	}
}

// insideFleet runs the calling test again in a network namespace of its own; true inside of it.
func insideFleet(t *testing.T) bool {
	t.Helper()
	if os.Getenv(fleetInside) != "" {
		return true
	}
	if testing.Short() {
		t.Skip("a thousand blades; left out by -short")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=15m")
	cmd.Env = append(os.Environ(), fleetInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in its namespace: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "FIGURE ") {
			fmt.Print(line) // for make bench
			t.Log(strings.TrimSpace(line))
		}
	}
	return false
}

// servers is the other process.
type servers struct {
	cmd   *exec.Cmd
	in    *json.Encoder
	out   *bufio.Scanner
	close func() error
}

// startServers runs them in a namespace of their own, behind a cable whose end here is "blades" with all addresses of the fleet.
func startServers(t *testing.T, size fleetSize) *servers {
	t.Helper()
	text, err := json.Marshal(size)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFleetServers$", "-test.timeout=15m")
	cmd.Env = append(os.Environ(), fleetServer+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	s := &servers{cmd: cmd, in: json.NewEncoder(in), out: bufio.NewScanner(out), close: in.Close}
	s.out.Buffer(nil, 1<<20)
	t.Cleanup(func() {
		_ = s.close()
		for s.out.Scan() { // to its end, so that it can print
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the servers' process: %v", err)
		}
	})
	cable(t, cmd.Process.Pid, size.Blades)
	return s
}

// cable connects this namespace with that of a process.
func cable(t *testing.T, pid, blades int) {
	t.Helper()
	var batch strings.Builder
	fmt.Fprintf(&batch, "link set lo up\nlink add blades type veth peer name servers netns %d\nlink set blades up\n", pid)
	for n := range blades {
		fmt.Fprintf(&batch, "address add %s/%d dev blades\n", fleetAddress(n), fleetNet.Bits())
	}
	ip := func(argv []string, input string) {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	ip([]string{"ip", "-batch", "-"}, batch.String())
	ip([]string{"nsenter", "--net=/proc/" + fmt.Sprint(pid) + "/ns/net", "ip", "-batch", "-"},
		fmt.Sprintf("link set lo up\nlink set servers up\naddress add %s/%d dev servers\n", fleetRelay, fleetNet.Bits()))
}

// fleetNews is one line of what the servers tell.
type fleetNews struct {
	What    string  `json:"what"` // serving, armed, installed
	Seconds float64 `json:"seconds,omitempty"`
	Count   int     `json:"count,omitempty"`
	Memory  float64 `json:"memory,omitempty"` // bytes, at its highest
	Trust   []byte  `json:"trust,omitempty"`
	Secret  []byte  `json:"secret,omitempty"` // the key that orders are signed with
	Error   string  `json:"error,omitempty"`
}

// say tells the servers to go on; next waits for what they tell then.
func (s *servers) say(t *testing.T, word string) {
	t.Helper()
	if err := s.in.Encode(word); err != nil {
		t.Fatal(err)
	}
}

func (s *servers) next(t *testing.T, what string) fleetNews {
	t.Helper()
	for s.out.Scan() {
		var news fleetNews
		if json.Unmarshal(s.out.Bytes(), &news) != nil {
			continue // the test framework's own lines
		}
		if news.What != what || news.Error != "" {
			t.Fatalf("waiting for the servers to tell %q, they told %+v", what, news)
		}
		return news
	}
	t.Fatalf("the servers ended before they told %q (%v)", what, s.out.Err())
	return fleetNews{}
}

// runFleet installs a fleet: all orders are armed, then all blades are switched on at the same moment.
func runFleet(t *testing.T, size fleetSize) {
	s := startServers(t, size)
	s.say(t, "serve")
	trust := s.next(t, "serving").Trust
	s.say(t, "arm")
	armed := s.next(t, "armed")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	lan := newLAN(t, "blades")
	began := time.Now()
	var g errgroup.Group
	var mu sync.Mutex
	var wrong []error
	for n := range size.Blades {
		b := newSimBlade(n, lan, trust, size)
		g.Go(func() error {
			defer b.close()
			err := errors.Join(b.install(ctx), b.refused())
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				wrong = append(wrong, fmt.Errorf("blade %d: %w", n, err))
			}
			return nil
		})
	}
	_ = g.Wait()
	took := time.Since(began)
	if len(wrong) > 0 {
		t.Fatalf("%d of %d blades were refused something or gave up; the first: %v", len(wrong), size.Blades, wrong[0])
	}
	done := s.next(t, "installed")
	if done.Count != size.Blades {
		t.Errorf("%d of %d blades are known to be installed", done.Count, size.Blades)
	}
	if done.Memory > fleetMemory {
		t.Errorf("the servers used %.0f MB at their highest, at most %.0f are allowed", done.Memory/1e6, fleetMemory/1e6)
	}
	perBlade := size.FirstStage + size.Kernel + size.Initrd + size.Image
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("FIGURE fleet: %d blades at once, %.1f MiB each: orders given in %.1f s, installed %.1f s after power-on, state kept after %.1f s: %.0f deployments per minute; "+
		"servers %.0f MB of memory; %d DHCP packets repeated; load %.5s\n",
		size.Blades, float64(perBlade)/(1<<20), armed.Seconds, took.Seconds(), done.Seconds, float64(size.Blades)/(done.Seconds/60), done.Memory/1e6, lan.repeated.Load(), load)
}
