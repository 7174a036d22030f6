package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// ErrFenced says that an order comes from a holder of the lease who has been replaced.
var ErrFenced = errors.New("a newer holder of the lease has given orders")

// ErrNoOrder says that the relay does not know the order.
var ErrNoOrder = errors.New("no such order")

// BootFiles names what the machine loads, as files put before.
type BootFiles struct {
	Kernel string `json:"kernel"`
	Initrd string `json:"initrd"`
}

// entry is an order as the relay keeps it.
type entry struct {
	Record order.Record `json:"record"`
	Signed order.Signed `json:"signed"`
	Boot   BootFiles    `json:"boot"`
	// version counts changes since this process began; waiters look at it.
	version int
}

// book keeps orders and machines. What decides over a second write to a disk is on stable storage before it is acted on.
type book struct {
	dir string
	now func() time.Time

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	entries  map[string]*entry
	machines map[string]Machine
	epoch    int64
}

func openBook(dir string, now func() time.Time) (*book, error) {
	b := &book{dir: dir, now: now, changed: make(chan struct{}), entries: map[string]*entry{}, machines: map[string]Machine{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("relay: make the order book: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("relay: list the order book: %w", err)
	}
	for _, name := range names {
		if err := b.load(name); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *book) load(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("relay: read the order book: %w", err)
	}
	if filepath.Base(name) == "machines.json" {
		return b.loadMachines(name, text)
	}
	e := &entry{version: 1}
	if err := json.Unmarshal(text, e); err != nil {
		return fmt.Errorf("relay: order book entry %s is damaged: %w", name, err)
	}
	b.entries[e.Record.Order.ID] = e
	b.epoch = max(b.epoch, e.Record.Order.Epoch)
	return nil
}

func (b *book) loadMachines(name string, text []byte) error {
	var list []Machine
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("relay: list of machines %s is damaged: %w", name, err)
	}
	for _, m := range list {
		b.machines[m.MAC] = m
	}
	return nil
}

func (b *book) machine(mac string) (Machine, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.machines[mac]
	return m, ok
}

// setMachines replaces the list of known machines.
func (b *book) setMachines(list []Machine) error {
	for i := range list {
		list[i].MAC = strings.ToLower(list[i].MAC)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("relay: list of machines: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := writeDurably(filepath.Join(b.dir, "machines.json"), text); err != nil {
		return err
	}
	b.machines = make(map[string]Machine, len(list))
	for _, m := range list {
		b.machines[m.MAC] = m
	}
	return nil
}

// expected returns the newest order that expects this machine to boot now.
func (b *book) expected(mac string) (entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *entry
	for _, e := range b.entries {
		o := e.Record.Order
		if slices.Contains(o.Machine.MACs, mac) && e.Record.Boots(b.now()) && (best == nil || o.IssuedAt.After(best.Record.Order.IssuedAt)) {
			best = e
		}
	}
	if best == nil {
		return entry{}, false
	}
	return *best, true
}

// arm takes an order up, in place of every other order for one of its machine's cards that has not ended.
func (b *book) arm(e entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := e.Record.Order
	if o.Epoch < b.epoch {
		return fmt.Errorf("arm order %s of epoch %d: %w (epoch %d)", o.ID, o.Epoch, ErrFenced, b.epoch)
	}
	if have, ok := b.entries[o.ID]; ok {
		if string(have.Signed.Payload) != string(e.Signed.Payload) {
			return fmt.Errorf("arm order %s: another order has this id", o.ID)
		}
		return nil
	}
	for id, old := range b.entries {
		if slices.ContainsFunc(old.Record.Order.Machine.MACs, func(m string) bool { return slices.Contains(o.Machine.MACs, m) }) {
			if err := b.removeLocked(id); err != nil {
				return err
			}
		}
	}
	if err := b.keepLocked(&e); err != nil {
		return err
	}
	b.epoch = max(b.epoch, o.Epoch)
	return nil
}

func (b *book) disarm(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.removeLocked(id)
}

func (b *book) removeLocked(id string) error {
	if _, ok := b.entries[id]; !ok {
		return nil
	}
	if err := os.Remove(b.file(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("relay: remove order %s: %w", id, err)
	}
	delete(b.entries, id)
	b.wakeLocked()
	return nil
}

// update changes one record; a change of phase or attempts is on stable storage before update returns.
func (b *book) update(id string, change func(order.Record) (order.Record, error)) (order.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[id]
	if !ok {
		return order.Record{}, fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	rec, err := change(e.Record)
	if err != nil {
		return e.Record, err
	}
	next := *e
	next.Record = rec
	if rec.Phase != e.Record.Phase || rec.Attempts != e.Record.Attempts || rec.Boot != e.Record.Boot || (rec.Facts == nil) != (e.Record.Facts == nil) {
		return rec, b.keepLocked(&next)
	}
	next.version++
	*e = next
	b.wakeLocked()
	return rec, nil
}

func (b *book) booted(id string) error {
	_, err := b.update(id, func(r order.Record) (order.Record, error) {
		if r.Phase == order.PhaseArmed {
			r.Phase, r.Updated = order.PhaseBooted, b.now()
		}
		return r, nil
	})
	return err
}

func (b *book) keepLocked(e *entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("relay: order %s: %w", e.Record.Order.ID, err)
	}
	if err := writeDurably(b.file(e.Record.Order.ID), text); err != nil {
		return err
	}
	e.version++
	b.entries[e.Record.Order.ID] = e
	b.wakeLocked()
	return nil
}

func (b *book) get(id string) (entry, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[id]
	if !ok {
		return entry{}, b.changed, false
	}
	return *e, b.changed, true
}

func (b *book) all() []order.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]order.Status, 0, len(b.entries))
	for _, e := range b.entries {
		out = append(out, e.Record.Status())
	}
	slices.SortFunc(out, func(a, b order.Status) int { return strings.Compare(a.Order, b.Order) })
	return out
}

func (b *book) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeLocked()
}

func (b *book) wakeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *book) file(id string) string { return filepath.Join(b.dir, id+".json") }
