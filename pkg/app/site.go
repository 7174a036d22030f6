package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
	"github.com/nuboctl/nuboctl/pkg/state/etcd"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
	"github.com/nuboctl/nuboctl/pkg/state/local"
)

// runJournal is a journal open for writing.
type runJournal interface {
	engine.Journal
	// Repaired is how many bytes that a crash left were cut off when it was opened.
	Repaired() int64
	Close() error
}

// site is where the state is kept: the store, and the journal that belongs to it. Reading needs no lease.
type site interface {
	state.Store
	// OpenJournal opens the journal for writing under a lease of this site.
	OpenJournal(ctx context.Context, l state.Lease) (runJournal, error)
	// Records yields every record, each checked against the chain.
	Records(ctx context.Context) iter.Seq2[state.Record, error]
	// Verify reads the whole journal.
	Verify(ctx context.Context) (journal.Report, error)
	// Runs are the runs that are neither finished nor closed.
	Runs(ctx context.Context) ([]state.RunState, error)
	// Holders are those who hold leases now.
	Holders(ctx context.Context) ([]etcd.Held, error)
	state.Asks
	mover
}

// mover is what a site can do beside its daily work: give and take everything it holds.
type mover interface {
	// Where names the site for people.
	Where() string
	Export(ctx context.Context) (state.Contents, error)
	// Fill puts contents and records in the place of what is there.
	Fill(ctx context.Context, l state.Lease, c state.Contents, records iter.Seq2[state.Record, error]) error
	// Unlock ends the leases that overlap a scope, and returns what they were.
	Unlock(ctx context.Context, scope string) ([]etcd.Held, error)
}

// directory is the site of one workstation: a directory.
type directory struct {
	*local.Store
	dir string
}

func (d directory) journalDir() string { return filepath.Join(d.dir, "journal") }
func (d directory) Where() string      { return "the directory " + d.dir }

func (d directory) OpenJournal(_ context.Context, l state.Lease) (runJournal, error) {
	return journal.Open(d.journalDir(), journal.Options{Epoch: l.Fence().Epoch})
}

func (d directory) Records(context.Context) iter.Seq2[state.Record, error] {
	return journal.Read(d.journalDir())
}

func (d directory) Verify(context.Context) (journal.Report, error) {
	return journal.Verify(d.journalDir())
}

func (d directory) Runs(context.Context) ([]state.RunState, error) {
	return journal.Load(d.journalDir())
}

func (d directory) Holders(context.Context) ([]etcd.Held, error) {
	info, held, err := local.Held(d.dir)
	if err != nil || !held {
		return nil, err
	}
	h := etcd.Held{Holder: info.Holder}
	if len(info.Leases) > 0 {
		h.Scope, h.Epoch = info.Leases[0].Scope, info.Leases[0].Epoch
	}
	return []etcd.Held{h}, nil
}

func (d directory) Fill(ctx context.Context, l state.Lease, c state.Contents, records iter.Seq2[state.Record, error]) error {
	if err := journal.Replace(d.journalDir(), l.Fence().Epoch, records); err != nil {
		return err
	}
	return d.Import(ctx, l.Fence(), c)
}

func (d directory) Unlock(ctx context.Context, _ string) ([]etcd.Held, error) {
	held, err := d.Holders(ctx)
	if err != nil || len(held) == 0 {
		return nil, err
	}
	h := held[0].Holder
	return nil, fmt.Errorf("%s is held by process %d on %s, and ends with it: there is nothing that could be left behind; end that process, and the next apply goes on", d.Where(), h.PID, h.Host)
}

// cluster is the site that several workstations share.
type cluster struct {
	*etcd.Store
	where  string
	socket string // of this workstation
}

func (c cluster) Where() string { return c.where }

func (c cluster) OpenJournal(ctx context.Context, l state.Lease) (runJournal, error) {
	return c.Journal(ctx, l)
}

