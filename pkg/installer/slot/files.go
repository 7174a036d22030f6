// Package slot fills a root slot, from an image's chunks to a file system that is this host: the same steps for the first slot of a fresh
// disk, in the ramdisk, and for the idle slot of a running host. What outlives slots is kept on the state partition and bind-mounted.
package slot

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Places on an installed host.
const (
	StateMount = "/state"                   // where the state partition is mounted
	NuboDir    = "/var/lib/nubo"            // nubo's own data, on state
	ImageFile  = "/etc/nubo/image.json"     // what a slot holds: Contents
	ConfigFile = "/etc/nubo/config.ign"     // the configuration that was applied to a slot
	TrustFile  = "/etc/nubo/trust.pub"      // minisign public keys that sign orders and images
	AgentFile  = "/usr/lib/nubo/nubo-agent" // this program
	TryUnit    = "nubo-try.service"         // reboots a tried slot that nobody declared good
	sshKeyFile = "ssh/ssh_host_ed25519_key" // under NuboDir
	sshdFile   = "/etc/ssh/sshd_config.d/10-nubo.conf"
	watchFile  = "/etc/systemd/system.conf.d/10-nubo-watchdog.conf"
)

// Persistent are the directories that outlive slots, each a bind mount from the state partition. Debian keeps Open vSwitch's database in
// /etc/openvswitch.
var Persistent = []string{
	"/var/lib/ceph", "/var/lib/libvirt", "/var/lib/openvswitch", "/var/log", "/etc/ceph", "/etc/libvirt", "/etc/openvswitch", NuboDir,
}

// Contents says what a slot holds; kept in ImageFile inside it.
type Contents struct {
	Image  model.Digest `json:"image"`  // of the manifest
	Config model.Digest `json:"config"` // of the order's configuration, as signed
	Spec   model.Digest `json:"spec"`
	Args   []string     `json:"kernel_args,omitempty"`
	Order  string       `json:"order"`
	Nonce  string       `json:"nonce"`      // of that order
	Disk   string       `json:"disk_nonce"` // of the order that laid the disk down: partitions and file systems are named by it
}

// ContentsOf is what a slot will hold under an order.
func ContentsOf(o order.Order, diskNonce string) Contents {
	return Contents{Image: o.Image.Digest, Config: model.DigestBytes(o.Config), Spec: o.Spec, Args: o.KernelArgs, Order: o.ID, Nonce: o.Nonce, Disk: diskNonce}
}

// Same reports whether two slots hold the same system, whichever orders wrote them.
func (c Contents) Same(d Contents) bool {
	return c.Image == d.Image && c.Config == d.Config && slices.Equal(c.Args, d.Args)
}

// encode is the content of ImageFile.
func (c Contents) encode() string {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("encode slot contents: %v", err)) // strings only
	}
	return string(b) + "\n"
}

// Fstab mounts root, state and the bind mounts. name is the slot's partition name.
func Fstab(diskNonce, name string) string {
	var b strings.Builder
	b.WriteString("# Written by nubo-agent with the slot. Everything that outlives a slot is on the state partition.\n")
	fmt.Fprintf(&b, "UUID=%s / ext4 noatime,errors=remount-ro 0 1\n", disk.FSUUID(diskNonce, name))
	// By its partition: a reinstall keeps the file system, under the identity that it was made with.
	fmt.Fprintf(&b, "PARTUUID=%s %s ext4 noatime,x-systemd.device-timeout=5min 0 2\n", disk.PartUUID(diskNonce, disk.PartState), StateMount)
	for _, dir := range Persistent {
		fmt.Fprintf(&b, "%s%s %s none bind 0 0\n", StateMount, dir, dir)
	}
	return b.String()
}

// PartitionOf is the partition name of a slot: "a" or "b".
func PartitionOf(slot string) (string, error) {
	switch slot {
	case "a":
		return disk.PartA, nil
	case "b":
		return disk.PartB, nil
	default:
		return "", fmt.Errorf("slot %q: want a or b", slot)
	}
}

// sshdConfig makes sshd use the host's keys on state, so that they stay the same in every slot.
const sshdConfig = "# Written by nubo-agent: the host's keys outlive its slots.\nHostKey " + NuboDir + "/" + sshKeyFile + "\n"

// watchdogConfig has systemd feed the hardware watchdog, where there is one, and leave it armed over a reboot.
const watchdogConfig = "# Written by nubo-agent: a host that hangs resets.\n[Manager]\nRuntimeWatchdogSec=90s\nRebootWatchdogSec=5min\n"

// updated is newer than the image's /usr, so that no boot makes caches again which the image has (systemd-update-done.service(8)).
const updated = "# Written by nubo-agent with the slot.\n"

// tryUnit runs only in a system that was booted by the one-shot (nubo.try= on its command line). It survives the emergency target, which
// is where a system with a broken mount ends up.
const tryUnit = `# Written by nubo-agent with the slot.
[Unit]
Description=Reboot into the proven slot unless this one is declared good in time
ConditionKernelCommandLine=nubo.try
DefaultDependencies=no
IgnoreOnIsolate=yes
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=` + AgentFile + ` slot watch
Restart=on-failure
RestartSec=5s

[Install]
WantedBy=sysinit.target
`
