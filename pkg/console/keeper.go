package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// Sources are where consoles come from. fleet.Machines implements it.
type Sources interface {
	// RecordConsole writes what a node's serial console prints, until the context ends; see bmc.RecordConsole.
	RecordConsole(ctx context.Context, n model.Node, out io.Writer) error
	// ConsoleLog is what the node's BMC itself has kept of it; see bmc.ConsoleReader.
	ConsoleLog(ctx context.Context, n model.Node) ([]string, error)
}

// starts are the ops during which a machine starts, so that its console is listened to.
var starts = map[plan.Kind]bool{plan.PowerOn: true, plan.InstallWait: true, plan.HostStart: true, plan.HostVerify: true, plan.SlotBoot: true}

// ends are the ops that prove a host to be up: its console says no more.
var ends = map[plan.Kind]bool{plan.HostVerify: true, plan.SlotBoot: true}

// tells are the other ops whose failure the console may explain.
var tells = map[plan.Kind]bool{plan.OVSEnsure: true, plan.HostConfig: true, plan.CephStart: true}

const (
	maxListeners = 64               // consoles that are listened to at once; each is a process
	logTime      = 20 * time.Second // for a BMC to hand out its log
	shownLines   = 15               // of the console, where a failure is shown
)

// Keeper listens to consoles while drivers act, and keeps their end when an op fails. It stands between the engine and its drivers and journal.
// Safe for concurrent use. Close it.
type Keeper struct {
	store   Store
	sources Sources
	log     *slog.Logger
	nodes   map[plan.Subject]model.Node
	ctx     context.Context
	stop    context.CancelFunc
	wait    sync.WaitGroup

	mu        sync.Mutex
	listeners map[model.Path]*listener
	applied   map[plan.OpID]bool   // those whose verification is not a mere look
	pending   map[plan.OpID]Record // what was collected and has no record in the journal yet
}

// listener listens to one console.
type listener struct {
	tail *Tail
	stop context.CancelFunc
	// missing says why it hears nothing; empty while it listens.
	mu      sync.Mutex
	missing string
}

// New makes a keeper for the nodes.
func New(s Store, sources Sources, nodes []model.Node, log *slog.Logger) *Keeper {
	k := &Keeper{store: s, sources: sources, log: log, nodes: map[plan.Subject]model.Node{}, listeners: map[model.Path]*listener{},
		applied: map[plan.OpID]bool{}, pending: map[plan.OpID]Record{}}
	for _, n := range nodes {
		k.nodes[plan.NodeSubject(n.Path)] = n
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// Close stops listening, and returns when every console is given back.
func (k *Keeper) Close() {
	k.stop()
	k.wait.Wait()
}

// listen begins to listen to a node's console, unless that is done already or too many are.
func (k *Keeper) listen(n model.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.listeners[n.Path] != nil || len(k.listeners) >= maxListeners {
		return
	}
	ctx, stop := context.WithCancel(k.ctx)
	l := &listener{tail: NewTail(maxBytes), stop: stop}
	k.listeners[n.Path] = l
	k.wait.Go(func() {
		defer stop()
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			err := k.sources.RecordConsole(ctx, n, l.tail)
			if errors.Is(err, bmc.ErrUnsupported) || errors.Is(err, bmc.ErrBusy) || errors.Is(err, bmc.ErrAuth) || errors.Is(err, bmc.ErrInvalid) {
				return struct{}{}, backoff.Permanent(err)
			}
			return struct{}{}, err
		}, backoff.WithMaxElapsedTime(0))
		if err != nil && ctx.Err() == nil {
			l.mu.Lock()
			l.missing = err.Error()
			l.mu.Unlock()
		}
	})
}

// hush ends listening to a node.
func (k *Keeper) hush(n model.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.listeners[n.Path]; l != nil {
		l.stop()
		delete(k.listeners, n.Path)
	}
}

