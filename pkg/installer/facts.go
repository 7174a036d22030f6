package installer

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// secureBootVar is the firmware's SecureBoot variable under efivarfs: four bytes of attributes, then 1 when it is enforced (UEFI
// specification, section 3.3).
const secureBootVar = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// machine reads what the kernel says about this machine. Sys and Proc are where sysfs and procfs are.
type machine struct{ sys, proc string }

// Identity is this machine's serial number and the addresses of its network cards, as orders name machines.
func Identity(sys string) (serial string, addresses []string) {
	m := machine{sys: sys}
	return m.dmi("product_serial"), macs(m.nics())
}

// facts gathers all but the disks. What cannot be read is left empty: a fact that is missing refuses nothing by itself.
func (m machine) facts() order.Facts {
	f := order.Facts{
		Serial: m.dmi("product_serial"), Manufacturer: m.dmi("sys_vendor"), Product: m.dmi("product_name"),
		UUID: m.dmi("product_uuid"), BIOSVersion: m.dmi("bios_version"), Firmware: "bios",
		CPUs: runtime.NumCPU(), CPUModel: m.procValue("cpuinfo", "model name"), MemoryMiB: m.memoryMiB(), NICs: m.nics(),
	}
	if _, err := os.Stat(filepath.Join(m.sys, "firmware/efi")); err == nil {
		f.Firmware = "uefi"
		b, err := os.ReadFile(filepath.Join(m.sys, secureBootVar))
		f.SecureBoot = err == nil && len(b) == 5 && b[4] == 1
	}
	return f
}

func (m machine) dmi(name string) string { return m.read("class/dmi/id", name) }

// read is a sysfs attribute without its newline, empty when it cannot be read.
func (m machine) read(parts ...string) string {
	b, err := os.ReadFile(filepath.Join(append([]string{m.sys}, parts...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// procValue is the first "key : value" of a file in procfs.
func (m machine) procValue(file, key string) string {
	b, err := os.ReadFile(filepath.Join(m.proc, file))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) memoryMiB() int64 {
	kib, err := strconv.ParseInt(strings.TrimSuffix(m.procValue("meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}

// nics lists the network cards that have a device behind them, sorted by name.
func (m machine) nics() []order.FactNIC {
	entries, err := os.ReadDir(filepath.Join(m.sys, "class/net"))
	if err != nil {
		return nil
	}
	var nics []order.FactNIC
	for _, e := range entries {
		dir := filepath.Join("class/net", e.Name())
		if _, err := os.Stat(filepath.Join(m.sys, dir, "device")); err != nil {
			continue
		}
		n := order.FactNIC{Name: e.Name(), MAC: strings.ToLower(m.read(dir, "address")), Carrier: m.read(dir, "carrier") == "1"}
		if driver, err := os.Readlink(filepath.Join(m.sys, dir, "device/driver")); err == nil {
			n.Driver = filepath.Base(driver)
		}
		if speed, err := strconv.Atoi(m.read(dir, "speed")); err == nil && speed > 0 {
			n.SpeedMb = speed
		}
		nics = append(nics, n)
	}
	slices.SortFunc(nics, func(a, b order.FactNIC) int { return strings.Compare(a.Name, b.Name) })
	return nics
}

func macs(nics []order.FactNIC) []string {
	var all []string
	for _, n := range nics {
		all = append(all, n.MAC)
	}
	return all
}

// bootID tells this boot of the ramdisk from every other (random(4)).
func (m machine) bootID() string {
	b, err := os.ReadFile(filepath.Join(m.proc, "sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Argument is the value of name= on a kernel command line, the last one given.
func Argument(cmdline, name string) string {
	value := ""
	for _, word := range strings.Fields(cmdline) {
		if v, ok := strings.CutPrefix(word, name+"="); ok {
			value = v
		}
	}
	return value
}
