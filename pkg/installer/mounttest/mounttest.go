// Package mounttest gives tests that mount file systems a mount namespace of their own.
package mounttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// own is set in the process that has its own.
const own = "NUBO_TEST_OWN_MOUNTS"

// Main is what TestMain of such a package does. Tests of other packages run beside them and make namespaces, which begin as copies: what is mounted in
// the machine's own would stay in use there, and a file system that is in use to be written cannot be looked into read-only ("device or resource busy").
// Who is not root mounts nothing.
func Main(m *testing.M) {
	unshare, err := exec.LookPath("unshare")
	if os.Geteuid() != 0 || os.Getenv(own) != "" || err != nil {
		os.Exit(m.Run())
	}
	argv := append([]string{"unshare", "--mount", "--propagation", "private"}, os.Args...)
	err = syscall.Exec(unshare, argv, append(os.Environ(), own+"=1"))
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(1)
}
