package slot

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// ownMounts is set in the process that has its own.
const ownMounts = "NUBO_TEST_OWN_MOUNTS"

// TestMain gives these tests a mount namespace of their own. Tests of other packages run beside them and make namespaces, which begin as copies: what is
// mounted here would stay in use there, and a file system that is in use to be written cannot be looked into read-only ("device or resource busy").
func TestMain(m *testing.M) {
	unshare, err := exec.LookPath("unshare")
	if os.Geteuid() != 0 || os.Getenv(ownMounts) != "" || err != nil {
		os.Exit(m.Run())
	}
	argv := append([]string{"unshare", "--mount", "--propagation", "private"}, os.Args...)
	fmt.Fprintln(os.Stderr, "slot.test:", syscall.Exec(unshare, argv, append(os.Environ(), ownMounts+"=1")))
	os.Exit(1)
}
