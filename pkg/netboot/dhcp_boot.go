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
