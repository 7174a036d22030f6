package relay

import (
	"bytes"
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
	changed chan struct{} // closed when there is a newer one, or none
	writing *sync.Mutex   // of all versions of this order: one change at a time
}

// book keeps orders and machines. What decides over a second write to a disk is on stable storage before it is acted on. Nobody who reads waits for
// storage: machines are answered while others' reports are written down.
type book struct {
	dir string
	now func() time.Time

	orders sync.RWMutex // held while orders come or go; shared by those that change

	mu       sync.Mutex // held for a moment only, never while something is written
	entries  map[string]*entry
	byMAC    map[string][]string // ids of the orders for a card
	machines map[string]Machine
	listed   []byte // the machines as they are on storage
	epoch    int64
}

func openBook(dir string, now func() time.Time) (*book, error) {
	b := &book{dir: dir, now: now, entries: map[string]*entry{}, byMAC: map[string][]string{}, machines: map[string]Machine{}}
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
	e := &entry{}
	if err := json.Unmarshal(text, e); err != nil {
		return fmt.Errorf("relay: order book entry %s is damaged: %w", name, err)
	}
	b.set(e)
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
	b.listed = text
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
	b.orders.Lock()
	defer b.orders.Unlock()
	if bytes.Equal(text, b.listed) { // it is told again with every order
		return nil
	}
	if err := writeDurably(filepath.Join(b.dir, "machines.json"), text); err != nil {
		return err
	}
	machines := make(map[string]Machine, len(list))
	for _, m := range list {
		machines[m.MAC] = m
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machines, b.listed = machines, text
	return nil
}

// expected returns the newest order that expects this machine to boot now.
func (b *book) expected(mac string) (entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *entry
	for _, id := range b.byMAC[mac] {
		e := b.entries[id]
		if e != nil && slices.Contains(e.Record.Order.Machine.MACs, mac) && e.Record.Boots(b.now()) && (best == nil || e.Record.Order.IssuedAt.After(best.Record.Order.IssuedAt)) {
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
	b.orders.Lock()
	defer b.orders.Unlock()
	o := e.Record.Order
	if o.Epoch < b.epoch {
		return fmt.Errorf("arm order %s of epoch %d: %w (epoch %d)", o.ID, o.Epoch, ErrFenced, b.epoch)
	}
	if have, ok := b.find(o.ID); ok {
		if string(have.Signed.Payload) != string(e.Signed.Payload) {
			return fmt.Errorf("arm order %s: another order has this id", o.ID)
		}
		return nil
	}
	var old []string
	for _, mac := range o.Machine.MACs {
		old = append(old, b.ordersOf(mac)...)
	}
	var err error
	for i := 0; i < len(old) && err == nil; i++ {
		if err = b.unlink(old[i]); err != nil {
			old = old[:i]
		}
	}
	if err == nil {
		err = b.write(&e)
	}
	b.mu.Lock() // from one order to the next in one moment: a machine that asks meanwhile is not sent to its disk
	defer b.mu.Unlock()
	for _, id := range old {
		b.forget(id)
	}
	if err != nil {
		return err
	}
	b.set(&e)
	b.epoch = max(b.epoch, o.Epoch)
	return nil
}

// disarm forgets an order, for good before it returns. One that was begun and has not come to its end is kept: its machine's disk was written, and only that order goes
// on with it.
func (b *book) disarm(id string) error {
	b.orders.Lock()
	defer b.orders.Unlock()
	if e, ok := b.find(id); ok && e.Record.Attempts > 0 && e.Record.Phase != order.PhaseInstalled {
		return fmt.Errorf("%w: order %s was begun on %s; nuboctl apply goes on with it", order.ErrConsumed, id, e.Record.Order.Node)
	}
	if err := b.unlink(id); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(id)
	return nil
}

// unlink takes an order off storage. Orders are held.
func (b *book) unlink(id string) error {
	if _, ok := b.find(id); !ok {
		return nil
	}
	if err := os.Remove(b.file(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("relay: remove order %s: %w", id, err)
	}
	return nil
}

// forget drops an order, and wakes those who wait for news of it. The lock is held.
func (b *book) forget(id string) {
	e, ok := b.entries[id]
	if !ok {
		return
	}
	delete(b.entries, id)
	for _, mac := range e.Record.Order.Machine.MACs {
		if b.byMAC[mac] = slices.DeleteFunc(b.byMAC[mac], func(other string) bool { return other == id }); len(b.byMAC[mac]) == 0 {
			delete(b.byMAC, mac)
		}
	}
	close(e.changed)
}

// update changes one record; a change of phase or attempts is on stable storage before update returns.
func (b *book) update(id string, change func(order.Record) (order.Record, error)) (order.Record, error) {
	b.orders.RLock()
	defer b.orders.RUnlock()
	e, ok := b.find(id)
	if !ok {
		return order.Record{}, fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	e.writing.Lock()
	defer e.writing.Unlock()
	e, _ = b.find(id) // as whoever wrote before has left it
	rec, err := change(e.Record)
	if err != nil {
		return e.Record, err
	}
	next := *e
	next.Record = rec
	if rec.Phase != e.Record.Phase || rec.Attempts != e.Record.Attempts || rec.Boot != e.Record.Boot || (rec.Facts == nil) != (e.Record.Facts == nil) {
		return rec, b.keep(&next)
	}
	b.put(&next)
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

// keep puts an entry in its place, once it is on stable storage.
func (b *book) keep(e *entry) error {
	if err := b.write(e); err != nil {
		return err
	}
	b.put(e)
	return nil
}

func (b *book) write(e *entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("relay: order %s: %w", e.Record.Order.ID, err)
	}
	return writeDurably(b.file(e.Record.Order.ID), text)
}

func (b *book) put(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(e)
}

// set puts an entry in the place of its earlier version, where there is one, and wakes those who wait for news of it. The lock is held.
func (b *book) set(e *entry) {
	id := e.Record.Order.ID
	old, known := b.entries[id]
	e.changed = make(chan struct{})
	e.version++
	b.entries[id] = e
	if known {
		close(old.changed)
	}
	if e.writing == nil {
		e.writing = new(sync.Mutex)
	}
	for _, mac := range e.Record.Order.Machine.MACs {
		if !slices.Contains(b.byMAC[mac], id) {
			b.byMAC[mac] = append(b.byMAC[mac], id)
		}
	}
}

func (b *book) find(id string) (*entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[id]
	return e, ok
}

// ordersOf are the ids of the orders for a card.
func (b *book) ordersOf(mac string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.byMAC[mac])
}

// get gives an order, and a channel that is closed when there is news of it.
func (b *book) get(id string) (entry, <-chan struct{}, bool) {
	e, ok := b.find(id)
	if !ok {
		return entry{}, nil, false
	}
	return *e, e.changed, true
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

// wake makes all who wait look again.
func (b *book) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.entries {
		again := *e
		again.changed = make(chan struct{})
		b.entries[id] = &again
		close(e.changed)
	}
}

func (b *book) file(id string) string { return filepath.Join(b.dir, id+".json") }
