//go:build e2e

package rack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every architecture that Debian's kernels run here (proc(5)).
const tick = 10 * time.Millisecond

// Processor is the processor time that a blade's QEMU has taken since the blade was switched on. Unlike time on the clock it says what a blade has
// done also on a machine that does other things beside.
func (r *Rack) Processor(t *testing.T, blade string) time.Duration {
	t.Helper()
	record, err := os.ReadFile(r.Path("procs", "qemu-"+blade+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var proc struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(record, &proc); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", proc.PID))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil { // utime and stime, the 14th and 15th of all fields
		t.Fatal(err)
	}
	return time.Duration(user+system) * tick
}
