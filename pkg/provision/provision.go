// Package provision gives install orders and follows them: it signs an order for a node, sees that the relay of the node's network has all that
// the order refers to, and keeps in the state store what cannot be observed again: which order was given, and with which host keys it ended.
package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"aead.dev/minisign"
	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// validity is how long an order may be acted on.
const validity = 4 * time.Hour

// maxAttempts is how often one approval may begin an install on a disk that carries its nonce, the first time included.
const maxAttempts = 3

// Record is what the state keeps of a node's last order.
type Record struct {
	ID      string       `json:"id"`
	Network string       `json:"network"`
	Spec    model.Digest `json:"spec"`
	Goal    order.Goal   `json:"goal"`
	Given   time.Time    `json:"given"`
	Nonce   string       `json:"nonce"`
	Serial  string       `json:"serial,omitempty"` // of the node's machine at that time, where the inventory named it
	// Unfinished are the nonces of this order and of those before it since the node was last installed.
	Unfinished []string `json:"unfinished,omitempty"`
	// Base is the nonce of the node's last install that came to its end, while this order has not.
	Base string `json:"base,omitempty"`
	// Begun: the relay has told that a disk was given to this order, or to one of those before it, so that what was installed before is gone.
	Begun     bool             `json:"begun,omitempty"`
	Installed *order.Installed `json:"installed,omitempty"`
	// Unseen is when the install ended, until its host has answered or its machine was started cold; zero afterwards.
	Unseen time.Time `json:"unseen,omitzero"`
	// Facts are what the machine reported of itself in its last finished install, at FactsAt.
	Facts   *order.Facts `json:"facts,omitempty"`
	FactsAt time.Time    `json:"facts_at,omitzero"`
}

// base is the nonce of the node's last finished install; empty: it never was installed.
func (r Record) base() string {
	if r.Installed != nil {
		return r.Installed.Nonce
	}
	return r.Base
}

// keep are the nonces that the node's root disk may carry together with the node's state.
func (r Record) keep() []string {
	base := r.base()
	if base == "" {
		return nil
	}
	return append([]string{base}, r.Unfinished...)
}

// Images is where an order's payload comes from.
type Images interface {
	// Blobs are the manifest and the chunks of an image: what the relay must have, manifest first.
	Blobs(digest model.Digest) ([]Blob, error)
	// Ramdisk are the kernel and the initial ramdisk that install.
	Ramdisk() (kernel, initrd File, err error)
	// FirstStage are the boot loaders that firmware fetches, by the names under which it asks.
	FirstStage() ([]File, error)
}

// Blob is one content-addressed piece of an image.
type Blob struct {
	Kind   string // "images" or "chunks"
	Digest string // hexadecimal SHA-256
	Size   int64
	Open   func() ([]byte, error)
}

// File is a boot file on this machine.
type File struct {
	Name   string // as machines ask for it
	SHA256 string
	Path   string
	Size   int64
}

// Provisioner implements the port ops.Installs.
type Provisioner struct {
	Desired model.Desired
	Store   state.Store
	Fence   state.Fence
	Key     minisign.PrivateKey
	Images  Images
	// Relay opens the relay of a network: the same client each time, and one for each network.
	Relay func(ctx context.Context, network string) (*relay.Client, error)
	// Config is the rendered configuration of a node.
	Config func(n model.Node) ([]byte, error)
	Now    func() time.Time
	Log    *slog.Logger
	// Silence is how long a begun install may say nothing before it counts as stalled.
	Silence time.Duration

	supplying  sync.Mutex // one supply at a time, so that blades installed together do not each send the image
	introduced map[*relay.Client]bool
}

func (p *Provisioner) orders() state.Bucket[Record] { return state.Orders[Record](p.Store, p.Fence) }

