package ceph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Standing is a cluster as it matters to one of its hosts: which daemons are in service, and the placement groups with a copy on that host.
type Standing struct {
	FSID   string
	Quorum []string // monitors in it
	// Manager is the active one, empty when none is; Standbys could take over.
	Manager  string
	Standbys []string
	Gateways []string // object gateways that serve
	// Servers are the metadata servers that hold a rank or stand by; SpareServers those that could take over.
	Servers, SpareServers []string
	// OSDs are all of the cluster; Here are the ids of those in the host's CRUSH bucket.
	OSDs []OSD
	Here []int
	// Pools hold the placement groups with a copy in the bucket.
	Pools []StandingPool
	// Unsure says why the placement groups, or the copies in their acting sets, are not all known; empty when they are.
	Unsure string
	// Noout is set when the flag is on the host's bucket, whoever set it. Mark is ours; the zero value when there is none.
	Noout bool
	Mark  Mark
	// Now is the clock of the host that was asked, by which marks end.
	Now time.Time
}

// OSD is one of them.
type OSD struct {
	ID     int
	FSID   string // the identity of its data
	Up, In bool
}

// StandingPool is a pool with acting sets.
type StandingPool struct {
	Name          string
	MinSize, Size int
	Acting        []int32 // Size OSDs for each placement group, one after the other; -1: missing, or the OSD is down
}

// standingLooks are the questions; the last one takes from the third which OSDs are meant.
func standingLooks(host string) []Command {
	groups := toMgr(cmd("pg dump", "dumpcontents", []string{"pgs_brief"}))
	groups["_having"] = 2
	return []Command{cmd("quorum_status"), cmd("mgr dump"), cmd("osd ls-tree", "name", host), cmd("osd dump"), cmd("service dump"), cmd("fs dump"), cmd("config-key get", "key", NooutKey(host)), cmd("now"), groups}
}

// Stand asks a cluster about one of its hosts, over one connection from any host that has the admin's key. It changes nothing.
func Stand(ctx context.Context, h remote.Host, host string) (Standing, error) {
	list := standingLooks(host)
	replies, err := look(ctx, h, list...)
	if err != nil {
		return Standing{}, err
	}
	answers := map[string]json.RawMessage{}
	for i, r := range replies {
		prefix := list[i]["prefix"].(string)
		switch {
		case r.Code == 0:
			answers[prefix] = r.Out
		case r.Code == -int(syscall.ENOENT) && (prefix == "config-key get" || prefix == "osd ls-tree"): // no mark; no bucket, so no OSDs
		case prefix == "pg dump": // a manager that is starting does not answer
		case r.Code == -int(syscall.ETIMEDOUT), r.Code == -int(syscall.EINTR):
			return Standing{}, fmt.Errorf("ceph %s: %s: %w", prefix, r.Text, ErrNoAnswer)
		default:
			return Standing{}, fmt.Errorf("ceph %s: %s (error %d)", prefix, r.Text, -r.Code)
		}
	}
	return decodeStanding(host, answers)
}

