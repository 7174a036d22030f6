package bmc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// TestBootFlagsAlone: BMCs that refuse the acknowledgement parameter (completion code 0x80, 0xc1 or 0xcc) take the boot flags by themselves.
// ipmitool is a script here, since no IPMI peer refuses one parameter and takes the others.
func TestBootFlagsAlone(t *testing.T) {
	dir := t.TempDir()
	script := `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -v|-E) shift;;
    -*) shift 2;;
    *) break;;
  esac
done
echo "$*" >> ` + dir + `/asked
case "$*" in
  "mc info") ;;
  "raw 0x00 0x08 0x03 0x08") echo "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8 rsp=0x80): Unknown (0x80)" >&2; exit 1;;
  "chassis bootdev"*) echo "Set Chassis Boot Parameter 4 failed: Unknown (0x80)" >&2; exit 1;;
  "raw 0x00 0x08 0x05 0xa0 0x04 0x00 0x00 0x00") touch ` + dir + `/set;;
  "chassis bootparam get 5") if [ -e ` + dir + `/set ]; then echo " Boot parameter data: a004000000"; else echo " Boot parameter data: 0000000000"; fi;;
  *) echo "unexpected: $*" >&2; exit 1;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "ipmitool"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	client, err := bmc.Open(t.Context(), bmc.Target{Address: "ipmi://127.0.0.1", Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Firmware: bmc.UEFI, Settle: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if err := client.BootOnce(t.Context(), bmc.BootPXE); err != nil {
		t.Error(err)
	}
	if boot, err := client.BootOverride(t.Context()); err != nil || boot != (bmc.BootOverride{Device: bmc.BootPXE, UEFI: true}) {
		t.Errorf("BootOverride: %+v, %v", boot, err)
	}
	if err := client.BootOnce(t.Context(), bmc.BootDisk); !isKind(err, bmc.ErrUnsupported) || !strings.Contains(err.Error(), "Parameter 4") || !strings.Contains(err.Error(), "unexpected") {
		t.Errorf("a device that is refused both ways: %v, want %v with both refusals", err, bmc.ErrUnsupported)
	}
}