// Order is what is known of the node's last order. A relay that no longer has the order makes it absent; one that does not answer is an error.
func (p *Provisioner) Order(ctx context.Context, n model.Node) (model.ObservedOrder, error) {
	rec, ok, err := p.orders().Lookup(ctx, string(n.Path))
	if err != nil || !ok {
		return model.ObservedOrder{}, err
	}
	o := model.ObservedOrder{ID: rec.ID, Spec: rec.Spec, Serial: rec.Serial, Phase: facts.PhaseInstalled}
	if rec.Installed != nil {
		return o, nil
	}
	c, err := p.Relay(ctx, rec.Network)
	if err != nil {
		return model.ObservedOrder{}, err
	}
	news, err := c.Order(ctx, rec.ID, 0)
	if errors.Is(err, relay.ErrNoOrder) {
		return model.ObservedOrder{Before: rec.Base != "" && !rec.Begun}, nil
	}
	if err != nil {
		return model.ObservedOrder{}, err
	}
	o.Phase, o.Before = p.phase(rec, news.Status), rec.Base != "" && !rec.Begun && news.Status.Phase == order.PhaseArmed
	if o.Phase == facts.PhaseInstalled {
		// It is done, and its host keys are not kept yet: waiting for it returns at once and keeps them.
		o.Phase = facts.PhaseStarted
	}
	return o, nil
}

// Recall takes the node's last order back. Of one that was begun a disk was written, and only going on with it makes a host.
func (p *Provisioner) Recall(ctx context.Context, n model.Node) error {
	rec, ok, err := p.orders().Lookup(ctx, string(n.Path))
	if err != nil || !ok || rec.Installed != nil {
		return err
	}
	c, err := p.Relay(ctx, rec.Network)
	if err != nil {
		return err
	}
	return c.Disarm(ctx, rec.ID)
}

// phase is how far an order is. A begun one that has gone silent is stalled while the relay would let the machine go on with it, and failed when
// that takes a new order.
func (p *Provisioner) phase(rec Record, s order.Status) string {
	expired := p.Now().After(rec.Given.Add(validity))
	begun := s.Phase == order.PhaseBooted || s.Phase == order.PhaseConsumed
	switch {
	case s.Phase == order.PhaseInstalled:
		return facts.PhaseInstalled
	case begun && p.Now().Sub(s.Updated) <= p.Silence:
		return facts.PhaseStarted
	case expired:
		return facts.PhaseFailed
	case s.Phase == order.PhaseArmed:
		return facts.PhaseArmed
	case begun && s.Attempts < maxAttempts:
		return facts.PhaseStalled
	default:
		return facts.PhaseFailed
	}
}

// patience is how long Watch bears with a relay that does not answer: the connection to it may be lost for a while, and the install goes on.
const patience = 2 * time.Minute

// Watch returns the order's status once it is newer than version after, or after a while without news. A relay that does not answer is asked again
// for a while; the error wraps relay.ErrNoOrder when it has answered that it does not have the order.
func (p *Provisioner) Watch(ctx context.Context, n model.Node, after int) (order.Status, int, error) {
	rec, err := p.orders().Get(ctx, string(n.Path))
	if err != nil {
		return order.Status{}, after, fmt.Errorf("%s: order: %w", n.Path, err)
	}
	c, err := p.Relay(ctx, rec.Network)
	if err != nil {
		return order.Status{}, after, err
	}
	news, err := backoff.Retry(ctx, func() (relay.News, error) {
		news, err := c.Order(ctx, rec.ID, after)
		if errors.Is(err, relay.ErrNoOrder) {
			return news, backoff.Permanent(err)
		}
		return news, err
	}, backoff.WithMaxElapsedTime(patience))
	if err == nil && news.Status.Attempts > 0 && rec.Base != "" && !rec.Begun {
		rec.Begun = true // the relay forgets; whether the host before is still there must be known then
		err = p.orders().Put(ctx, string(n.Path), rec)
	}
	return news.Status, news.Version, err
}

