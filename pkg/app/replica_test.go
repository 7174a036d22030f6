package app

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// workstation is an inventory with a state directory of its own.
func workstation(t *testing.T) (Env, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	e := Env{Dir: t.TempDir(), Out: io.Discard, Err: &said, Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}
	if err := os.WriteFile(filepath.Join(e.Dir, "cloud.hcl"), []byte("cloud \"c\" {\n  domain  = \"c.test\"\n  release = \"trixie\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return e, &said
}

// identity makes an operator's age key, and gives its public half and the file with its private half.
func identity(t *testing.T) (public, file string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), file
}

// used is a session of a workstation whose state has entries and records.
func used(t *testing.T, e Env) *session {
	t.Helper()
	inv, err := e.load()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := e.openDirectory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	s := &session{env: e, inv: inv, desired: inv.Desired, store: dir, known: dir}
	if s.keys, _, err = openKeys(e.stateDir(), e.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := e.acquire(t.Context(), dir, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := state.HostKeys(dir, l.Fence()).Put(t.Context(), "lab/r1/az1/a/blade-01", []string{"ssh-ed25519 AAAA"}); err != nil {
		t.Fatal(err)
	}
	j, err := dir.OpenJournal(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), state.Record{Kind: state.KindNote, Time: e.Now(), Text: "worked"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRecover: the workstation is gone. A copy from a host and the operator's age key bring everything back: the same keys, every entry, every record, and
// epochs that go on behind those that hosts have obeyed.
func TestRecover(t *testing.T) {
	e, _ := workstation(t)
	s := used(t, e)
	public, private := identity(t)
	second, _ := identity(t)
	sealed, err := s.seal(t.Context(), []string{second, public})
	if err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(t.TempDir(), "replica", "c.age")
	if err := leave(t.Context(), remote.Fenced{Host: remote.Local{}, Epoch: 1, File: filepath.Join(t.TempDir(), "epoch")}, host, sealed); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(host); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	on, err := os.ReadFile(host)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range keyFiles {
		text, err := os.ReadFile(filepath.Join(s.keys.dir, name))
		if err != nil || bytes.Contains(on, text[len(text)/2:]) || bytes.Contains(on, []byte("blade-01")) {
			t.Fatalf("the copy can be read by anybody (%v)", err)
		}
	}

	fresh, said := workstation(t)
	if err := StateRecover(t.Context(), fresh, host, private); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "Recovered 1 entry and 1 record of 2026-01-02T03:04:05Z") {
		t.Errorf("it said %q", said)
	}
	back, err := fresh.openDirectory()
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	was, err := s.store.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := same(t.Context(), back, was, s.store.Records(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, name := range keyFiles {
		a, _ := os.ReadFile(filepath.Join(s.keys.dir, name))
		b, err := os.ReadFile(filepath.Join(fresh.stateDir(), "keys", name))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("the key %s is not the same (%v)", name, err)
		}
	}
	l, err := fresh.acquire(t.Context(), back, "", "test")
	if err != nil || l.Fence().Epoch <= was.Epoch {
		t.Fatalf("%+v after epoch %d: %v", l, was.Epoch, err)
	}
}

func TestRecoverRefuses(t *testing.T) {
	e, _ := workstation(t)
	s := used(t, e)
	public, private := identity(t)
	_, stranger := identity(t)
	sealed, err := s.seal(t.Context(), []string{public})
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string {
		name := filepath.Join(t.TempDir(), "c.age")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	edited := bytes.Clone(sealed)
	edited[len(edited)-5] ^= 1
	fresh, _ := workstation(t)
	for name, c := range map[string]struct {
		file, identity, want string
		e                    Env
	}{
		"another's identity": {file(sealed), stranger, "decrypt", fresh},
		"edited":             {file(edited), private, "", fresh},
		"cut short":          {file(sealed[:len(sealed)-100]), private, "", fresh},
		"in use":             {file(sealed), private, "is in use", e},
		"no identity":        {file(sealed), "", "--identity", fresh},
	} {
		if err := StateRecover(t.Context(), c.e, c.file, c.identity); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(fresh.stateDir(), "keys")); !os.IsNotExist(err) {
		t.Error("a refused copy has left keys")
	}
	other, _ := workstation(t)
	used(t, other)
	if err := StateRecover(t.Context(), other, file(sealed), private); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("over other keys: %v", err)
	}
	if _, err := s.seal(t.Context(), []string{"age1nonsense"}); err == nil {
		t.Error("sealed to nobody")
	}
}

// TestSpread: copies go to different racks first.
func TestSpread(t *testing.T) {
	var nodes []model.Node
	for _, p := range []string{"s/r/z/a/1", "s/r/z/a/2", "s/r/z/a/3", "s/r/z/b/4", "s/r/z/c/5"} {
		nodes = append(nodes, model.Node{Path: model.Path(p), Name: p[8:]})
	}
	var got []string
	for _, n := range spread(nodes, 4) {
		got = append(got, n.Name)
	}
	if strings.Join(got, " ") != "1 4 5 2" {
		t.Error(got)
	}
	if n := len(spread(nodes, 99)); n != 5 {
		t.Error(n)
	}
}
