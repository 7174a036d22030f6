package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lab is one rack on this machine.
type Lab struct {
	Rack *Rack
	Dirs Dirs
	// RackFile is the file that the daemon reads the rack from.
	RackFile string
	// Self is the nubo-lab program: the daemon, and what ipmi_sim calls.
	Self string
	// Out gets one line for each step; nil discards.
	Out io.Writer
}

func (l *Lab) say(format string, args ...any) {
	if l.Out != nil {
		fmt.Fprintf(l.Out, format+"\n", args...)
	}
}

func (l *Lab) procs() records { return records(l.Dirs.procs()) }

// programs are what a rack runs, beside this one; e2e/host-packages installs them.
var programs = []string{"ip", "ipmi_sim", "qemu-img", "qemu-system-x86_64", "/usr/sbin/sshd"}

// checkHost tells what is missing for a rack on this machine, all at once.
func checkHost() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("network namespaces need root: run nubo-lab as root or with sudo"))
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			errs = append(errs, fmt.Errorf("%w: run e2e/host-packages", err))
		}
	}
	return errors.Join(errs...)
}

// Up builds what is not there yet: folders, networks, disks, sshd and the daemon with the BMCs. All blades of a new rack
// are switched off; those of one that is up are left alone.
func (l *Lab) Up(ctx context.Context) error {
	if err := checkHost(); err != nil {
		return err
	}
	if err := l.Dirs.make(l.Rack); err != nil {
		return err
	}
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, step := range []func(context.Context) error{l.upNetwork, l.upBlades, l.upStations, l.upDaemon} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("bring rack %s up: %w", l.Rack.Name, err)
		}
	}
	return nil
}

// lock keeps two runs of Up or Down for one rack apart.
func (l *Lab) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.Dirs.Runtime, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("rack %s is being brought up or down by another process: %w", l.Rack.Name, err)
	}
	return func() { f.Close() }, nil
}

// networkMark is what the runtime folder says about the networks that were built completely: their plan in this boot.
func (l *Lab) networkMark() (string, error) {
	boot, err := bootID()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Append(nil, boot, networkPlan(l.Rack)))
	return hex.EncodeToString(sum[:]), nil
}

func (l *Lab) upNetwork(ctx context.Context) error {
	mark, err := l.networkMark()
	if err != nil {
		return err
	}
	file := filepath.Join(l.Dirs.Runtime, "network")
	there, _ := os.ReadFile(file)
	if string(there) == mark && l.namespacesComplete() {
		return nil
	}
	if pids, err := namespacePIDs(ctx, l.Rack); err != nil {
		return err
	} else if len(pids) > 0 {
		return fmt.Errorf("its namespaces are there, differ from the rack file and hold processes %v: run nubo-lab down first", pids)
	}
	if err := removeNamespaces(ctx, l.Rack); err != nil {
		return err
	}
	if err := buildNetwork(ctx, l.Rack); err != nil {
		return err
	}
	l.say("networks: %s", strings.Join(namespaces(l.Rack), " "))
	return writeFile(file, []byte(mark), 0o600)
}

func (l *Lab) namespacesComplete() bool {
	for _, name := range namespaces(l.Rack) {
		if !namespaceExists(name) {
			return false
		}
	}
	return true
}

// upBlades makes the disks and the UEFI variables that are not there.
func (l *Lab) upBlades(ctx context.Context) error {
	for _, b := range l.Rack.Blades {
		files := l.Dirs.files(b, 0)
		for _, d := range b.Disks {
			if err := createDisk(ctx, files.Disks[d.Name], d.SizeGiB); err != nil {
				return err
			}
		}
		vars := map[Firmware]string{UEFI: ovmfVars, UEFISecure: ovmfSecureVars}[b.Firmware]
		if vars == "" {
			continue
		}
		if err := copyOnce(vars, files.Vars); err != nil {
			return fmt.Errorf("UEFI variables of %s: %w", b.Name, err)
		}
	}
	return nil
}

func createDisk(ctx context.Context, file string, sizeGiB int) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", file, fmt.Sprintf("%dG", sizeGiB)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make disk %s: %w: %s", file, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func copyOnce(from, to string) error {
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, data, 0o600)
}

func (l *Lab) upStations(ctx context.Context) error {
	for _, s := range l.Rack.Stations {
		if !s.SSHD || l.procs().alive(sshdProcName(s.Name)) {
			continue
		}
		if err := prepareSSHD(s, l.Dirs); err != nil {
			return err
		}
		log := filepath.Join(l.Dirs.logs(), sshdProcName(s.Name)+".log")
		p, err := l.procs().start(sshdProcName(s.Name), sshdCommand(l.Rack, s, l.Dirs), log)
		if err != nil {
			return err
		}
		err = waitFor(ctx, "sshd of "+s.Name, time.Minute, func() (bool, error) {
			if !p.Alive() {
				return false, fmt.Errorf("it has ended: %s", lastLines(log, 5))
			}
			return l.answers(ctx, s)
		})
		if err != nil {
			return err
		}
		l.say("sshd: station %s (ssh -F %s %s)", s.Name, filepath.Join(l.Dirs.station(s.Name), sshConfigFile), s.Name)
	}
	return nil
}

// answers tells whether the sshd of a station says hello on all its addresses.
func (l *Lab) answers(ctx context.Context, s Station) (bool, error) {
	for _, address := range s.Addresses {
		host := netip.MustParsePrefix(address).Addr().String()
		out, _ := l.Command(ctx, s.Name, "ssh-keyscan", "-t", "ed25519", "-T", "1", host).Output()
		if len(out) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// upDaemon starts the daemon in the switch's namespace and waits until the BMCs are there.
func (l *Lab) upDaemon(ctx context.Context) error {
	if l.procs().alive(rackdName) {
		return nil
	}
	log := filepath.Join(l.Dirs.logs(), rackdName+".log")
	cmd := exec.Command("ip", "netns", "exec", l.Rack.Namespace(switchName), l.Self, "rackd", "--rack", l.RackFile, "--dir", l.Dirs.Runtime)
	p, err := l.procs().start(rackdName, cmd, log)
	if err != nil {
		return err
	}
	client := NewClient(l.Dirs)
	err = waitFor(ctx, "the rack's daemon", time.Minute, func() (bool, error) {
		if !p.Alive() {
			return false, fmt.Errorf("it has ended: %s", lastLines(log, 5))
		}
		return client.Ping(ctx) == nil, nil
	})
	if err != nil {
		return errors.Join(err, l.procs().end(context.WithoutCancel(ctx), rackdName, 5*time.Second))
	}
	for _, b := range l.Rack.Blades {
		l.say("blade: %s, BMC %s at %s", b.Name, b.BMC.Protocol, b.BMC.Address)
	}
	return nil
}

// Command makes a command that runs in the namespace of a station; "sw" is the switch's.
func (l *Lab) Command(ctx context.Context, station string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.Rack.Namespace(station)}, argv...)...)
}

// Client speaks to the rack's daemon.
func (l *Lab) Client() *Client { return NewClient(l.Dirs) }

// DialConsole connects to the serial console of a blade that is switched on.
func (l *Lab) DialConsole(ctx context.Context, blade string) (net.Conn, error) {
	if _, err := l.Rack.Blade(blade); err != nil {
		return nil, err
	}
	if on, err := l.Client().Power(ctx, blade); err != nil || !on {
		return nil, fmt.Errorf("console of %s: %w", blade, cmp.Or(err, errors.New("it is switched off")))
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", l.Dirs.Console(blade))
	if err != nil {
		return nil, fmt.Errorf("console of %s: %w", blade, err)
	}
	return conn, nil
}
