package etcd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process names this process so that nobody else's name is the same: the boot of the machine, the namespace of process numbers, the number,
// and when it was started, in ticks since that boot. Empty when that cannot be found out.
func process() string { return processOf(os.Getpid()) }

func processOf(pid int) string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, err2 := os.Readlink("/proc/self/ns/pid")
	started, err3 := startOf(pid)
	if err1 != nil || err2 != nil || err3 != nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), space, pid, started)
}

// startOf is the 22nd field of stat (proc(5)); the second, the program's name, may hold anything up to its last parenthesis.
func startOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const after = 22 - 3 // the fields begin with the third
	if len(rest) <= after {
		return "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(rest)+2)
	}
	return rest[after], nil
}

// ended reports whether a process is one of this machine, in this boot and among the processes that can be seen here, that is no more. What
// cannot be judged from here has not ended.
func ended(name string) bool {
	own := strings.Fields(process())
	other := strings.Fields(name)
	if len(own) != 4 || len(other) != 4 || own[0] != other[0] || own[1] != other[1] {
		return false
	}
	pid, err := strconv.Atoi(other[2])
	if err != nil {
		return false
	}
	started, err := startOf(pid)
	return os.IsNotExist(err) || (err == nil && started != other[3])
}
