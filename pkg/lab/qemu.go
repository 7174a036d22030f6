package lab

import (
	"fmt"
	"strings"
)

// launch is what one power-on adds to a blade's description.
type launch struct {
	Files bladeFiles
	KVM   bool
	First Device // what the firmware tries first; None is the usual order
}

// The firmware files of Debian's ovmf.
const (
	ovmfCode       = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars       = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	ovmfSecureCode = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	ovmfSecureVars = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
)

// Manufacturer and Model are what a blade calls itself, in SMBIOS and at its BMC.
const (
	Manufacturer = "nuboctl"
	Model        = "Lab Blade"
)

// qemuArgs gives the arguments of qemu-system-x86_64 for one power-on of a blade. A restart of the guest keeps the
// process (there is no -no-reboot); a power-off of the guest ends it, as it ends a real machine's power.
func qemuArgs(b Blade, l launch) []string {
	args := []string{
		"-name", b.Name, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-m", fmt.Sprint(b.MemoryMiB), "-smp", fmt.Sprint(processors(b, l.KVM)), "-rtc", "base=utc",
		"-uuid", b.UUID,
		"-smbios", fmt.Sprintf("type=1,manufacturer=%s,product=%s,serial=%s,uuid=%s", Manufacturer, Model, b.Serial, b.UUID),
		"-chardev", fmt.Sprintf("socket,id=serial0,path=%s,server=on,wait=off,logfile=%s", quote(l.Files.Line), quote(l.Files.Serial)),
		"-serial", "chardev:serial0",
		"-qmp", fmt.Sprintf("unix:%s,server=on,wait=off", quote(l.Files.QMP)),
		"-device", "virtio-rng-pci",
		"-device", "i6300esb", "-action", "watchdog=reset",
	}
	args = append(args, accelArgs(l.KVM)...)
	args = append(args, firmwareArgs(b, l)...)
	net, disk := bootIndexes(b, l.First)
	for i, n := range b.NICs {
		args = append(args, nicArgs(b, i, n, net)...)
	}
	return append(args, diskArgs(b, l, disk)...)
}

// processors is how many a blade gets: what its description says, and one where QEMU emulates them. With two, QEMU 10's emulation of SVM breaks what KVM
// runs in the blade as soon as its thread moves from one to the other: nested guests hang, and the blade's kernel finds its stack overwritten.
func processors(b Blade, kvm bool) int {
	if kvm {
		return b.VCPUs
	}
	return 1
}

// accelArgs chooses the processor. A blade must offer virtualisation itself, which TCG emulates for AMD.
func accelArgs(kvm bool) []string {
	if kvm {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm"}
}

// firmwareArgs gives board and firmware. Without graphics SeaBIOS uses the serial line; OVMF does so anyway.
func firmwareArgs(b Blade, l launch) []string {
	code, machine := ovmfCode, "q35"
	switch b.Firmware {
	case BIOS:
		return []string{"-machine", "q35,graphics=off"}
	case UEFISecure:
		code, machine = ovmfSecureCode, "q35,smm=on"
	}
	args := []string{
		"-machine", machine,
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code,
		"-drive", "if=pflash,unit=1,format=raw,file=" + quote(l.Files.Vars),
	}
	if b.Firmware == UEFISecure {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	if l.First == HTTP {
		for _, version := range []string{"IPv4", "IPv6"} { // OVMF tries PXE before HTTP on one card
			args = append(args, "-fw_cfg", "name=opt/org.tianocore/"+version+"PXESupport,string=n")
		}
	}
	return args
}

// bootIndexes gives the boot index of network and boot disk. An empty disk falls through to the network by itself.
func bootIndexes(b Blade, first Device) (net, disk int) {
	if first == PXE || first == HTTP {
		return 1, 2
	}
	return 2, 1
}

// nicArgs gives one network card on its tap. OVMF has a virtio driver of its own and no other, SeaBIOS has none at all:
// the rest boots by QEMU's iPXE option ROM.
func nicArgs(b Blade, i int, n NIC, index int) []string {
	device := map[string]string{"virtio-net": "virtio-net-pci", "e1000e": "e1000e"}[n.Model]
	device += fmt.Sprintf(",id=nic%d,netdev=net%d,mac=%s", i, i, n.MAC)
	if i == 0 {
		device += fmt.Sprintf(",bootindex=%d", index)
	}
	if n.Model == "virtio-net" && b.Firmware != BIOS {
		device += ",romfile="
	}
	return []string{
		"-netdev", fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, tapName(b, i)),
		"-device", device,
	}
}

// diskArgs gives the disks. What the guest flushes goes to the host's page cache and no further (cache=unsafe), which
// survives the end of QEMU, the only power cut of a lab.
func diskArgs(b Blade, l launch, index int) []string {
	var args []string
	ports := 0
	for _, d := range b.Disks {
		id := "disk-" + d.Name
		args = append(args, "-drive", fmt.Sprintf("if=none,id=drive-%s,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap,file=%s", d.Name, quote(l.Files.Disks[d.Name])))
		var device string
		switch d.Bus {
		case "virtio":
			device = "virtio-blk-pci"
		case "nvme":
			device = "nvme"
		case "ahci":
			device = fmt.Sprintf("ide-hd,bus=ide.%d", ports) // the board's own controller has six ports
			ports++
		}
		device += fmt.Sprintf(",id=%s,drive=drive-%s,serial=%s", id, d.Name, d.Serial)
		if d.Boot {
			device += fmt.Sprintf(",bootindex=%d", index)
		}
		args = append(args, "-device", device)
	}
	return args
}

// quote doubles commas, which end a value in QEMU's options.
func quote(path string) string { return strings.ReplaceAll(path, ",", ",,") }
