package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/profile"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// session is an inventory with everything that a command which looks at the world needs. Close it.
type session struct {
	env     Env
	inv     *inventory.Inventory
	keys    *keys
	store   site
	known   state.Store // the store, with nodes under their present paths
	images  image.Store
	desired model.Desired           // complete: addresses, image digests, configuration digests
	digests map[string]model.Digest // of the images that exist, by name
	configs map[model.Path][]byte   // rendered configurations
	given   map[string]netip.Prefix // every address, by inventory.AddressKey

	approver string      // who approved what is applied
	control  *controller // what others may ask of this process; made anew with each lease

	machines *fleet.Machines
	secrets  fleet.Secrets
	links    *fleet.Links
	marked   []model.Path // nodes on which the last run set something that is to be taken back when it is aborted
	jumps    map[string]*remote.Link
	jumpsMu  sync.Mutex
}

// open loads the inventory, completes it from the state and the image store, and renders every node's configuration.
func (e Env) open(ctx context.Context) (*session, error) {
	inv, err := e.load()
	if err != nil {
		return nil, err
	}
	s := &session{env: e, inv: inv, desired: inv.Desired, approver: whoAmI(), jumps: map[string]*remote.Link{}}
	if s.store, err = e.openSite(ctx, inv); err != nil {
		return nil, err
	}
	s.known = state.Moved(s.store, inv.Desired.Moved)
	var made bool
	if s.keys, made, err = openKeys(e.stateDir(), e.Now()); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	if err := s.sameKeys(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if made {
		e.note("Made this cloud's keys in %s: keep that directory safe, and out of version control.", filepath.Join(e.stateDir(), "keys"))
	}
	if err := errors.Join(s.address(ctx), s.pinImages()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.render(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.secrets = &lazySecrets{dir: e.Dir, spec: inv.Secrets}
	s.machines = &fleet.Machines{Secrets: s.secrets, Log: e.Log}
	s.links = fleet.NewLinks(s.target)
	return s, nil
}

// Close ends connections and gives up leases.
func (s *session) Close() error {
	var errs []error
	if s.links != nil {
		errs = append(errs, s.links.Close())
	}
	s.jumpsMu.Lock()
	defer s.jumpsMu.Unlock()
	for _, l := range s.jumps {
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs, s.store.Close())...)
}

// address gives every card its address: what was given before is kept.
func (s *session) address(ctx context.Context) error {
	items, err := state.Addresses(s.known, state.Fence{}).List(ctx, "")
	if err != nil {
		return err
	}
	given := map[string]netip.Addr{}
	for _, it := range items {
		if p, err := netip.ParsePrefix(it.Value.IP); err == nil {
			given[it.Key] = p.Addr()
		}
	}
	if s.given, err = inventory.Allot(s.desired, given); err != nil {
		return err
	}
	s.desired = inventory.WithAddresses(s.desired, s.given)
	return nil
}

// pinImages finds the images that the inventory names in the image store; those that are not there stay without a digest.
func (s *session) pinImages() error {
	dir, err := s.env.imageDir()
	if err != nil {
		return err
	}
	s.images, s.digests = image.Store{Dir: dir}, map[string]model.Digest{}
	pin := func(ref *model.ImageRef) error {
		d, ok := s.digests[ref.Name]
		if !ok {
			var err error
			if d, err = s.images.Resolve(ref.Name); err != nil && !errors.Is(err, image.ErrNotFound) {
				return err
			}
			s.digests[ref.Name] = d
		}
		ref.Digest = d
		return nil
	}
	nodes, vms := append([]model.Node(nil), s.desired.Nodes...), append([]model.VM(nil), s.desired.VMs...)
	var errs []error
	for i := range nodes {
		if !nodes[i].Adopted { // those have none
			errs = append(errs, pin(&nodes[i].Image))
		}
	}
	for i := range vms {
		errs = append(errs, pin(&vms[i].Image))
	}
	s.desired.Nodes, s.desired.VMs = nodes, vms
	for name, d := range s.digests {
		if d == "" {
			delete(s.digests, name)
		}
	}
	return errors.Join(errs...)
}

// render makes every node's configuration, on all cores.
func (s *session) render() error {
	s.configs = make(map[model.Path][]byte, len(s.desired.Nodes))
	out, list := renderAll(s.inv, &s.desired, []string{remote.AuthorizedKey(s.keys.CA.PublicKey())})
	if err := s.env.show(s.inv, list); err != nil {
		return err
	}
	for i := range s.desired.Nodes {
		s.desired.Nodes[i].Config = out[i].Digest
		s.configs[s.desired.Nodes[i].Path] = out[i].Ignition
	}
	return nil
}

// renderAll renders every node; the results are parallel to the nodes.
func renderAll(inv *inventory.Inventory, d *model.Desired, cas []string) ([]profile.Rendered, diag.List) {
	sources := map[string]profile.Source{}
	for _, p := range d.Profiles {
		sources[p.Name] = profile.Source{Name: p.Butane, Text: inv.Files[p.Butane]}
	}
	out, lists := make([]profile.Rendered, len(d.Nodes)), make([]diag.List, len(d.Nodes))
	r := new(profile.Renderer)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, n := range d.Nodes {
		if n.Adopted {
			continue // nothing is laid down there
		}
		g.Go(func() error {
			out[i], lists[i] = r.Render(profile.Input{Desired: d, Node: n, Butane: sources[n.Profile], UserCAs: cas})
			return nil
		})
	}
	_ = g.Wait() // no function returns an error: they are collected by node
	return out, distinct(lists)
}

// distinct joins lists, each diagnostic once: a mistake in a profile is found for every node that has it.
func distinct(lists []diag.List) diag.List {
	seen := map[diag.Diagnostic]bool{}
	var out diag.List
	for _, l := range lists {
		for _, d := range l {
			if !seen[d] {
				seen[d] = true
				out = append(out, d)
			}
		}
	}
	return out
}

// checkProfiles renders every node with a stand-in for the key, for validate.
func checkProfiles(inv *inventory.Inventory) diag.List {
	given, err := inventory.Allot(inv.Desired, nil)
	if err != nil {
		return diag.FromError(err)
	}
	d := inventory.WithAddresses(inv.Desired, given)
	_, list := renderAll(inv, &d, []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
	return list
}

// target is how a node's host is reached over SSH: by its first address, under the keys that its install reported.
func (s *session) target(ctx context.Context, n model.Node) (remote.Target, error) {
	lines, err := state.HostKeys(s.known, state.Fence{}).Get(ctx, string(n.Path))
	if errors.Is(err, state.ErrNotFound) {
		return remote.Target{}, fmt.Errorf("%s: %w: it was not installed from this state", n.Path, remote.ErrHostKey)
	}
	if err != nil {
		return remote.Target{}, err
	}
	pub, err := remote.KnownHosts{n.Name: lines}.Keys(n.Name)
	if err != nil {
		return remote.Target{}, err
	}
	addr, network, ok := hostAddress(s.desired, n)
	if !ok {
		return remote.Target{}, fmt.Errorf("%s has no address to reach it by", n.Path)
	}
	via, err := s.jump(network)
	if err != nil {
		return remote.Target{}, err
	}
	t := remote.Target{Name: n.Name, Address: netip.AddrPortFrom(addr, 22).String(), User: "root", HostKeys: pub, Login: s.login(), Timeout: 8 * time.Second,
		Greeting: 90 * time.Second}
	if via != nil {
		t.Via = via
	}
	if n.Adopted { // it does not know this cloud's authority
		t.Login, t.Keys = nil, operatorKeys
	}
	return t, nil
}

// login makes a short-lived certificate for every connection.
func (s *session) login() remote.Login {
	return func(string) (ssh.Signer, error) {
		cert, err := s.keys.CA.UserCertificate(s.keys.Login.PublicKey(), "nuboctl "+whoAmI(), []string{profile.OperatorPrincipal}, s.env.Now(), time.Hour)
		if err != nil {
			return nil, err
		}
		return ssh.NewCertSigner(cert, s.keys.Login)
	}
}

func whoAmI() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// hostAddress is the first address of a node's own: that of a card, or of a port of its bridges.
func hostAddress(d model.Desired, n model.Node) (netip.Addr, model.Network, bool) {
	for _, nic := range n.NICs {
		if nic.Address.IsValid() {
			return nic.Address.Addr(), networkOf(d, nic.Network), true
		}
	}
	for _, p := range n.Ports {
		if p.Address.IsValid() {
			return p.Address.Addr(), networkOf(d, p.Network), true
		}
	}
	return netip.Addr{}, model.Network{}, false
}

func networkOf(d model.Desired, name string) model.Network {
	for _, n := range d.Networks {
		if n.Name == name {
			return n
		}
	}
	return model.Network{}
}

// lazySecrets opens the secret store when a secret is first needed, so that a plan without observation needs none.
type lazySecrets struct {
	dir  string
	spec inventory.SecretsSpec
	once sync.Once
	r    inventory.Resolver
	err  error
}

// Resolve gives user and password.
func (l *lazySecrets) Resolve(ref model.SecretRef) (string, string, error) {
	l.once.Do(func() { l.r, l.err = inventory.OpenSecrets(l.dir, l.spec, defaultIdentity()) })
	if l.err != nil {
		return "", "", l.err
	}
	return l.r.Resolve(ref)
}

// defaultIdentity is the age identity file named by the environment.
func defaultIdentity() string { return os.Getenv("NUBO_AGE_IDENTITY") }
