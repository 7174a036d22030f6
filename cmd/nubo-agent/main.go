// nubo-agent is nubo's program on a machine: in the ramdisk it installs, on a running host it handles the two slots.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/installer"
)

// version is set by the linker.
var version = "devel"

const usage = `nubo-agent: nubo's program on a machine

  nubo-agent install    install this machine by its order (in the ramdisk; also with no argument there)
  nubo-agent slot ...   look after the two slots of a running host; "nubo-agent slot" lists the verbs
  nubo-agent version    print the version
`

// memoryLimit is the soft limit of Go's memory, in bytes; well below the 100 MB that a blade must have to spare.
const memoryLimit = 64 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	syscall.Umask(0o022)
	os.Exit(start(os.Args[1:]))
}

func start(args []string) int {
	if len(args) == 0 && inRamdisk() {
		args = []string{"install"}
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 1
	}
	switch args[0] {
	case "install":
		return install()
	case "slot":
		return slots(args[1:])
	case "version", "--version":
		fmt.Println("nubo-agent", version)
		return 0
	case "help", "--help", "-h":
		fmt.Print(usage)
		return 0
	default:
		fmt.Fprintf(os.Stderr, "nubo-agent: unknown command %q\n%s", args[0], usage)
		return 1
	}
}

// inRamdisk tells a machine that a relay started from a host: only the former has an order on its kernel command line.
func inRamdisk() bool {
	b, err := os.ReadFile("/proc/cmdline")
	return err == nil && installer.Argument(strings.TrimSpace(string(b)), "nubo.order") != ""
}
