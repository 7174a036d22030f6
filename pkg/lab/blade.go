package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// powerOffGrace is how long QEMU may take to close its images. The guest is not told: its power is gone.
const powerOffGrace = 20 * time.Second

// machine is one blade as its BMC sees it: power, boot override, reset. Its state is on disk and in the process table,
// so a new daemon finds a running blade as it is. Safe for concurrent use.
type machine struct {
	blade Blade
	dirs  Dirs
	procs records
	mu    sync.Mutex // one change at a time
}

func newMachine(b Blade, d Dirs) *machine {
	return &machine{blade: b, dirs: d, procs: records(d.procs())}
}

// procName is the record of a blade's QEMU process.
func procName(blade string) string { return "qemu-" + blade }

func (m *machine) bootFile() string { return filepath.Join(m.dirs.blade(m.blade.Name), "boot.json") }

// power tells whether the blade is switched on, which is whether its QEMU process runs.
func (m *machine) power() bool { return m.procs.alive(procName(m.blade.Name)) }

// setPower switches the blade on or off at once. Setting what already holds does nothing.
func (m *machine) setPower(ctx context.Context, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if on {
		return m.switchOn(ctx)
	}
	return m.procs.end(ctx, procName(m.blade.Name), powerOffGrace)
}

func (m *machine) switchOn(ctx context.Context) error {
	if m.power() {
		return nil
	}
	boot, err := readBoot(m.bootFile())
	if err == nil {
		err = m.launch(ctx, boot)
	}
	if err == nil {
		err = m.consume(boot)
	}
	if err != nil {
		return fmt.Errorf("switch %s on: %w", m.blade.Name, err)
	}
	return nil
}

// launch starts QEMU and returns when its monitor answers. The override counts for the first start of the firmware: a
// restart that comes from the guest takes the usual order again, or that of a lasting override.
func (m *machine) launch(ctx context.Context, boot Boot) error {
	files, err := m.nextFiles()
	if err != nil {
		return err
	}
	cmd := exec.Command("qemu-system-x86_64", qemuArgs(m.blade, launch{Files: files, KVM: haveKVM(), First: boot.Device})...)
	log := filepath.Join(m.dirs.logs(), procName(m.blade.Name)+".log")
	p, err := m.procs.start(procName(m.blade.Name), cmd, log)
	if err != nil {
		return err
	}
	if err := m.settle(ctx, p, files, boot); err != nil {
		stopped := m.procs.end(context.WithoutCancel(ctx), p.Name, powerOffGrace)
		return errors.Join(fmt.Errorf("%w; QEMU says: %s", err, lastLines(log, 5)), stopped)
	}
	return nil
}

// settle waits for the monitor of a QEMU that was just started and sets the boot order of later restarts.
func (m *machine) settle(ctx context.Context, p Process, files bladeFiles, boot Boot) error {
	monitor, err := awaitQMP(ctx, p, files.QMP)
	if err != nil {
		return err
	}
	defer monitor.Close()
	if !boot.Once {
		return nil
	}
	return monitor.setBootIndexes(m.blade, None)
}

// awaitQMP connects to the monitor of a QEMU that was just started.
func awaitQMP(ctx context.Context, p Process, socket string) (*qmp, error) {
	var monitor *qmp
	err := waitFor(ctx, "QEMU's monitor at "+socket, time.Minute, func() (bool, error) {
		if !p.Alive() {
			return false, errors.New("QEMU has ended")
		}
		var err error
		monitor, err = dialQMP(ctx, socket)
		return err == nil, nil
	})
	return monitor, err
}

// nextFiles gives the files of the next power-on, and points the serial log's link at it.
func (m *machine) nextFiles() (bladeFiles, error) {
	old, err := filepath.Glob(filepath.Join(m.dirs.blade(m.blade.Name), "serial-*.log"))
	if err != nil {
		return bladeFiles{}, err
	}
	files := m.dirs.files(m.blade, len(old)+1)
	for _, socket := range []string{files.QMP, files.Line} {
		if err := remove(socket); err != nil {
			return bladeFiles{}, err
		}
	}
	if err := os.WriteFile(files.Serial, nil, 0o600); err != nil {
		return bladeFiles{}, err
	}
	link := m.dirs.SerialLog(m.blade.Name)
	if err := remove(link); err != nil {
		return bladeFiles{}, err
	}
	return files, os.Symlink(filepath.Base(files.Serial), link)
}

// reset restarts a running blade, as its reset line would. When there is a boot override QEMU is started anew, as some
// of what the firmware is told is fixed when QEMU starts.
func (m *machine) reset(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	boot, err := readBoot(m.bootFile())
	if err != nil {
		return err
	}
	if boot.Device == None || !m.power() {
		return m.viaMonitor(ctx, "reset", func(monitor *qmp) error {
			if err := monitor.setBootIndexes(m.blade, None); err != nil {
				return err
			}
			return monitor.reset()
		})
	}
	if err := m.procs.end(ctx, procName(m.blade.Name), powerOffGrace); err != nil {
		return err
	}
	return m.switchOn(ctx)
}

// shutdown presses the power button: the guest shuts down, if it listens.
func (m *machine) shutdown(ctx context.Context) error {
	return m.viaMonitor(ctx, "shut down", func(monitor *qmp) error { return monitor.run("system_powerdown", nil) })
}

func (m *machine) viaMonitor(ctx context.Context, what string, do func(*qmp) error) error {
	fail := func(err error) error { return fmt.Errorf("%s %s: %w", what, m.blade.Name, err) }
	if !m.power() {
		return fail(errors.New("it is switched off"))
	}
	monitor, err := dialQMP(ctx, m.dirs.files(m.blade, 0).QMP)
	if err != nil {
		return fail(err)
	}
	defer monitor.Close()
	if err := do(monitor); err != nil {
		return fail(err)
	}
	return nil
}

// boot reads the boot override.
func (m *machine) boot() (Boot, error) { return readBoot(m.bootFile()) }

// setBoot replaces the boot override, for the next start.
func (m *machine) setBoot(boot Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if boot.Device == HTTP && m.blade.Firmware == BIOS {
		return fmt.Errorf("%s: SeaBIOS cannot boot by HTTP: set pxe", m.blade.Name)
	}
	return writeBoot(m.bootFile(), boot)
}

// consume drops an override that was for one start.
func (m *machine) consume(boot Boot) error {
	if !boot.Once {
		return nil
	}
	return writeBoot(m.bootFile(), Boot{Device: None})
}
