package ceph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// looks are the commands that an observation consists of. All but the last two are the monitors' matter.
func looks() []Command {
	var out []Command
	for _, prefix := range []string{"status", "mon dump", "mgr dump", "osd dump", "osd crush dump", "auth ls", "fs dump", "mon metadata", "mgr metadata", "mds metadata", "osd metadata"} {
		out = append(out, cmd(prefix))
	}
	return append(out, toMgr(cmd("osd df")), toMgr(cmd("pg dump", "dumpcontents", []string{"pgs_brief"})))
}

// Observe asks the cluster what it is like, from a host that has the admin's key. It changes nothing. Nodes are host names here: model.ObservedOSD's and
// ObservedDaemon's Node hold the bare name. A cluster without quorum gives ErrNoAnswer.
func Observe(ctx context.Context, h remote.Host) (model.ObservedCeph, error) {
	list := looks()
	replies, err := look(ctx, h, list...)
	if err != nil {
		return model.ObservedCeph{}, err
	}
	answers := map[string]json.RawMessage{}
	for i, r := range replies {
		prefix := list[i]["prefix"].(string)
		switch {
		case r.Code == 0:
			answers[prefix] = r.Out
		case r.Code == -int(syscall.ETIMEDOUT) && !ofManager(prefix), r.Code == -int(syscall.EINTR):
			return model.ObservedCeph{}, fmt.Errorf("ceph %s: %s: %w", prefix, r.Text, ErrNoAnswer)
		case !ofManager(prefix): // a manager that is starting does not answer; then placement groups and sizes are unknown
			return model.ObservedCeph{}, fmt.Errorf("ceph %s: %s (error %d)", prefix, r.Text, -r.Code)
		}
	}
	return Decode(answers)
}

// ofManager reports whether a question goes to the manager, which may not be there.
func ofManager(prefix string) bool { return prefix == "pg dump" || prefix == "osd df" }

