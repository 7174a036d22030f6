package ceph

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMarkEnds runs what waits on a monitor's host for the end of a mark, with a ceph and a sleep of files. Whoever sleeps finds the mark undone afterwards.
func TestMarkEnds(t *testing.T) {
	mark := func(left time.Duration, undo string) string {
		return fmt.Sprintf(`{"until":%d,"owner":"ann","epoch":3,"undo":"%s"}`, time.Now().Add(left).Unix(), undo)
	}
	const undo = "osd unset-group noout blade-01"
	for _, tc := range []struct {
		name   string
		now    string // the mark; empty: there is none
		later  string // what it is once its flag was taken away; empty: the same
		failed string // a command that fails the first time
		want   string // what was asked beside looks, in order
	}{
		{name: "none"},
		{name: "over", now: mark(-time.Minute, undo), want: undo + "; config-key rm nubo/x"},
		{name: "over, and the flag is somebody else's", now: mark(-time.Minute, ""), want: "config-key rm nubo/x"},
		{name: "not over", now: mark(time.Hour, undo), want: "sleep 60"},
		{name: "put off while its flag was taken away", now: mark(-time.Second, undo), later: mark(time.Hour, undo), want: undo + "; sleep 15"},
		{name: "the flag cannot be taken away", now: mark(-time.Minute, undo), failed: undo, want: undo + "; sleep 15"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			later := tc.later
			if later == "" {
				later = tc.now
			}
			for name, text := range map[string]string{"mark": tc.now, "later": later, "ceph": `#!/bin/sh
cd ` + dir + `
shift 2
case "$*" in
"config-key get nubo/x") [ -s mark ] || exit 2; exec cat mark ;;
esac
echo "$*" >>asked
case "$*" in
"` + tc.failed + `") exit 1 ;;
osd\ *) cp later mark ;;
*\ rm\ *) : >mark ;;
esac
`, "sleep": "#!/bin/sh\necho \"sleep $1\" >>" + dir + "/asked\n: >" + dir + "/mark\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.Command("sh", "-euc", expireScript, "mark", "nubo/x")
			c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			asked, _ := os.ReadFile(filepath.Join(dir, "asked")) // nothing was
			if got := strings.ReplaceAll(strings.TrimSpace(string(asked)), "\n", "; "); got != tc.want {
				t.Errorf("asked for %q, want %q", got, tc.want)
			}
		})
	}
}
