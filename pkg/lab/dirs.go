package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Dirs are the folders of a rack that is up.
type Dirs struct {
	// Runtime holds disks, logs, keys and the records of processes.
	Runtime string
	// Sockets holds the unix sockets. It is short and depends on Runtime alone, as the path of a socket may have 107
	// bytes (unix(7)) and a checkout may lie deep.
	Sockets string
}

// socketRoot is where every rack's folder of sockets lies.
const socketRoot = "/run/nubo-lab"

// DirsFor gives the folders of a rack by its runtime folder.
func DirsFor(runtime string) (Dirs, error) {
	abs, err := filepath.Abs(runtime)
	if err != nil {
		return Dirs{}, fmt.Errorf("runtime folder %s: %w", runtime, err)
	}
	sum := sha256.Sum256([]byte(abs))
	return Dirs{Runtime: abs, Sockets: filepath.Join(socketRoot, hex.EncodeToString(sum[:6]))}, nil
}

// bladeFiles are the files of one blade.
type bladeFiles struct {
	Disks   map[string]string // disk name to qcow2 image
	Vars    string            // UEFI variables
	Serial  string            // log of the serial console of this power-on
	Line    string            // unix socket of QEMU's serial line, for one user
	Console string            // unix socket of the serial console, for many; the daemon's
	QMP     string            // unix socket of the QEMU monitor
}

func (d Dirs) control() string            { return filepath.Join(d.Sockets, "rackd") }
func (d Dirs) procs() string              { return filepath.Join(d.Runtime, "procs") }
func (d Dirs) logs() string               { return filepath.Join(d.Runtime, "logs") }
func (d Dirs) blade(name string) string   { return filepath.Join(d.Runtime, "blades", name) }
func (d Dirs) station(name string) string { return filepath.Join(d.Runtime, "stations", name) }

// SerialLog is the serial console of a blade's newest power-on; a link.
func (d Dirs) SerialLog(blade string) string { return filepath.Join(d.blade(blade), "serial.log") }

// Console is the unix socket of a blade's serial console.
func (d Dirs) Console(blade string) string { return filepath.Join(d.Sockets, blade+".console") }

// files gives a blade's files, with the serial log of a power-on, counted from 1.
func (d Dirs) files(b Blade, powerOn int) bladeFiles {
	dir := d.blade(b.Name)
	f := bladeFiles{
		Disks:   map[string]string{},
		Vars:    filepath.Join(dir, "vars.fd"),
		Serial:  filepath.Join(dir, fmt.Sprintf("serial-%03d.log", powerOn)),
		Line:    filepath.Join(d.Sockets, b.Name+".serial"),
		Console: d.Console(b.Name),
		QMP:     filepath.Join(d.Sockets, b.Name+".qmp"),
	}
	for _, disk := range b.Disks {
		f.Disks[disk.Name] = filepath.Join(dir, disk.Name+".qcow2")
	}
	return f
}

// make creates the folders, readable by their owner only.
func (d Dirs) make(rack *Rack) error {
	dirs := []string{d.Runtime, d.Sockets, d.procs(), d.logs()}
	for _, b := range rack.Blades {
		dirs = append(dirs, d.blade(b.Name))
	}
	for _, s := range rack.Stations {
		dirs = append(dirs, d.station(s.Name))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the rack's folders: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file at once, so that a reader sees the old text or the new one.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
