package ceph

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Change is something about a cluster that is not as wanted, with the commands that make it so.
type Change struct {
	Text     string
	Commands []Command
	// Refused says why it cannot be made so; then there are no commands.
	Refused string
}

// String tells what is wrong.
func (c Change) String() string {
	if c.Refused != "" {
		return c.Text + " (" + c.Refused + ")"
	}
	return c.Text
}

// Settle brings rules, pools, keys and the file system to what is wanted, and returns what it changed. What the inventory does not name is left alone.
func Settle(ctx context.Context, h remote.Host, s Spec) ([]Change, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	seen, err := Observe(ctx, h)
	if err != nil {
		return nil, err
	}
	changes := Diff(seen, s)
	var list []Command
	for _, c := range changes {
		if c.Refused != "" {
			return nil, fmt.Errorf("Ceph: %s", c)
		}
		list = append(list, c.Commands...)
	}
	if err := tell(ctx, h, list...); err != nil {
		return changes, fmt.Errorf("change the Ceph cluster: %w", err)
	}
	return changes, nil
}

// Diff gives what has to change for an observed cluster to be as wanted.
func Diff(seen model.ObservedCeph, s Spec) []Change {
	var out []Change
	for _, p := range s.Pools {
		i := slices.IndexFunc(seen.Pools, func(o model.ObservedPool) bool { return o.Name == p.Name })
		if i < 0 {
			out = append(out, Change{Text: "pool " + p.Name + " is not there", Commands: s.create(p)})
			continue
		}
		out = append(out, s.poolChanges(seen.Pools[i], p)...)
	}
	for _, k := range s.Keys {
		i := slices.IndexFunc(seen.Keys, func(o model.ObservedKey) bool { return o.Entity == k.Entity })
		switch {
		case i < 0:
			out = append(out, Change{Text: "key " + k.Entity + " is not there", Commands: []Command{cmd("auth get-or-create", "entity", k.Entity, "caps", k.words())}})
		case !maps.Equal(seen.Keys[i].Caps, k.Caps):
			out = append(out, Change{Text: "key " + k.Entity + " has other rights: " + rights(seen.Keys[i].Caps), Commands: []Command{cmd("auth caps", "entity", k.Entity, "caps", k.words())}})
		}
	}
	return append(out, s.fileChanges(seen)...)
}

// words gives the rights as Ceph takes them: service, right, service, right.
func (k Key) words() []string {
	var out []string
	for _, service := range slices.Sorted(maps.Keys(k.Caps)) {
		out = append(out, service, k.Caps[service])
	}
	return out
}

func rights(caps map[string]string) string {
	var out []string
	for _, service := range slices.Sorted(maps.Keys(caps)) {
		out = append(out, service+" '"+caps[service]+"'")
	}
	return strings.Join(out, ", ")
}

// rule is the name of the replicated rule for a failure domain and a device class.
func (s Spec) rule(p Pool) string {
	if p.Class != "" {
		return "nubo-" + s.FailureDomain + "-" + p.Class
	}
	return "nubo-" + s.FailureDomain
}

// makeRule makes that rule; it may be there already.
func (s Spec) makeRule(p Pool) Command {
	c := cmd("osd crush rule create-replicated", "name", s.rule(p), "root", "default", "type", s.FailureDomain)
	if p.Class != "" {
		c["class"] = p.Class
	}
	return c
}

// firstPGs is how many placement groups a pool begins with where the inventory does not say; the autoscaler goes on from there.
const firstPGs = 32

func (s Spec) create(p Pool) []Command {
	pgs := cmp.Or(p.PGs, p.LeastPGs, firstPGs)
	var out []Command
	create := cmd("osd pool create", "pool", p.Name, "pg_num", pgs, "pgp_num", pgs)
	if p.PGs > 0 { // from the start: the autoscaler may look before the next command comes
		create["autoscale_mode"] = "off"
	}
	if p.K > 0 {
		profile := "nubo-" + p.Name
		words := []string{fmt.Sprintf("k=%d", p.K), fmt.Sprintf("m=%d", p.M), "crush-failure-domain=" + s.FailureDomain}
		if p.Class != "" {
			words = append(words, "crush-device-class="+p.Class)
		}
		out = append(out, cmd("osd erasure-code-profile set", "name", profile, "profile", words))
		create["pool_type"], create["erasure_code_profile"] = "erasure", profile
	} else {
		out = append(out, s.makeRule(p))
		create["pool_type"], create["rule"], create["size"] = "replicated", s.rule(p), p.Size
	}
	out = append(out, create)
	if p.K > 0 && p.Application != "rgw" {
		out = append(out, s.set(p, "allow_ec_overwrites", "true"))
	}
	out = append(out, s.set(p, "min_size", fmt.Sprint(p.MinSize)))
	if p.PGs == 0 && p.LeastPGs > 0 {
		out = append(out, s.set(p, "pg_num_min", fmt.Sprint(p.LeastPGs)))
	}
	return append(out, cmd("osd pool application enable", "pool", p.Name, "app", p.Application))
}

