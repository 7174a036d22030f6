package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

const (
	// replicaDir is on a host's state partition.
	replicaDir = "/var/lib/nubo/replica"
	// replicaTime bounds the writing of one replica.
	replicaTime = 20 * time.Second
	// mostReplica bounds what a replica may be when it is unpacked.
	mostReplica = 4 << 30
)

// replica is what is encrypted: the state as state pull writes it, and the keys, without which no host would let anybody in.
type replica struct {
	FormatVersion int               `json:"format_version"`
	Cloud         string            `json:"cloud"`
	Keys          map[string][]byte `json:"keys"` // the files of the directory keys, by name
	State         []byte            `json:"state"`
}

// keyFiles are what a replica holds of the keys; public halves are made again.
var keyFiles = []string{"sign.key", "ssh_ca", "ssh_key", "libvirt_ca", "qemu_ca"}

// seal makes a replica, encrypted to the operators' keys.
func (s *session) seal(ctx context.Context, recipients []string) ([]byte, error) {
	var list []age.Recipient
	for _, r := range recipients {
		parsed, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, fmt.Errorf("replica: %s is not an age public key: %w", r, err)
		}
		list = append(list, parsed)
	}
	rep := replica{FormatVersion: 1, Cloud: s.desired.Cloud.Name, Keys: map[string][]byte{}}
	for _, name := range keyFiles {
		text, err := os.ReadFile(filepath.Join(s.keys.dir, name))
		if err != nil {
			return nil, fmt.Errorf("replica: %w", err)
		}
		rep.Keys[name] = text
	}
	var dump, sealed bytes.Buffer
	if _, _, err := writeArchive(ctx, s.store, &dump, s.env.Now()); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	rep.State = dump.Bytes()
	text, err := json.Marshal(rep)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	locked, err := age.Encrypt(&sealed, list...)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	packed, err := zstd.NewWriter(locked)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	_, err = packed.Write(text)
	err = errors.Join(err, packed.Close(), locked.Close())
	return sealed.Bytes(), err
}

// replicate leaves encrypted copies of the state on hosts, where the inventory asks for them. That one cannot be written is told, and is no error: the run
// that it belongs to has come to its end.
func (s *session) replicate(ctx context.Context, lease state.Lease) {
	spec := s.inv.State.Replicas
	if spec == nil {
		return
	}
	sealed, err := s.seal(ctx, spec.Recipients)
	if err != nil {
		s.env.note("No copy of the state was left on any host: %v", err)
		return
	}
	name := path.Join(replicaDir, s.desired.Cloud.Name+".age")
	var written, failed []string
	for _, n := range s.replicaHosts(ctx, spec.Copies) {
		if len(written) == spec.Copies {
			break
		}
		host := remote.Fenced{Host: s.links.To(n), Epoch: lease.Fence().Epoch}
		if err := leave(ctx, host, name, sealed); err != nil {
			failed = append(failed, err.Error())
			continue
		}
		written = append(written, n.Name)
	}
	if len(written) < spec.Copies {
		s.env.note("Copies of the state were left on %d of %d hosts (%s). %s", len(written), spec.Copies, strings.Join(written, ", "), strings.Join(failed, "; "))
	}
}

// leave writes a replica to a host.
func leave(ctx context.Context, h remote.Host, name string, sealed []byte) error {
	ctx, cancel := context.WithTimeout(ctx, replicaTime)
	defer cancel()
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", "-m", "0700", path.Dir(name)}}); err != nil {
		return err
	}
	return h.Write(ctx, remote.Bytes(name, 0o600, sealed))
}

// replicaHosts lists the nodes whose host keys are known, those of different racks first, so that the loss of one rack leaves copies. A few more than are
// asked for are listed, for when some do not answer.
func (s *session) replicaHosts(ctx context.Context, copies int) []model.Node {
	items, err := state.HostKeys(s.known, state.Fence{}).List(ctx, "")
	if err != nil {
		return nil
	}
	known := map[string]bool{}
	for _, it := range items {
		known[it.Key] = true
	}
	return spread(slices.DeleteFunc(slices.Clone(s.desired.Nodes), func(n model.Node) bool { return !known[string(n.Path)] }), 2*copies)
}

