package order

import (
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// ReportKind is what an agent has to say.
type ReportKind string

// The kinds, in the order in which a good install sends them. Refused means that nothing was written; Failed that something was.
const (
	ReportFacts     ReportKind = "facts"
	ReportProgress  ReportKind = "progress"
	ReportRefused   ReportKind = "refused"
	ReportFailed    ReportKind = "failed"
	ReportInstalled ReportKind = "installed"
)

// Report is one message from agent to relay, posted to /v1/orders/ID/reports. Seq counts from 1 within one boot of the ramdisk, so
// that a repeated post is recognised.
type Report struct {
	FormatVersion int        `json:"format_version"`
	Order         string     `json:"order"`
	Boot          string     `json:"boot"` // the ramdisk's boot id
	Seq           int        `json:"seq"`
	Time          time.Time  `json:"time"`
	Kind          ReportKind `json:"kind"`
	Progress      *Progress  `json:"progress,omitempty"`
	Facts         *Facts     `json:"facts,omitempty"`
	Problem       *Problem   `json:"problem,omitempty"`
	Installed     *Installed `json:"installed,omitempty"`
}

// Progress says what the agent is doing; Done and Total are bytes where a phase moves bytes.
type Progress struct {
	Phase string `json:"phase"` // verify, partition, image, config, bootloader, finish
	Text  string `json:"text,omitempty"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
}

// Problem says what was tried, on what, what came back, and what to do.
type Problem struct {
	Phase  string   `json:"phase"`
	Tried  string   `json:"tried"`
	Target string   `json:"target,omitempty"`
	Got    string   `json:"got"`
	Remedy string   `json:"remedy,omitempty"`
	Log    []string `json:"log,omitempty"` // the agent's last lines
}

// Facts is what the ramdisk found in the machine.
type Facts struct {
	Serial       string       `json:"serial,omitempty"`
	Manufacturer string       `json:"manufacturer,omitempty"`
	Product      string       `json:"product,omitempty"`
	UUID         string       `json:"uuid,omitempty"`
	Firmware     string       `json:"firmware"` // bios or uefi
	BIOSVersion  string       `json:"bios_version,omitempty"`
	SecureBoot   bool         `json:"secure_boot,omitempty"`
	CPUModel     string       `json:"cpu_model,omitempty"`
	CPUs         int          `json:"cpus"`
	MemoryMiB    int64        `json:"memory_mib"`
	Disks        []model.Disk `json:"disks"`
	NICs         []FactNIC    `json:"nics"`
}

// FactNIC is a network card that the ramdisk found.
type FactNIC struct {
	Name    string `json:"name"`
	MAC     string `json:"mac"`
	Driver  string `json:"driver,omitempty"`
	Carrier bool   `json:"carrier"`
	SpeedMb int    `json:"speed_mb,omitempty"`
	// Neighbours are those heard on it by LLDP: one, behind a switch.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
}

// Installed closes an order: the nonce comes back, with the public halves of the host keys made on the machine.
type Installed struct {
	Nonce     string       `json:"nonce"`
	RootDisk  model.Disk   `json:"root_disk"`
	Slot      string       `json:"slot"`
	Image     model.Digest `json:"image"`
	Config    model.Digest `json:"config"`
	HostKeys  []string     `json:"host_keys"` // authorized_keys form
	BytesRead int64        `json:"bytes_read"`
	Attempt   int          `json:"attempt"`
	// Notes are what is not as it should be and stopped nothing: cards that are connected otherwise than the order says.
	Notes []string `json:"notes,omitempty"`
}

// Consume is posted to /v1/orders/ID/consume right before the first write to a disk. DiskNonce is the nonce that the root disk already
// carries, if any: the same nonce makes this a continuation, which is allowed MaxAttempts times.
type Consume struct {
	Nonce     string `json:"nonce"`
	Serial    string `json:"serial,omitempty"`
	Boot      string `json:"boot"`
	DiskNonce string `json:"disk_nonce,omitempty"`
}

// Consumed is the answer to Consume when it is granted; a refusal is 409 with an APIError.
type Consumed struct {
	Attempt int `json:"attempt"`
}

// APIError is the body of every answer that is not 2xx.
type APIError struct {
	Error  string `json:"error"`
	Remedy string `json:"remedy,omitempty"`
}

// Phase is how far an order is, as the relay knows it.
type Phase string

// The phases. Armed: the relay will answer the machine's next network boot. Booted: it has. Consumed: the first write was granted.
const (
	PhaseArmed     Phase = "armed"
	PhaseBooted    Phase = "booted"
	PhaseConsumed  Phase = "consumed"
	PhaseInstalled Phase = "installed"
	PhaseRefused   Phase = "refused"
	PhaseFailed    Phase = "failed"
)

// Status is the relay's view of one order.
type Status struct {
	Order    string     `json:"order"`
	Node     model.Path `json:"node"`
	Phase    Phase      `json:"phase"`
	Attempts int        `json:"attempts"`
	Updated  time.Time  `json:"updated"`
	Last     *Report    `json:"last,omitempty"`
	Facts    *Facts     `json:"facts,omitempty"`
	Result   *Installed `json:"result,omitempty"`
	Problem  *Problem   `json:"problem,omitempty"`
}
