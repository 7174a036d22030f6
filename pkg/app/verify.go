package app

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/verify"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// verdict is what verify has to say of a plan, as JSON.
type verdict struct {
	FormatVersion int                 `json:"format_version"`
	Digest        model.Digest        `json:"digest"`
	Valid         bool                `json:"valid"`
	Stages        int                 `json:"stages"`
	Ops           int                 `json:"ops"`
	Certificate   *certified          `json:"certificate,omitempty"`
	Signature     *signer             `json:"signature,omitempty"`
	Violations    []*verify.Violation `json:"violations"`
}

// Verify checks a saved plan by itself: its form, that every stage leads where it says, and its certificate. A plan that is rejected ends with ExitError.
// With keys, one of them must have signed it, or it is not looked into.
func Verify(e Env, name string, keys []string) error {
	file, err := plan.ReadFile(name)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	by, err := e.signedBy(name, file, keys)
	if err != nil {
		return err
	}
	p, digest, err := plan.Parse(file)
	if err != nil {
		return fmt.Errorf("plan %s: %w", name, err)
	}
	v := verdict{FormatVersion: 1, Digest: digest, Stages: len(p.Stages), Ops: p.Ops(), Signature: by, Violations: []*verify.Violation{}}
	if p.Certificate != nil {
		s := sum(p.Certificate)
		v.Certificate = &s
	}
	found := verify.Plan(p)
	v.Violations = append(v.Violations, violations(found)...)
	v.Valid = found == nil
	if e.JSON {
		err = view.JSON(e.Out, v)
	} else {
		err = v.text(e.Out)
	}
	if err == nil && found != nil {
		err = &Exit{Code: ExitError, Err: fmt.Errorf("plan %s is rejected: %w", name, found), Shown: true}
	}
	return err
}

// violations takes what was found apart; what is no violation of the certificate is one of the plan's form.
func violations(err error) []*verify.Violation {
	var v *verify.Violation
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*verify.Violation
		for _, e := range list.Unwrap() {
			out = append(out, violations(e)...)
		}
		return out
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &v):
		return []*verify.Violation{v}
	}
	return []*verify.Violation{{Invariant: "form", Text: strings.TrimPrefix(err.Error(), plan.ErrInvalid.Error()+": ")}}
}

func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

func (v verdict) text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan %s: %s, %s.\n", v.Digest.Short(), view.Plural(v.Stages, "stage"), view.Plural(v.Ops, "op"))
	if s := v.Certificate; s != nil {
		fmt.Fprintf(&b, "Certificate: %s of %s in %s; %s, moved %s; %s.\n", batches(s.Batches), view.Plural(s.Hosts, "host"),
			view.Plural(s.Zones, "zone"), view.Plural(s.VMs, "virtual machine"), view.Plural(s.Moves, "time"), view.Plural(s.PlacementGroups, "placement group"))
		fmt.Fprintf(&b, "Grade %s. Rounds %d, lower bound %d (%s).\n", s.Grade, s.Rounds, s.RoundsBound, s.Binding)
	}
	if v.Signature != nil {
		fmt.Fprintf(&b, "%s\n", v.Signature)
	}
	for _, x := range v.Violations {
		fmt.Fprintf(&b, "  %s\n", x)
	}
	switch {
	case !v.Valid:
		fmt.Fprintf(&b, "Rejected: %s.\n", view.Plural(len(v.Violations), "violation"))
	case v.Certificate == nil:
		b.WriteString("Accepted: it is well formed and each stage leads to the next. It takes no host out of service in batches, so it has no certificate.\n")
	default:
		b.WriteString("Accepted: its certificate holds in every batch.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// certified says how much of a certificate was checked.
type certified struct {
	Batches         int        `json:"batches"`
	Binding         string     `json:"binding_constraint"`
	Grade           plan.Grade `json:"grade"`
	Hosts           int        `json:"hosts"`
	Moves           int        `json:"moves"`
	PlacementGroups int        `json:"placement_groups"`
	Rounds          int        `json:"rounds"`
	RoundsBound     int        `json:"rounds_lower_bound"`
	VMs             int        `json:"vms"`
	Zones           int        `json:"zones"`
}

// sum counts what verify checks of a certificate.
func sum(x *plan.Certificate) certified {
	out := certified{Batches: len(x.Batches), Binding: x.Bound.Binding, Grade: x.Grade, Rounds: len(x.Batches), RoundsBound: x.Bound.Rounds, VMs: len(x.Fleet.VMs.Names)}
	zones := map[model.Path]bool{}
	for _, b := range x.Batches {
		out.Hosts += len(b.Hosts)
		out.Moves += len(b.Moves.VM)
		zones[b.Zone] = true
	}
	out.Zones = len(zones)
	for _, k := range x.Fleet.Clusters {
		for _, p := range k.Pools {
			for _, n := range p.Count {
				out.PlacementGroups += int(n)
			}
		}
	}
	return out
}
