//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// jump is nubo-bootd on the jump host, whose files somebody there can change. Its directory is on the machine's own file system.
type jump struct {
	cloud *rack.Cloud
	dir   string
}

// newJump makes sure that nothing is left there of a rack before.
func newJump(t *testing.T, c *rack.Cloud) *jump {
	t.Helper()
	j := &jump{cloud: c, dir: filepath.Join("/var/lib/nubo-bootd", "prov-"+c.Rack.Name+"-bios")}
	clean := func() {
		j.stop(t)
		if err := os.RemoveAll(j.dir); err != nil {
			t.Error(err)
		}
	}
	clean()
	t.Cleanup(clean)
	return j
}

// stop ends the daemon, if one runs.
func (j *jump) stop(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(j.dir, "pid"))
	if err != nil {
		return // it was never started
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != j.dir {
		return // it has ended
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // also after the test
	defer cancel()
	rack.Eventually(ctx, t, "nubo-bootd to end", func() error {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d is there", pid)
		}
		return nil
	})
}

// start runs the daemon again, as it was pushed.
func (j *jump) start(t *testing.T) {
	t.Helper()
	ctx := rack.Within(t, oneCommand)
	j.cloud.Rack.Must(ctx, t, "jump", "sh", "-c", "cd "+j.dir+" && setsid ./nubo-bootd --dir "+j.dir+" </dev/null >>log 2>&1 &")
	rack.Eventually(ctx, t, "nubo-bootd to serve", func() error {
		if run := j.cloud.Rack.On(ctx, t, "ws", "curl", "-sf", "http://10.77.0.2:8080/v1/time"); run.Code != 0 {
			return fmt.Errorf("curl: exit %d", run.Code)
		}
		return nil
	})
}

// order is the id of the order for blade-02, empty when there is none. The relay keeps one at a time.
func (j *jump) order(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(j.dir, "orders", "blade-02-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(filepath.Base(names[len(names)-1]), ".json")
}

// newerThan is nil once there is another order than was.
func (j *jump) newerThan(t *testing.T, apply *rack.Proc, was string) error {
	t.Helper()
	if apply.Ended() {
		t.Fatalf("apply has ended:\n%s", apply.Stderr())
	}
	if now := j.order(t); now == "" || now == was {
		return fmt.Errorf("there is %q", now)
	}
	return nil
}

// writing is nil once the blade may write and apply shows that it writes the image.
func (j *jump) writing(t *testing.T, apply *rack.Proc, id string) error {
	t.Helper()
	if apply.Ended() {
		t.Fatalf("apply has ended:\n%s", apply.Stderr())
	}
	if rec := j.record(t, id); rec.Phase != order.PhaseConsumed {
		return fmt.Errorf("order %s is %s", id, rec.Phase)
	}
	if !strings.Contains(j.cloud.Rack.Console("blade-02"), "image: fill slot a") {
		return errors.New("the blade does not write the image yet")
	}
	return nil
}

func (j *jump) file(id string) string { return filepath.Join(j.dir, "orders", id+".json") }

// record is what the relay knows of an order.
func (j *jump) record(t *testing.T, id string) order.Record {
	t.Helper()
	var e struct {
		Record order.Record `json:"record"`
	}
	text, err := os.ReadFile(j.file(id))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.Record
}

// change writes an order's entry anew. The daemon must not run.
func (j *jump) change(t *testing.T, id string, do func(entry map[string]json.RawMessage)) {
	t.Helper()
	var e map[string]json.RawMessage
	text, err := os.ReadFile(j.file(id))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	do(e)
	if text, err = json.Marshal(e); err == nil {
		err = os.WriteFile(j.file(id), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// forged is an order that names another host and keeps the signature.
func forged(t *testing.T, signed json.RawMessage) json.RawMessage {
	t.Helper()
	var s struct {
		Payload   string `json:"payload"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(signed, &s); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(s.Payload)
	if err != nil {
		t.Fatal(err)
	}
	was := string(payload)
	payload = []byte(strings.Replace(was, `"hostname":"blade-02"`, `"hostname":"stranger"`, 1))
	if string(payload) == was {
		t.Fatalf("the order does not name its host: %s", was)
	}
	s.Payload = base64.StdEncoding.EncodeToString(payload)
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// chunk is the relay's file of the n-th chunk of the root file system.
func (j *jump) chunk(t *testing.T, n int) string {
	t.Helper()
	store := image.Store{Dir: j.cloud.Rack.Path("images")}
	digest, err := store.Resolve("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Manifest(digest)
	if err != nil {
		t.Fatal(err)
	}
	tree, ok := m.File(manifest.RootTar)
	if !ok || len(tree.Chunks) <= n {
		t.Fatalf("image debian-13 has %d chunks", len(tree.Chunks))
	}
	hex := tree.Chunks[n].Digest.Hex()
	return filepath.Join(j.dir, "images", "chunks", hex[:2], hex)
}