// collect gives the end of a node's console: what was heard of it, else what its BMC has kept.
func (k *Keeper) collect(ctx context.Context, n model.Node) (lines []string, source, missing string) {
	k.mu.Lock()
	l := k.listeners[n.Path]
	k.mu.Unlock()
	if l != nil {
		if lines = l.tail.Lines(maxLines); len(lines) > 0 {
			return lines, "Serial-over-LAN", ""
		}
		l.mu.Lock()
		missing = l.missing
		l.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logTime)
	defer cancel()
	kept, err := k.sources.ConsoleLog(ctx, n)
	if err == nil {
		t := NewTail(maxBytes)
		for _, line := range kept {
			_, _ = fmt.Fprintln(t, line) // a tail takes everything
		}
		if lines = t.Lines(maxLines); len(lines) > 0 {
			return lines, "the BMC's log of the console", ""
		}
		return nil, "", "the console printed nothing"
	}
	if missing == "" || !errors.Is(err, bmc.ErrUnsupported) {
		missing = err.Error()
	}
	return nil, "", missing
}

// Driver puts the keeper around a driver.
func (k *Keeper) Driver(d engine.Driver) engine.Driver { return driver{d, k} }

type driver struct {
	engine.Driver
	k *Keeper
}

// Apply implements engine.Driver.
func (d driver) Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error {
	n, ok := d.k.nodes[op.Target]
	if ok && starts[op.Kind] {
		d.k.listen(n)
	}
	err := d.Driver.Apply(ctx, op, progress)
	if !ok {
		return err
	}
	if err == nil {
		d.k.setApplied(op, true)
		return nil
	}
	return d.k.failed(ctx, n, op, err)
}

// Verify implements engine.Driver. One that comes without an Apply before it is a look, whose failure says nothing.
func (d driver) Verify(ctx context.Context, op plan.Op) error {
	err := d.Driver.Verify(ctx, op)
	n, ok := d.k.nodes[op.Target]
	if !ok || !d.k.setApplied(op, false) {
		return err
	}
	if err == nil {
		if ends[op.Kind] {
			d.k.hush(n)
		}
		return nil
	}
	return d.k.failed(ctx, n, op, err)
}

// setApplied notes that an op was applied, or that it is verified; it returns what was noted before.
func (k *Keeper) setApplied(op plan.Op, now bool) (before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before = k.applied[op.ID]
	if now {
		k.applied[op.ID] = true
	} else {
		delete(k.applied, op.ID)
	}
	return before
}

// failed collects what there is after a failure, and gives the error its last lines.
func (k *Keeper) failed(ctx context.Context, n model.Node, op plan.Op, err error) error {
	if !starts[op.Kind] && !tells[op.Kind] || errors.Is(context.Cause(ctx), context.Canceled) {
		return err
	}
	r := Record{Node: n.Path, Op: op.ID}
	var agent interface{ Log() []string }
	if errors.As(err, &agent) {
		r.Agent = last(agent.Log(), maxLines)
	}
	r.Console, r.Source, r.Missing = k.collect(ctx, n)
	k.mu.Lock()
	k.pending[op.ID] = r
	k.mu.Unlock()
	return &failure{err: err, record: r}
}

// failure is an error with what the machine said last.
type failure struct {
	err    error
	record Record
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Log is what is shown with the error: the agent's lines, or the console's last ones.
func (f *failure) Log() []string {
	r := f.record
	if len(r.Console) == 0 {
		return r.Agent
	}
	shown := r.Agent
	if len(shown) == 0 {
		shown = last(r.Console, shownLines)
	}
	return append(append([]string(nil), shown...), fmt.Sprintf("(%d lines of its console are kept: nuboctl journal console %s)", len(r.Console), r.Node.Name()))
}

// Journal puts the keeper around a journal, whose records give what is kept its number.
func (k *Keeper) Journal(j engine.Journal) engine.Journal { return journal{j, k} }

type journal struct {
	engine.Journal
	k *Keeper
}

// Append implements engine.Journal. That something could not be kept is logged: it must not stop a run.
func (j journal) Append(ctx context.Context, r state.Record) (state.Record, error) {
	written, err := j.Journal.Append(ctx, r)
	if err != nil || r.OpID == "" || r.Kind == state.KindIntent {
		return written, err
	}
	j.k.mu.Lock()
	kept, ok := j.k.pending[r.OpID]
	delete(j.k.pending, r.OpID)
	j.k.mu.Unlock()
	if !ok || r.Kind != state.KindFailed {
		return written, nil
	}
	kept.Seq, kept.Time, kept.Run, kept.Error = written.Seq, written.Time, written.Run, written.Error
	if err := j.k.store.Put(kept); err != nil {
		j.k.log.Error("keep the console of a failed machine", "node", string(kept.Node), "error", err)
	}
	return written, nil
}
