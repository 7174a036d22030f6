package lab

import (
	"os"
	"path/filepath"
)

// Status is a rack as it is now. No password is in it.
type Status struct {
	Rack       string          `json:"rack"`
	Up         bool            `json:"up"` // namespaces and daemon are there
	RuntimeDir string          `json:"runtime_dir"`
	DaemonPID  int             `json:"daemon_pid,omitempty"`
	CA         string          `json:"ca,omitempty"` // certificate of the authority behind Redfish BMCs
	Stations   []StationStatus `json:"stations"`
	Blades     []BladeStatus   `json:"blades"`
}

// StationStatus is one station.
type StationStatus struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Present   bool              `json:"present"`
	Addresses map[string]string `json:"addresses"`
	SSHDPID   int               `json:"sshd_pid,omitempty"`
	SSHConfig string            `json:"ssh_config,omitempty"` // for ssh -F
}

// BladeStatus is one blade. Files and sockets are named whether they are there yet or not.
type BladeStatus struct {
	Name      string       `json:"name"`
	Power     bool         `json:"power"`
	PID       int          `json:"pid,omitempty"`
	Firmware  Firmware     `json:"firmware"`
	Serial    string       `json:"serial"`
	UUID      string       `json:"uuid"`
	MACs      []string     `json:"macs"`
	Boot      Boot         `json:"boot"`
	BMC       BMCStatus    `json:"bmc"`
	Disks     []DiskStatus `json:"disks"`
	SerialLog string       `json:"serial_log"`
	Console   string       `json:"console"`
}

// BMCStatus is a blade's BMC.
type BMCStatus struct {
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	User     string `json:"user"`
	PID      int    `json:"pid,omitempty"` // of ipmi_sim; Redfish is in the daemon
}

// DiskStatus is one disk.
type DiskStatus struct {
	Name    string `json:"name"`
	Serial  string `json:"serial"`
	SizeGiB int    `json:"size_gib"`
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"` // what the file takes, sparse as it is
}

// Status looks at processes and files; it does not need the daemon.
func (l *Lab) Status() (Status, error) {
	s := Status{Rack: l.Rack.Name, RuntimeDir: l.Dirs.Runtime, DaemonPID: l.pid(rackdName)}
	s.Up = s.DaemonPID != 0 && l.namespacesComplete()
	if l.Rack.CA != nil {
		s.CA = l.Rack.Path(l.Rack.CA.Certificate)
	}
	for _, station := range l.Rack.Stations {
		s.Stations = append(s.Stations, l.stationStatus(station))
	}
	for _, b := range l.Rack.Blades {
		blade, err := l.bladeStatus(b)
		if err != nil {
			return Status{}, err
		}
		s.Blades = append(s.Blades, blade)
	}
	return s, nil
}

// pid gives the pid of a recorded process that runs, else 0.
func (l *Lab) pid(name string) int {
	p, err := l.procs().get(name)
	if err != nil || !p.Alive() {
		return 0
	}
	return p.PID
}

func (l *Lab) stationStatus(s Station) StationStatus {
	ns := l.Rack.Namespace(s.Name)
	out := StationStatus{Name: s.Name, Namespace: ns, Present: namespaceExists(ns), Addresses: s.Addresses}
	if s.SSHD {
		out.SSHDPID = l.pid(sshdProcName(s.Name))
		out.SSHConfig = filepath.Join(l.Dirs.station(s.Name), sshConfigFile)
	}
	return out
}

func (l *Lab) bladeStatus(b Blade) (BladeStatus, error) {
	boot, err := newMachine(b, l.Dirs).boot()
	if err != nil {
		return BladeStatus{}, err
	}
	files := l.Dirs.files(b, 0)
	out := BladeStatus{
		Name: b.Name, PID: l.pid(procName(b.Name)), Firmware: b.Firmware, Serial: b.Serial, UUID: b.UUID, Boot: boot,
		BMC:       BMCStatus{Protocol: b.BMC.Protocol, Address: b.BMC.Address, User: b.BMC.User, PID: l.pid(ipmiProcName(b.Name))},
		SerialLog: l.Dirs.SerialLog(b.Name), Console: l.Dirs.Console(b.Name),
	}
	out.Power = out.PID != 0
	for _, n := range b.NICs {
		out.MACs = append(out.MACs, n.MAC)
	}
	for _, d := range b.Disks {
		out.Disks = append(out.Disks, DiskStatus{d.Name, d.Serial, d.SizeGiB, files.Disks[d.Name], allocated(files.Disks[d.Name])})
	}
	return out, nil
}

// allocated gives the size of a file, 0 when it is not there. A qcow2 image is no larger than what it holds.
func allocated(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}
