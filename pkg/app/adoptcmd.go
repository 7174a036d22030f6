package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// AdoptOptions are those of Adopt.
type AdoptOptions struct {
	Hosts      []string // HOST or HOST,BMC-ADDRESS
	HostsFile  string
	KnownHosts []string
	TrustFirst bool
	Observed   string // a survey of an earlier run; empty: look
	Names      adopt.Names
}

// The files beside the inventory: what was seen, as it was seen and in the inventory's names.
const (
	surveyFile   = "survey.json"
	observedFile = "observed.json"
)

// Adopt looks at hosts that nuboctl did not lay down, writes the inventory that describes them, and plans from what it saw. It changes nothing on a host.
func Adopt(ctx context.Context, e Env, o AdoptOptions) error {
	if there, _ := filepath.Glob(filepath.Join(e.Dir, "*.hcl")); len(there) > 0 {
		return fmt.Errorf("there is an inventory in %s already, and adopt writes over nothing: choose another directory with -C DIR", e.Dir)
	}
	s, err := e.survey(ctx, o)
	if err != nil {
		return err
	}
	d := adopt.Describe(s, o.Names)
	if len(d.Desired.Nodes) == 0 {
		return fmt.Errorf("none of the %d hosts could be described:\n%w", len(s.Hosts), remarkErrors(d.Remarks))
	}
	files := adopt.Files(d)
	if err := e.writeAdopted(files, s); err != nil {
		return err
	}
	return e.planAdopted(ctx, s, d, sortedNames(files))
}

func remarkErrors(list []adopt.Remark) error {
	var errs []error
	for _, r := range list {
		errs = append(errs, errors.New(r.String()))
	}
	return errors.Join(errs...)
}

func sortedNames(files map[string][]byte) []string {
	var out []string
	for name := range files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// survey looks at the hosts, or reads what an earlier run saw.
func (e Env) survey(ctx context.Context, o AdoptOptions) (adopt.Survey, error) {
	if o.Observed != "" {
		if len(o.Hosts) > 0 || o.HostsFile != "" {
			return adopt.Survey{}, errors.New("--observed: the hosts are those of the survey; name none")
		}
		text, err := os.ReadFile(o.Observed)
		if err != nil {
			return adopt.Survey{}, fmt.Errorf("--observed: %w", err)
		}
		s, err := adopt.Decode(text)
		if err != nil {
			return s, fmt.Errorf("--observed %s: %w", o.Observed, err)
		}
		return s, nil
	}
	seeds, err := e.seeds(ctx, o)
	if err != nil {
		return adopt.Survey{}, err
	}
	known := make(map[model.Path]adopt.Seed, len(seeds))
	for _, s := range seeds {
		known[s.Node().Path] = s
	}
	links := fleet.NewLinks(func(_ context.Context, n model.Node) (remote.Target, error) {
		keys, err := remote.KnownHosts{n.Name: known[n.Path].HostKeys}.Keys(n.Name)
		return personTarget(n.Name, known[n.Path].Address, keys), err
	})
	p := view.NewCounter(e.Err, e.ErrStyle, "Looking", e.Interactive)
	s, err := adopt.Look(ctx, links, seeds, p.Step)
	p.Done()
	s.Taken = e.Now().UTC()
	return s, errors.Join(err, links.Close())
}

// personTarget is a host to which a person's own keys lead.
func personTarget(name string, address netip.Addr, keys []ssh.PublicKey) remote.Target {
	return remote.Target{Name: name, Address: netip.AddrPortFrom(address, 22).String(), User: "root", HostKeys: keys, Keys: operatorKeys, Timeout: 8 * time.Second, Greeting: 90 * time.Second}
}

// writeAdopted writes the inventory, and the survey that it was made from.
func (e Env) writeAdopted(files map[string][]byte, s adopt.Survey) error {
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	errs := []error{replaceFile(filepath.Join(e.Dir, surveyFile), append(text, '\n'))}
	for _, name := range sortedNames(files) {
		errs = append(errs, replaceFile(filepath.Join(e.Dir, name), files[name]))
	}
	return errors.Join(errs...)
}

// planAdopted reads what was written as any command would, keeps the host keys, and plans from what was seen.
func (e Env) planAdopted(ctx context.Context, seen adopt.Survey, d adopt.Description, files []string) (err error) {
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.keepHostKeys(ctx, seen, d); err != nil {
		return err
	}
	observation := filepath.Join(e.Dir, observedFile)
	text, err := json.MarshalIndent(adopt.Observed(seen, s.desired, d.Path), "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(observation, append(text, '\n')); err != nil {
		return err
	}
	p, err := s.plan(ctx, PlanOptions{Goal: string(plan.GoalInstall), Observed: observation})
	if err != nil {
		return err
	}
	if err := e.showAdopted(d, append(files, surveyFile, observedFile), p); err != nil {
		return err
	}
	if !p.AsDesired() {
		return &Exit{Code: ExitChanges, Shown: true}
	}
	return nil
}

// keepHostKeys records the keys by which the hosts were known, so that every later command knows them.
func (s *session) keepHostKeys(ctx context.Context, seen adopt.Survey, d adopt.Description) error {
	lease, err := s.env.acquire(ctx, s.store, "", "adopt")
	if err != nil {
		return err
	}
	keys := state.HostKeys(s.known, lease.Fence())
	for _, h := range seen.Hosts {
		if at, ok := d.Path(h.Name); ok && len(h.HostKeys) > 0 && h.Error == "" {
			if err := keys.Put(ctx, string(at), h.HostKeys); err != nil {
				return errors.Join(err, lease.Release())
			}
		}
	}
	return lease.Release()
}

// showAdopted tells what was written, what could not be described, and what a plan would say.
func (e Env) showAdopted(d adopt.Description, files []string, p plan.Plan) error {
	if e.JSON {
		return view.JSON(e.Out, struct {
			FormatVersion int            `json:"format_version"`
			Files         []string       `json:"files"`
			Nodes         int            `json:"nodes"`
			Remarks       []adopt.Remark `json:"remarks"`
			Left          []plan.Left    `json:"left"`
			AsDesired     bool           `json:"as_desired"`
		}{1, files, len(d.Desired.Nodes), append([]adopt.Remark{}, d.Remarks...), append([]plan.Left{}, p.Left...), p.AsDesired()})
	}
	for _, f := range files {
		fmt.Fprintf(e.Out, "wrote %s\n", filepath.Join(e.Dir, f))
	}
	if len(d.Remarks) > 0 {
		fmt.Fprintf(e.Out, "\nNot described, and left alone by nuboctl:\n")
		for _, r := range d.Remarks {
			fmt.Fprintf(e.Out, "  %s\n", r)
		}
	}
	fmt.Fprintln(e.Out)
	return explain(e, p, "", true)
}