// spread takes nodes in turns from every rack, at most a number of them.
func spread(nodes []model.Node, most int) []model.Node {
	var racks []string
	in := map[string][]model.Node{}
	for _, n := range nodes {
		r := path.Dir(string(n.Path))
		if in[r] == nil {
			racks = append(racks, r)
		}
		in[r] = append(in[r], n)
	}
	var out []model.Node
	for turn := 0; len(out) < min(most, len(nodes)); turn++ {
		for _, r := range racks {
			if turn < len(in[r]) && len(out) < most {
				out = append(out, in[r][turn])
			}
		}
	}
	return out
}

// unseal opens a replica with an age identity file.
func unseal(sealed []byte, identityFile string) (replica, error) {
	var rep replica
	keys, err := os.Open(identityFile)
	if err != nil {
		return rep, fmt.Errorf("open the age identity: %w", err)
	}
	defer keys.Close()
	ids, err := age.ParseIdentities(keys)
	if err != nil {
		return rep, fmt.Errorf("age identity file %s is not usable", identityFile) // the cause may quote a line of it
	}
	opened, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return rep, fmt.Errorf("decrypt: %w", err)
	}
	packed, err := zstd.NewReader(opened, zstd.WithDecoderMaxMemory(mostReplica))
	if err != nil {
		return rep, fmt.Errorf("unpack: %w", err)
	}
	defer packed.Close()
	text, err := io.ReadAll(io.LimitReader(packed, mostReplica))
	if err != nil {
		return rep, fmt.Errorf("unpack: %w", err)
	}
	if err := json.Unmarshal(text, &rep); err != nil {
		return rep, errors.New("it does not hold a state") // the cause may quote a key
	}
	if rep.FormatVersion != 1 {
		return rep, fmt.Errorf("it has format_version %d, this program knows 1", rep.FormatVersion)
	}
	return rep, nil
}

// StateRecover brings state and keys back from a replica that was copied from a host. Keys that are there already must be the same; a state that is in use
// is not touched.
func StateRecover(ctx context.Context, e Env, file, identity string) (err error) {
	if identity == "" {
		identity = defaultIdentity()
	}
	if identity == "" {
		return errors.New("recover: name the age identity file with --identity or NUBO_AGE_IDENTITY")
	}
	sealed, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	rep, err := unseal(sealed, identity)
	if err != nil {
		return fmt.Errorf("recover %s: %w", file, err)
	}
	a, err := readArchive(bytes.NewReader(rep.State))
	if err != nil {
		return fmt.Errorf("recover %s: %w", file, err)
	}
	inv, err := e.load()
	if err != nil {
		return err
	}
	if inv.Desired.Cloud.Name != rep.Cloud {
		return fmt.Errorf("recover %s: it is of the cloud %s, and the inventory is of %s", file, rep.Cloud, inv.Desired.Cloud.Name)
	}
	if err := e.restoreKeys(rep.Keys); err != nil {
		return fmt.Errorf("recover %s: %w", file, err)
	}
	return e.restoreState(ctx, inv, file, a)
}

func (e Env) restoreState(ctx context.Context, inv *inventory.Inventory, file string, a archive) (err error) {
	s, err := e.openSite(ctx, inv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if inv.State.Etcd != nil { // it outlives a workstation: only the keys were lost
		if err := fillable(ctx, s); err != nil {
			e.note("The keys are back. The state is not needed: %v.", err)
			return nil
		}
	}
	lease, err := e.acquireAny(ctx, s, "", "state recover")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	if err := fill(ctx, e, s, lease, a.Contents, a.all()); err != nil {
		return fmt.Errorf("recover %s: %w", file, err)
	}
	if err := completed(ctx, s, lease); err != nil {
		return fmt.Errorf("recover %s: %w", file, err)
	}
	e.note("Recovered %s and %s of %s. What happened after that is seen by looking: plan, and read the plan well.", entriesOf(len(a.Entries)), view.Plural(len(a.records), "record"),
		a.pulled.Format(time.RFC3339))
	return nil
}

// restoreKeys puts the private keys back.
func (e Env) restoreKeys(keys map[string][]byte) error {
	dir := filepath.Join(e.stateDir(), "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	for _, name := range keyFiles {
		if len(keys[name]) == 0 {
			return fmt.Errorf("the key %s is not in it", name)
		}
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !bytes.Equal(have, keys[name]) {
			return fmt.Errorf("there is another key in %s already: move that directory away first", filepath.Join(dir, name))
		}
	}
	for _, name := range keyFiles {
		if err := os.WriteFile(filepath.Join(dir, name), keys[name], 0o600); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
	}
	return nil
}