// Answer answers at this workstation's socket as well: that works when etcd does not. Of several runs here, the first one has it.
func (c cluster) Answer(ctx context.Context, l state.Lease, do func(state.Ask) state.Answer) error {
	here := make(chan error, 1)
	go func() { here <- control.Answer(ctx, c.socket, l, do) }()
	err := c.Store.Answer(ctx, l, do)
	if herr := <-here; !errors.Is(herr, control.ErrTaken) {
		err = errors.Join(err, herr)
	}
	return err
}

func (c cluster) Holders(ctx context.Context) ([]etcd.Held, error) { return c.Leases(ctx) }

func (c cluster) Fill(ctx context.Context, l state.Lease, contents state.Contents, records iter.Seq2[state.Record, error]) error {
	return c.Import(ctx, l, contents, records)
}

// openDirectory opens the embedded store of the state directory.
func (e Env) openDirectory() (directory, error) {
	s, err := local.Open(e.stateDir())
	return directory{s, e.stateDir()}, err
}

// openSite opens the site that an inventory names.
func (e Env) openSite(ctx context.Context, inv *inventory.Inventory) (site, error) {
	if inv == nil || inv.State.Etcd == nil {
		return e.openDirectory()
	}
	return e.openCluster(ctx, inv)
}

// openCluster opens the store in etcd that an inventory names.
func (e Env) openCluster(ctx context.Context, inv *inventory.Inventory) (site, error) {
	spec := inv.State.Etcd
	cfg := etcd.Config{Endpoints: spec.Endpoints, Prefix: spec.Prefix, TTL: spec.TTL}
	secrets := &lazySecrets{dir: e.Dir, spec: inv.Secrets}
	var err error
	if spec.Credentials != "" {
		if cfg.User, cfg.Password, err = secrets.Resolve(spec.Credentials); err != nil {
			return nil, fmt.Errorf("state in etcd: credentials: %w", err)
		}
	}
	if spec.CA != "" {
		var key string
		if spec.Key != "" {
			if _, key, err = secrets.Resolve(spec.Key); err != nil {
				return nil, fmt.Errorf("state in etcd: key: %w", err)
			}
		}
		if cfg.TLS, err = etcd.TLS([]byte(spec.CA), []byte(spec.Cert), []byte(key)); err != nil {
			return nil, err
		}
	}
	s, err := etcd.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return cluster{s, fmt.Sprintf("etcd at %s, below %s", strings.Join(spec.Endpoints, ", "), spec.Prefix), e.socket()}, nil
}

// errNoSite says that a command was given where there is neither an inventory nor a state. "Nothing is going on" would be said of the wrong place.
func (e Env) errNoSite() error {
	return fmt.Errorf("there is no inventory in %s, and no state of one: choose its directory with -C DIR, or that of the state with --state DIR", e.Dir)
}

// somewhere tells whether there is an inventory or a state to speak of.
func (e Env) somewhere() bool {
	if e.StateDir != "" || inventory.Is(e.Dir) {
		return true
	}
	_, err := os.Stat(e.stateDir())
	return err == nil
}

// findSite opens the site for commands that must work when the inventory does not: what can be read of it says where the state is.
func (e Env) findSite(ctx context.Context) (site, error) {
	if !e.somewhere() {
		return nil, e.errNoSite()
	}
	inv, list := inventory.Load(e.Dir, inventory.Options{Vars: e.Vars, Env: environment()})
	if list.HasErrors() && inv.State.Etcd == nil && len(inv.Files) > 0 {
		e.note("The inventory has errors (nuboctl validate shows them): this is the state of %s.", e.stateDir())
	}
	return e.openSite(ctx, inv)
}

// acquire takes the lease of a scope for a command. Somebody else's is exit code 4. A state that has moved elsewhere is refused.
func (e Env) acquire(ctx context.Context, s site, scope, command string) (state.Lease, error) {
	lease, err := e.acquireAny(ctx, s, scope, command)
	if err != nil {
		return nil, err
	}
	if err := stayed(ctx, s); err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return lease, nil
}

func (e Env) acquireAny(ctx context.Context, s site, scope, command string) (state.Lease, error) {
	lease, err := s.Acquire(ctx, scope, holder(e, command))
	var locked *state.LockedError
	if errors.As(err, &locked) {
		return nil, &Exit{Code: ExitLocked, Err: err}
	}
	return lease, err
}