// decodeStanding reads the answers, by command.
func decodeStanding(host string, answers map[string]json.RawMessage) (Standing, error) {
	var quorum struct {
		Names []string `json:"quorum_names"`
	}
	var mgr mgrDump
	var osd osdDump
	var groups pgDump
	var services serviceMap
	var files fsDump
	var s Standing
	var now int64
	var errs []error
	for prefix, into := range map[string]any{"quorum_status": &quorum, "mgr dump": &mgr, "osd ls-tree": &s.Here, "osd dump": &osd, "service dump": &services, "fs dump": &files, "config-key get": &s.Mark, "now": &now, "pg dump": &groups} {
		raw, ok := answers[prefix]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, into); err != nil {
			errs = append(errs, fmt.Errorf("ceph %s: its answer cannot be read: %w", prefix, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Standing{}, err
	}
	s.FSID, s.Quorum, s.Now = osd.FSID, quorum.Names, time.Unix(now, 0)
	if mgr.Available {
		s.Manager = mgr.Active
	}
	for _, b := range mgr.Standbys {
		s.Standbys = append(s.Standbys, b.Name)
	}
	for _, o := range osd.OSDs {
		s.OSDs = append(s.OSDs, OSD{ID: o.ID, FSID: o.UUID, Up: o.Up == 1, In: o.In == 1})
	}
	for _, g := range services.gateways() {
		s.Gateways = append(s.Gateways, g.Name)
	}
	for _, i := range files.servers() {
		if i.up() {
			s.Servers = append(s.Servers, i.Name)
		}
	}
	s.SpareServers = files.standbys()
	s.Noout = slices.Contains(osd.NodeFlags[host], "noout")
	s.pools(osd, groups)
	return s, nil
}

// pools fills in the placement groups with a copy here.
func (s *Standing) pools(osd osdDump, groups pgDump) {
	here := map[int]bool{}
	for _, id := range s.Here {
		here[id] = true
	}
	var ours pgDump
	for _, p := range groups.Stats {
		if slices.ContainsFunc(p.Acting, func(id int) bool { return here[id] }) {
			ours.Stats = append(ours.Stats, p)
		}
	}
	down := osd.down()
	s.Unsure = cmp.Or(groups.unsure(), ours.outdated(down), ours.incomplete())
	by := ours.byPool()
	for _, p := range osd.Pools {
		list := by[p.ID]
		delete(by, p.ID)
		if len(list) == 0 {
			continue
		}
		out := StandingPool{Name: p.Name, Size: p.Size, MinSize: p.MinSize}
		for _, g := range list {
			out.Acting = g.place(out.Acting, p.Size, down)
		}
		s.Pools = append(s.Pools, out)
	}
	for id := range by { // made between two of the answers
		s.Unsure = fmt.Sprintf("pool %d has placement groups and is not in the list of pools", id)
	}
}

// OKToStop asks Ceph whether the daemons of a host may stop now, all at once: nil, or why not. osds are the ids of its OSDs, mon the name of its
// monitor ("": none), mgr that of its manager, mds that of its metadata server. A snapshot: ask right before the stop.
func OKToStop(ctx context.Context, h remote.Host, osds []int, mon, mgr, mds string) error {
	var list []Command
	if len(osds) > 0 {
		ids := make([]string, len(osds))
		for i, id := range osds {
			ids[i] = fmt.Sprint(id)
		}
		list = append(list, toMgr(cmd("osd ok-to-stop", "ids", ids)))
	}
	if mon != "" {
		list = append(list, cmd("mon ok-to-stop", "ids", []string{mon}))
	}
	if mds != "" {
		list = append(list, cmd("mds ok-to-stop", "ids", []string{mds}))
	}
	if mgr != "" {
		list = append(list, cmd("mgr dump"))
	}
	if len(list) == 0 {
		return nil
	}
	replies, err := look(ctx, h, list...)
	if err != nil {
		return err
	}
	var errs []error
	for i, r := range replies {
		switch prefix := list[i]["prefix"].(string); {
		case r.Code != 0: // EBUSY with the reason, or whatever kept it from telling
			errs = append(errs, fmt.Errorf("ceph %s: %s (error %d)", prefix, r.Text, -r.Code))
		case prefix == "osd ok-to-stop":
			errs = append(errs, osdsOK(r.Out))
		case prefix == "mgr dump":
			errs = append(errs, managerSpared(r.Out, mgr))
		}
	}
	return errors.Join(errs...)
}

// osdsOK reads the answer of "osd ok-to-stop" (DaemonServer.cc, offline_pg_report): its own word counts beside its exit code.
func osdsOK(raw json.RawMessage) error {
	var report struct {
		OK    *bool `json:"ok_to_stop"`
		NotOK int   `json:"num_not_ok_pgs"`
	}
	if err := json.Unmarshal(raw, &report); err != nil || report.OK == nil {
		return fmt.Errorf("ceph osd ok-to-stop: its answer cannot be read: %.200s", raw)
	}
	if !*report.OK || report.NotOK > 0 {
		return fmt.Errorf("ceph osd ok-to-stop: %d placement groups would not be served", report.NotOK)
	}
	return nil
}

// managerSpared requires that another manager could take over, or has.
func managerSpared(raw json.RawMessage, mgr string) error {
	var d mgrDump
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("ceph mgr dump: its answer cannot be read: %w", err)
	}
	if d.Available && d.Active != mgr {
		return nil
	}
	for _, s := range d.Standbys {
		if s.Name != mgr {
			return nil
		}
	}
	return fmt.Errorf("mgr.%s has no standby: make another manager first", mgr)
}

// FailOver has another manager take over from this one, where it is the active one.
func FailOver(ctx context.Context, h remote.Host, mgr string) error {
	replies, err := ask(ctx, h, true, cmd("mgr dump"))
	if err != nil {
		return err
	}
	var d mgrDump
	if replies[0].Code != 0 || json.Unmarshal(replies[0].Out, &d) != nil {
		return fmt.Errorf("ceph mgr dump: %s (error %d)", replies[0].Text, -replies[0].Code)
	}
	if d.Active != mgr {
		return nil
	}
	return tell(ctx, h, cmd("mgr fail", "who", mgr))
}

// Daemons are the daemons whose data is on a host.
type Daemons struct {
	Mon, Mgr, MDS, Gateway string // names; empty: none
	OSDs                   []int
	// Running are those that run, start or stop, of them and of any others: "mon.NAME", "osd.3".
	Running []string
}

// parseDaemons reads what daemons.sh prints. An OSD is known by the directory that it was started from or by its disk, which is there also before it
// is started.
func parseDaemons(raw []byte, fsid string) (Daemons, error) {
	parts := sections(string(raw))
	var d Daemons
	osd := func(text string) {
		if id, err := strconv.Atoi(text); err == nil && !slices.Contains(d.OSDs, id) {
			d.OSDs = append(d.OSDs, id)
		}
	}
	for _, path := range strings.Fields(parts["stores"]) {
		switch kind, id, _ := store(path); kind {
		case "mon":
			d.Mon = id
		case "mgr":
			d.Mgr = id
		case "mds":
			d.MDS = id
		case "osd":
			osd(id)
		case gatewayKind:
			d.Gateway = strings.TrimPrefix(id, gatewayID)
		}
	}
	d.Running = running(parts["units"], "active", "activating", "deactivating", "reloading")
	list, err := volumes(parts["volumes"])
	for _, v := range list {
		if v.Cluster == fsid {
			osd(strconv.Itoa(v.OSD))
		}
	}
	slices.Sort(d.OSDs)
	return d, err
}
