package netboot

import (
	"fmt"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The first stages, by the names they have in Debian's package ipxe.
const (
	bootFileBIOS = "undionly.kpxe"
	bootFileEFI  = "snponly.efi"
)

// FirstStage names the files given by TFTP; all others are HTTP's.
func FirstStage() []string { return []string{bootFileBIOS, bootFileEFI, "ipxe.efi"} }

// bootFile is what c is told to load, "" when there is nothing for such a machine at its stage.
func (s *Server) bootFile(c Client) string {
	switch c.Stage {
	case StageIPXE:
		return fmt.Sprintf("%s%s?mac=%s&arch=%d&uuid=%s", s.cfg.baseURL(), scriptPath, c.MAC, c.Arch, c.UUID)
	case StageHTTPClient:
		if c.Arch == ArchEFI64HTTP {
			return s.cfg.baseURL() + filesPath + bootFileEFI
		}
	case StageFirmware:
		switch c.Arch {
		case ArchBIOS:
			return bootFileBIOS
		case ArchEFI64, ArchEFIBC:
			return bootFileEFI
		}
	}
	return ""
}

// pxeDownload is option 43 with PXE_DISCOVERY_CONTROL = 8: load the named file, look for no boot server (PXE 2.1, 2.4.1).
var pxeDownload = dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, []byte{6, 1, 8, 255})

// pxeLocalBoot is option 43 with a menu of one item of type 0, "local boot", taken at once, and no boot server to look
// for (PXE 2.1, 2.4.1 and 3.1). Firmware that is told nothing repeats its question for a minute before it tries the disk.
var pxeLocalBoot = func() dhcpv4.Option {
	const text = "local disk"
	opts := []byte{6, 1, 3}
	opts = append(opts, 9, 3+byte(len(text)), 0, 0, byte(len(text)))
	opts = append(opts, text...)
	opts = append(opts, 10, 1+byte(len(text)), 0)
	opts = append(opts, text...)
	return dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, append(opts, 255))
}()

// addLocalBoot sends firmware on to its next boot device: PXE by its menu; UEFI HTTP boot, which has no such thing, by
// the address of a file that there never is. All other clients need not be told.
func (s *Server) addLocalBoot(reply *dhcpv4.DHCPv4, c Client) {
	switch c.Stage {
	case StageFirmware:
		reply.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
		reply.UpdateOption(pxeLocalBoot)
	case StageHTTPClient:
		s.addBoot(reply, c, s.cfg.baseURL()+nothingPath)
	}
}

// addBoot puts the boot file into a reply, in the header field when it fits and as option 67 for those who ask there.
func (s *Server) addBoot(reply *dhcpv4.DHCPv4, c Client, file string) {
	server := net.IP(s.cfg.Address.AsSlice())
	reply.ServerIPAddr = server
	if len(file) < 128 {
		reply.BootFileName = file
	}
	reply.UpdateOption(dhcpv4.OptBootFileName(file))
	switch c.Stage {
	case StageHTTPClient:
		reply.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient"))
	case StageFirmware:
		reply.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
		reply.UpdateOption(dhcpv4.OptTFTPServerName(server.String()))
		reply.UpdateOption(pxeDownload)
	case StageIPXE:
		reply.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
	}
}
