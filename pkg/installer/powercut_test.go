package installer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// The agent runs in a process of its own, with mounts of its own. Before each line of its log and each tool it stops, until it is told to go on. There it
// can be killed, and the disk be given what it had at that moment: what was still in memory is lost, as when power is cut.

const (
	agentDir  = "NUBO_TEST_AGENT_DIR"
	agentLoop = "NUBO_TEST_AGENT_LOOP"
	agentURL  = "NUBO_TEST_AGENT_URL"
)

// stops makes the agent wait at points.
type stops struct {
	mu   sync.Mutex
	next *bufio.Reader
	out  io.Writer
	tool run.Runner
}

func (s *stops) at(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "POINT %s\n", strings.ReplaceAll(what, "\n", " "))
	if _, err := s.next.ReadString('\n'); err != nil {
		os.Exit(3)
	}
}

func (s *stops) Run(ctx context.Context, c run.Cmd) ([]byte, error) {
	s.at("tool " + c.Name + " " + strings.Join(c.Args, " "))
	return s.tool.Run(ctx, c)
}

// TestAgentProcess is the process of the agent.
func TestAgentProcess(t *testing.T) {
	dir := os.Getenv(agentDir)
	if dir == "" {
		t.Skip("the other process of the power cut tests")
	}
	trust, err := os.ReadFile(filepath.Join(dir, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	s := &stops{next: bufio.NewReader(os.Stdin), out: os.Stdout, tool: &blade{loop: os.Getenv(agentLoop), dir: dir, serial: testSerial}}
	i, err := New(Options{
		Relay: os.Getenv(agentURL), OrderID: "o-1", Trust: trust, Agent: filepath.Join(dir, "agent"), Sysroot: filepath.Join(dir, "run", "sysroot"),
		Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Runner: s, DiskTypes: []string{"loop"}, Patience: 10 * time.Second,
		BootLoaders: func(context.Context, *Install) error { return nil },
		Log:         func(line string) { s.at("log " + line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err != nil {
		fmt.Printf("ENDED %v\n", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ENDED")
}

// installUntil runs the agent until it ends, or until its point number cut, from 0, where power is cut: then end is empty. It returns the points it came to.
func (b *blade) installUntil(t *testing.T, bootID string, cut int) (points []string, end string) {
	t.Helper()
	b.put(t, "proc/sys/kernel/random/boot_id", bootID+"\n")
	b.put(t, "trust", string(b.relay.trust))
	cmd := exec.Command(os.Args[0], "-test.run=^TestAgentProcess$")
	cmd.Env = append(os.Environ(), agentDir+"="+b.dir, agentLoop+"="+b.loop, agentURL+"="+b.relay.URL)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "ENDED"); ok {
			end = "ended" + text
		}
		point, ok := strings.CutPrefix(lines.Text(), "POINT ")
		if !ok {
			continue
		}
		if len(points) == cut {
			b.cutPower(t, cmd)
			return append(points, point), ""
		}
		points = append(points, point)
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil || end == "" {
		t.Fatalf("the agent's process ended with %v, at %v", err, points)
	}
	return points, end
}

// cutPower keeps what has reached the disk, kills the agent, and starts the machine again with a disk that has just that.
func (b *blade) cutPower(t *testing.T, agent *exec.Cmd) {
	t.Helper()
	kept := b.image + ".kept"
	tool(t, "cp", "--sparse=always", b.image, kept)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // killed
	b.detach(t)
	if err := os.Rename(kept, b.image); err != nil {
		t.Fatal(err)
	}
	b.attach(t)
}

// TestPowerCut cuts power at points of an install. The same order goes on when the disk carries its nonce; when nothing of it had reached the disk, the
// relay refuses a second first write, and the next order, which knows of this one, installs. Either way the host is whole.
func TestPowerCut(t *testing.T) {
	b := newBlade(t)
	b.relay.arm(t, testOrder(), b.relay.key)
	points, end := b.installUntil(t, "boot-0", -1)
	if end != "ended" {
		t.Fatalf("without any fault: %s", end)
	}
	first := slices.IndexFunc(points, func(p string) bool { return strings.HasPrefix(p, "log partition") })
	if first < 0 || len(points)-first < 10 {
		t.Fatalf("the install has no points to cut it at: %q", points)
	}
	cuts := seededCuts(len(points) - first)
	for _, c := range cuts {
		cut := first + c
		t.Run(fmt.Sprintf("point %d of %d", c, len(points)-first), func(t *testing.T) { powerCut(t, cut) })
	}
}

// seededCuts are a few points out of n, in order, all of them where time is no matter (NUBO_LONG).
func seededCuts(n int) []int {
	if os.Getenv("NUBO_LONG") != "" {
		cuts := make([]int, n)
		for i := range cuts {
			cuts[i] = i
		}
		return cuts
	}
	rnd, cuts := rand.New(rand.NewPCG(6, 6)), make([]int, 6) // one out of each sixth
	for i := range cuts {
		from, to := i*n/len(cuts), (i+1)*n/len(cuts)
		cuts[i] = from + rnd.IntN(to-from)
	}
	return cuts
}

func powerCut(t *testing.T, cut int) {
	b := newBlade(t)
	o := testOrder()
	b.relay.arm(t, o, b.relay.key)
	points, _ := b.installUntil(t, "boot-1", cut)
	t.Logf("power was cut before: %s", points[len(points)-1])
	if b.relay.state().Phase == order.PhaseInstalled { // what was reported must be on the disk
		b.whole(t, o)
		return
	}
	_, end := b.installUntil(t, "boot-2", -1)
	record := b.relay.state()
	switch {
	case end == "ended" && record.Phase == order.PhaseInstalled && record.Attempts == 2:
	case strings.Contains(end, order.ErrConsumed.Error()) && record.Attempts == 1:
		if nonce := b.nonce(t); nonce == o.Nonce {
			t.Errorf("the disk carries the order's nonce, and it was refused to go on: %s", end)
		}
		o.ID, o.Disks.Unfinished, o.Nonce = "o-1", []string{o.Nonce}, "ffeeddccbbaa99887766554433221100"
		b.relay.arm(t, o, b.relay.key)
		if _, end = b.installUntil(t, "boot-3", -1); end != "ended" {
			t.Fatalf("under the next order: %s", end)
		}
	default:
		t.Fatalf("after the power cut: %s; the order is %s after %d attempts, %+v", end, record.Phase, record.Attempts, record.Problem)
	}
	b.whole(t, o)
}

// nonce is the one that the disk carries, in an order's form; empty: none.
func (b *blade) nonce(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sfdisk", "--dump", b.loop).Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if id, ok := strings.CutPrefix(line, "label-id: "); ok {
			return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(id), "-", ""))
		}
	}
	return ""
}

// whole proves that the disk holds the host of an order: its file systems have no faults, the slot has every byte of the image and is bootable.
func (b *blade) whole(t *testing.T, o order.Order) {
	t.Helper()
	if got := b.nonce(t); got != o.Nonce {
		t.Errorf("the disk carries nonce %s", got)
	}
	for _, part := range []string{disk.PartA, disk.PartBoot, disk.PartState} {
		tool(t, "e2fsck", "-f", "-n", disk.PartPath(b.loop, disk.Number(part)))
	}
	b.mounted(t, disk.PartA, func(dir string) {
		kernel, err := os.ReadFile(filepath.Join(dir, "vmlinuz"))
		if err != nil || model.DigestBytes(kernel) != model.DigestBytes([]byte(strings.Repeat("some kernel code\n", 400_000))) {
			t.Errorf("the kernel has %d bytes, %v", len(kernel), err)
		}
		if _, err := os.Stat(filepath.Join(dir, boot.SlotConfig)); err != nil {
			t.Error(err)
		}
	})
	b.mounted(t, disk.PartBoot, func(dir string) {
		if env, err := boot.ReadEnv(boot.EnvPath(dir)); err != nil || env[boot.DefaultSlot] != "a" || env[boot.LaidUnder] != o.Nonce {
			t.Errorf("boot environment %v, %v", env, err)
		}
	})
}

// TestDiskErrors writes to a disk that fails from some amount of bytes on: its blocks come from a file system that is full, so the kernel answers writes with
// an error. The agent must never say that the machine is installed. On a disk that works again, the same order goes on, or is refused and the next one does.
func TestDiskErrors(t *testing.T) {
	b := newBlade(t)
	b.relay.arm(t, testOrder(), b.relay.key)
	if err := b.install(t, "boot-0"); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(b.image, &st); err != nil {
		t.Fatal(err)
	}
	used := st.Blocks * 512
	for _, percent := range []int64{2, 40, 75} {
		t.Run(fmt.Sprintf("after %d%% of what an install writes", percent), func(t *testing.T) { diskError(t, used*percent/100) })
	}
}

func diskError(t *testing.T, room int64) {
	b := newBlade(t)
	small := filepath.Join(b.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	tool(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", room), "tmpfs", small)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", small).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	b.detach(t)
	b.image = filepath.Join(small, "disk")
	if err := os.WriteFile(b.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(b.image, diskSize); err != nil {
		t.Fatal(err)
	}
	b.loop = tool(t, "losetup", "--find", "--show", b.image)
	o := testOrder()
	b.relay.arm(t, o, b.relay.key)
	err := b.install(t, "boot-1")
	record := b.relay.state()
	if err == nil || record.Phase != order.PhaseFailed {
		t.Fatalf("the disk has failed, the agent says %v and the order is %s", err, record.Phase)
	}
	t.Logf("the report: %s: %s; %s", record.Problem.Phase, record.Problem.Got, record.Problem.Remedy)
	if record.Problem.Target == "" || record.Problem.Got == "" {
		t.Errorf("the report does not say on what, or what came back: %+v", record.Problem)
	}
	tool(t, "mount", "-o", fmt.Sprintf("remount,size=%d", diskSize), small)
	b.detach(t)
	b.attach(t)
	if b.nonce(t) != o.Nonce { // nothing of it has reached the disk
		o.Disks.Unfinished, o.Nonce = []string{o.Nonce}, "ffeeddccbbaa99887766554433221100"
		b.relay.arm(t, o, b.relay.key)
	}
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatalf("on a disk that works again: %v", err)
	}
	b.whole(t, o)
}

// attach makes a disk of the image again, with the partitions that are on it.
func (b *blade) attach(t *testing.T) {
	t.Helper()
	b.loop = tool(t, "losetup", "--find", "--show", b.image)
	_ = exec.Command("partx", "--update", b.loop).Run() // there may be none
}

// detach lets go of the disk. What is mounted of it was mounted in the namespace of a process that is gone.
func (b *blade) detach(t *testing.T) {
	t.Helper()
	_ = exec.Command("partx", "--delete", b.loop).Run() // there may be none
	tool(t, "losetup", "--detach", b.loop)
}