func (s Spec) set(p Pool, name, value string) Command {
	c := cmd("osd pool set", "pool", p.Name, "var", name, "val", value)
	if name == "size" && value == "1" {
		c["yes_i_really_mean_it"] = true // the inventory's reader was warned
	}
	return c
}

// poolChanges gives what is different about a pool that is there.
func (s Spec) poolChanges(o model.ObservedPool, p Pool) []Change {
	var out []Change
	add := func(list []Command, format string, args ...any) {
		out = append(out, Change{Text: "pool " + p.Name + ": " + fmt.Sprintf(format, args...), Commands: list})
	}
	if o.K != p.K || o.M != p.M {
		return []Change{{Text: fmt.Sprintf("pool %s: it has k %d and m %d, not %d and %d", p.Name, o.K, o.M, p.K, p.M),
			Refused: "how a pool is coded cannot be changed: make another pool and move the data"}}
	}
	if o.Domain != s.FailureDomain || o.Class != p.Class {
		if p.K > 0 {
			out = append(out, Change{Text: fmt.Sprintf("pool %s: it spreads over %s, not %s", p.Name, domain(o.Domain, o.Class), domain(s.FailureDomain, p.Class)),
				Refused: "the rule of an erasure-coded pool is made with it: make another pool and move the data"})
		} else {
			add([]Command{s.makeRule(p), s.set(p, "crush_rule", s.rule(p))}, "it spreads over %s, not %s", domain(o.Domain, o.Class), domain(s.FailureDomain, p.Class))
		}
	}
	if p.K == 0 && o.Size != p.Size {
		add([]Command{s.set(p, "size", fmt.Sprint(p.Size)), s.set(p, "min_size", fmt.Sprint(p.MinSize))}, "size is %d, not %d", o.Size, p.Size)
	}
	if o.MinSize != p.MinSize {
		add([]Command{s.set(p, "min_size", fmt.Sprint(p.MinSize))}, "min_size is %d, not %d", o.MinSize, p.MinSize)
	}
	if p.PGs > 0 && o.PGs != p.PGs {
		add([]Command{s.set(p, "pg_autoscale_mode", "off"), s.set(p, "pg_num", fmt.Sprint(p.PGs))}, "it has %d placement groups, not %d", o.PGs, p.PGs)
	}
	if !slices.Contains(strings.Split(o.Application, ","), p.Application) {
		add([]Command{cmd("osd pool application enable", "pool", p.Name, "app", p.Application)}, "it is not enabled for %s", p.Application)
	}
	return out
}

func domain(typ, class string) string {
	if class != "" {
		return typ + " (" + class + ")"
	}
	return typ
}

// own are the keys that every cluster has by itself.
func own(entity string) bool {
	for _, prefix := range []string{"osd.", "mgr.", "mds.", "client.bootstrap-", "client.crash."} {
		if strings.HasPrefix(entity, prefix) {
			return true
		}
	}
	return entity == "client.admin" || entity == "mon."
}

// Foreign names the pools, keys and file systems that the wish does not know. Those whose names begin with a dot are Ceph's own, and those of the object gateway
// come with it.
func Foreign(seen model.ObservedCeph, s Spec) []string {
	var out []string
	for _, p := range seen.Pools {
		if !strings.HasPrefix(p.Name, ".") && !slices.ContainsFunc(s.Pools, func(w Pool) bool { return w.Name == p.Name }) {
			out = append(out, "pool "+p.Name)
		}
	}
	for _, k := range seen.Keys {
		if !own(k.Entity) && !slices.ContainsFunc(s.Keys, func(w Key) bool { return w.Entity == k.Entity }) {
			out = append(out, "key "+k.Entity)
		}
	}
	for _, f := range seen.Filesystems {
		if s.Filesystem == nil || s.Filesystem.Name != f.Name {
			out = append(out, "file system "+f.Name)
		}
	}
	return out
}

// Move puts a host where the inventory has it in the CRUSH tree, and makes the buckets above it.
func Move(ctx context.Context, h remote.Host, p Place) error {
	if err := tell(ctx, h, p.moves()...); err != nil {
		return fmt.Errorf("put %s into its place in the CRUSH tree: %w", p.Name, err)
	}
	return nil
}

// moves makes each bucket below the root, then puts each into the one above.
func (p Place) moves() []Command {
	var out []Command
	for i := 1; i < len(p.Location); i++ {
		b, above := p.Location[i], p.Location[i-1]
		out = append(out, cmd("osd crush add-bucket", "name", b.Name, "type", b.Type),
			cmd("osd crush move", "name", b.Name, "args", []string{above.Type + "=" + above.Name}))
	}
	return out
}