// Keep stores what a finished install reported: from here on the host is known by these keys.
func (p *Provisioner) Keep(ctx context.Context, n model.Node, result order.Installed) error {
	rec, err := p.orders().Get(ctx, string(n.Path))
	if err != nil {
		return fmt.Errorf("%s: order: %w", n.Path, err)
	}
	rec.Installed, rec.Unfinished, rec.Base, rec.Begun, rec.Unseen = &result, nil, "", false, p.Now().UTC()
	p.keepFacts(ctx, n, &rec)
	orderWrite, err1 := p.orders().Write(string(n.Path), rec)
	keysWrite, err2 := state.HostKeys(p.Store, p.Fence).Write(string(n.Path), result.HostKeys)
	hostWrite, err3 := state.Hosts(p.Store, p.Fence).Write(string(n.Path), state.Host{
		Spec: rec.Spec, Image: model.ImageRef{Name: n.Image.Name, Digest: result.Image}, Config: result.Config,
		Slot: result.Slot, Serial: result.RootDisk.Serial, Order: rec.ID, At: p.Now().UTC(),
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	return p.Store.Commit(ctx, p.Fence, orderWrite, keysWrite, hostWrite)
}

// keepFacts puts what the machine reported of itself into its record. It is worth having and nothing depends on it.
func (p *Provisioner) keepFacts(ctx context.Context, n model.Node, rec *Record) {
	c, err := p.Relay(ctx, rec.Network)
	var news relay.News
	if err == nil {
		news, err = c.Order(ctx, rec.ID, 0)
	}
	if err != nil {
		p.log().Warn("the machine's facts are not kept", "node", string(n.Path), "error", err)
		return
	}
	if news.Status.Facts != nil {
		rec.Facts, rec.FactsAt = news.Status.Facts, p.Now().UTC()
	}
}

func (p *Provisioner) log() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

// coldWithin is how long after an install its machine may be switched off because its host never answered.
const coldWithin = time.Hour

// Answered implements ops.FirstBoots.
func (p *Provisioner) Answered(ctx context.Context, n model.Node) error {
	_, err := p.seen(ctx, n)
	return err
}

// Cold implements ops.FirstBoots.
func (p *Provisioner) Cold(ctx context.Context, n model.Node) (bool, error) {
	since, err := p.seen(ctx, n)
	return !since.IsZero() && p.Now().Sub(since) <= coldWithin, err
}

// seen ends the time in which a host was not seen, and gives when that began; zero: it was over before.
func (p *Provisioner) seen(ctx context.Context, n model.Node) (time.Time, error) {
	rec, ok, err := p.orders().Lookup(ctx, string(n.Path))
	if err != nil || !ok || rec.Unseen.IsZero() {
		return time.Time{}, err
	}
	since := rec.Unseen
	rec.Unseen = time.Time{}
	return since, p.orders().Put(ctx, string(n.Path), rec)
}

// BootNIC is the card that a node boots from: the first one on a network with boot service.
func BootNIC(d model.Desired, n model.Node) (model.NIC, model.Network, error) {
	for _, nic := range n.NICs {
		for _, net := range d.Networks {
			if nic.Network == net.Name && net.DHCP != "" {
				return nic, net, nil
			}
		}
	}
	return model.NIC{}, model.Network{}, fmt.Errorf("%s has no network card on a network with a dhcp block, so it cannot boot from the network", n.Path)
}

// Machines lists what the relay of a network gives addresses to: every node's card on it.
func Machines(d model.Desired, network model.Network) []relay.Machine {
	var out []relay.Machine
	for _, n := range d.Nodes {
		for _, nic := range n.NICs {
			if nic.Network != network.Name || !nic.Address.IsValid() {
				continue
			}
			out = append(out, relay.Machine{
				MAC: strings.ToLower(nic.MAC), Hostname: n.Name, Domain: d.Cloud.Domain, Address: nic.Address,
				Router: network.Gateway, DNS: network.DNS, NTP: addresses(network.NTP), MTU: uint16(network.MTU),
			})
		}
	}
	return out
}

// addresses keeps what DHCP can carry: time servers that are given by address.
func addresses(names []string) []netip.Addr {
	var out []netip.Addr
	for _, s := range names {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a)
		}
	}
	return out
}
