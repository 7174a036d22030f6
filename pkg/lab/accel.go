package lab

import (
	"os"
	"regexp"
)

var virtFlag = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// haveKVM tells whether QEMU may use the host's virtualisation: the device opens and the processor has the feature. The
// device alone is not enough: there are hosts where it opens and guests hang.
func haveKVM() bool {
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	dev.Close()
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && virtFlag.Match(info)
}