// Decode reads Ceph's answers, by command. Those of "mon metadata", "mgr metadata", "mds metadata", "osd metadata", "osd df" and "pg dump" may be missing.
func Decode(answers map[string]json.RawMessage) (model.ObservedCeph, error) {
	var d dump
	var errs []error
	for prefix, into := range d.parts() {
		raw, ok := answers[prefix]
		if !ok {
			if !strings.HasSuffix(prefix, "metadata") && !ofManager(prefix) {
				errs = append(errs, fmt.Errorf("ceph %s: no answer", prefix))
			}
			continue
		}
		if err := json.Unmarshal(raw, into); err != nil {
			errs = append(errs, fmt.Errorf("ceph %s: its answer cannot be read: %w", prefix, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return model.ObservedCeph{}, err
	}
	o := model.ObservedCeph{FSID: d.Status.FSID, Health: d.Status.Health.Status, Flags: d.flags(), Require: model.CephRelease(d.OSD.Require), Mons: d.mons(), Mgrs: d.mgrs(), MDSs: d.mdss(), Filesystems: d.filesystems(), RGWs: d.Status.Services.gateways(), OSDs: d.osds(), Pools: d.pools(), Keys: d.keys(), Unsure: d.PG.unsure(), Empty: d.emptyHosts()}
	for _, name := range slices.Sorted(maps.Keys(d.Status.Health.Checks)) {
		if c := d.Status.Health.Checks[name]; !c.Muted {
			o.Checks = append(o.Checks, name+": "+c.Summary.Message)
		}
	}
	return o, nil
}

// dump is what is read of Ceph's answers.
type dump struct {
	Status statusDump
	Mon    monDump
	Mgr    mgrDump
	OSD    osdDump
	Crush  crushDump
	Auth   authDump
	PG     pgDump
	DF     dfDump
	FS     fsDump

	MonMeta, MgrMeta, MDSMeta []daemonMeta
	OSDMeta                   []osdMeta
}

func (d *dump) parts() map[string]any {
	return map[string]any{"status": &d.Status, "mon dump": &d.Mon, "mgr dump": &d.Mgr, "osd dump": &d.OSD, "osd crush dump": &d.Crush, "auth ls": &d.Auth,
		"pg dump": &d.PG, "osd df": &d.DF, "fs dump": &d.FS, "mds metadata": &d.MDSMeta, "mon metadata": &d.MonMeta, "mgr metadata": &d.MgrMeta, "osd metadata": &d.OSDMeta}
}

type statusDump struct {
	FSID   string `json:"fsid"`
	Health struct {
		Status string `json:"status"`
		Checks map[string]struct {
			Summary struct {
				Message string `json:"message"`
			} `json:"summary"`
			Muted bool `json:"muted"`
		} `json:"checks"`
	} `json:"health"`
	QuorumNames []string   `json:"quorum_names"`
	Services    serviceMap `json:"servicemap"`
}

// dfDump is "osd df": sizes in KiB. An OSD that has told nothing has 0.
type dfDump struct {
	Nodes []struct {
		ID   int   `json:"id"`
		Size int64 `json:"kb"`
		Used int64 `json:"kb_used"`
	} `json:"nodes"`
}

type monDump struct {
	Mons []struct {
		Name string `json:"name"`
	} `json:"mons"`
}

type mgrDump struct {
	Available bool   `json:"available"`
	Active    string `json:"active_name"`
	Standbys  []struct {
		Name string `json:"name"`
	} `json:"standbys"`
}

type osdDump struct {
	FSID     string   `json:"fsid"`
	FlagsSet []string `json:"flags_set"`
	Require  string   `json:"require_osd_release"`
	// NodeFlags are flags that hold for the OSDs below a bucket ("ceph osd set-group").
	NodeFlags map[string][]string `json:"crush_node_flags"`
	Pools     []struct {
		ID           int                        `json:"pool"`
		Name         string                     `json:"pool_name"`
		Size         int                        `json:"size"`
		MinSize      int                        `json:"min_size"`
		Rule         int                        `json:"crush_rule"`
		PGs          int                        `json:"pg_num_target"`
		Profile      string                     `json:"erasure_code_profile"`
		Applications map[string]json.RawMessage `json:"application_metadata"`
	} `json:"pools"`
	OSDs []struct {
		ID   int    `json:"osd"`
		UUID string `json:"uuid"`
		Up   int    `json:"up"`
		In   int    `json:"in"`
	} `json:"osds"`
	Profiles map[string]map[string]string `json:"erasure_code_profiles"`
}

// down are the ids of the OSDs that are not up.
func (d osdDump) down() map[int]bool {
	out := map[int]bool{}
	for _, o := range d.OSDs {
		if o.Up != 1 {
			out[o.ID] = true
		}
	}
	return out
}

type crushDump struct {
	Devices []struct {
		ID    int    `json:"id"`
		Class string `json:"class"`
	} `json:"devices"`
	Buckets []struct {
		ID    int    `json:"id"`
		Name  string `json:"name"`
		Type  string `json:"type_name"`
		Items []struct {
			ID int `json:"id"`
		} `json:"items"`
	} `json:"buckets"`
	Rules []struct {
		ID    int    `json:"rule_id"`
		Name  string `json:"rule_name"`
		Steps []struct {
			Op   string `json:"op"`
			Item string `json:"item_name"`
			Type string `json:"type"`
		} `json:"steps"`
	} `json:"rules"`
}

type authDump struct {
	Keys []struct {
		Entity string            `json:"entity"`
		Caps   map[string]string `json:"caps"`
	} `json:"auth_dump"`
}

type daemonMeta struct {
	Name    string `json:"name"`
	Host    string `json:"hostname"`
	Version string `json:"ceph_version_short"`
}

type osdMeta struct {
	ID      int    `json:"id"`
	Host    string `json:"hostname"`
	Version string `json:"ceph_version_short"`
}

// housekeeping are flags that every cluster has: they are no state of anybody's making.
var housekeeping = []string{"pglog_hardlimit", "purged_snapdirs", "recovery_deletes", "sortbitwise"}

func (d *dump) flags() []string {
	var out []string
	for _, f := range d.OSD.FlagsSet {
		if !slices.Contains(housekeeping, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

func (d *dump) mons() []model.ObservedDaemon {
	var out []model.ObservedDaemon
	for _, m := range d.Mon.Mons {
		out = append(out, d.daemon(m.Name, d.MonMeta, slices.Contains(d.Status.QuorumNames, m.Name), false))
	}
	return sorted(out)
}

func (d *dump) mgrs() []model.ObservedDaemon {
	var out []model.ObservedDaemon
	if d.Mgr.Active != "" {
		out = append(out, d.daemon(d.Mgr.Active, d.MgrMeta, d.Mgr.Available, d.Mgr.Available))
	}
	for _, s := range d.Mgr.Standbys {
		out = append(out, d.daemon(s.Name, d.MgrMeta, true, false))
	}
	return sorted(out)
}

// daemon joins a daemon with what it told of itself. Ours are called like their hosts.
func (d *dump) daemon(name string, meta []daemonMeta, up, active bool) model.ObservedDaemon {
	o := model.ObservedDaemon{Name: name, Node: model.Path(name), Up: up, Active: active}
	for _, m := range meta {
		if m.Name == name {
			o.Node, o.Version = model.Path(cmp.Or(m.Host, name)), m.Version
		}
	}
	return o
}

func sorted(list []model.ObservedDaemon) []model.ObservedDaemon {
	slices.SortFunc(list, func(a, b model.ObservedDaemon) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (d *dump) osds() []model.ObservedOSD {
	var out []model.ObservedOSD
	classes, parents := map[int]string{}, d.parents()
	room := map[int][2]int64{}
	for _, n := range d.DF.Nodes {
		room[n.ID] = [2]int64{n.Size << 10, n.Used << 10}
	}
	for _, dev := range d.Crush.Devices {
		classes[dev.ID] = dev.Class
	}
	for _, o := range d.OSD.OSDs {
		osd := model.ObservedOSD{ID: o.ID, FSID: o.UUID, Up: o.Up == 1, In: o.In == 1, Class: classes[o.ID], Location: d.location(o.ID, parents)}
		osd.Bytes, osd.Used = room[o.ID][0], room[o.ID][1]
		osd.Node = model.Path(osd.Location["host"])
		for _, m := range d.OSDMeta {
			if m.ID == o.ID {
				osd.Node, osd.Version = model.Path(cmp.Or(m.Host, string(osd.Node))), m.Version
			}
		}
		out = append(out, osd)
	}
	slices.SortFunc(out, func(a, b model.ObservedOSD) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// parents gives for each item of the CRUSH tree the index of the bucket that holds it. Shadow trees of device classes have names with "~" and are
// left out.
func (d *dump) parents() map[int]int {
	out := map[int]int{}
	for i, b := range d.Crush.Buckets {
		if strings.Contains(b.Name, "~") {
			continue
		}
		for _, item := range b.Items {
			out[item.ID] = i
		}
	}
	return out
}

// emptyHosts are the names of hosts' buckets with nothing in them.
func (d *dump) emptyHosts() []string {
	var out []string
	for _, b := range d.Crush.Buckets {
		if b.Type == "host" && len(b.Items) == 0 && !strings.Contains(b.Name, "~") {
			out = append(out, b.Name)
		}
	}
	slices.Sort(out)
	return out
}

// location gives the buckets that an OSD is in, by type.
func (d *dump) location(id int, parents map[int]int) map[string]string {
	out := map[string]string{}
	for range len(d.Crush.Buckets) { // a circle ends too
		i, ok := parents[id]
		if !ok {
			break
		}
		b := d.Crush.Buckets[i]
		out[b.Type] = b.Name
		id = b.ID
	}
	return out
}

func (d *dump) pools() []model.ObservedPool {
	var out []model.ObservedPool
	groups, down := d.PG.byPool(), d.OSD.down()
	for _, p := range d.OSD.Pools {
		o := model.ObservedPool{Name: p.Name, ID: p.ID, Size: p.Size, MinSize: p.MinSize, PGs: p.PGs,
			Application: strings.Join(slices.Sorted(maps.Keys(p.Applications)), ",")}
		o.Domain, o.Class = d.rule(p.Rule)
		if profile := d.OSD.Profiles[p.Profile]; p.Profile != "" {
			o.K, o.M = number(profile["k"]), number(profile["m"])
		}
		for _, pg := range groups[p.ID] {
			o.Acting = pg.place(o.Acting, p.Size, down)
			if !clean(pg.State) {
				o.Unclean++
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b model.ObservedPool) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func number(text string) int {
	var n int
	_, _ = fmt.Sscan(text, &n) // what is no number is 0
	return n
}

// rule tells what a rule spreads copies over, and the device class that it is limited to.
func (d *dump) rule(id int) (domain, class string) {
	for _, r := range d.Crush.Rules {
		if r.ID != id {
			continue
		}
		for _, s := range r.Steps {
			switch {
			case s.Op == "take":
				_, class, _ = strings.Cut(s.Item, "~")
			case strings.HasPrefix(s.Op, "choose") && s.Type != "":
				if domain == "" || strings.HasPrefix(s.Op, "chooseleaf") {
					domain = s.Type
				}
			}
		}
	}
	return domain, class
}

func (d *dump) keys() []model.ObservedKey {
	var out []model.ObservedKey
	for _, k := range d.Auth.Keys {
		out = append(out, model.ObservedKey{Entity: k.Entity, Caps: k.Caps})
	}
	slices.SortFunc(out, func(a, b model.ObservedKey) int { return cmp.Compare(a.Entity, b.Entity) })
	return out
}
