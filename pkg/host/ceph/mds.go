package ceph

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/mds.sh
var mdsScript string

// MDSKey is the identity of a host's metadata server: a server's part with monitors and managers, and the pools that are enabled for file systems. These rights are those
// that cephadm gives (mgr/cephadm/services/cephadmservice.py), and the managers' profile of the manual (doc/cephfs/add-remove-mds.rst).
func MDSKey(host string) Key {
	return Key{Entity: "mds." + host, Caps: map[string]string{"mon": "profile mds", "mgr": "profile mds", "osd": "allow rw tag cephfs *=*", "mds": "allow"}}
}

// MDSRuns reports whether the metadata server of a host is among those of its daemons that run.
func MDSRuns(host string, running []string) bool { return slices.Contains(running, "mds."+host) }

// EnsureMDS makes and starts the metadata server of a host with its key; admin is a host with the administrator's key.
func EnsureMDS(ctx context.Context, h, admin remote.Host, s Spec, p Place) error {
	key := MDSKey(p.Name)
	needs := s
	needs.Keys, needs.Pools, needs.Filesystem = []Key{key}, nil, nil
	keyring, err := keyring(ctx, admin, needs, key)
	if err == nil {
		err = Configure(ctx, h, Conf(s, &p))
	}
	if err == nil {
		err = run(ctx, h, mdsScript, keyring, p.Name)
	}
	if err != nil {
		return fmt.Errorf("metadata server on %s: %w", p.Name, err)
	}
	return nil
}

// keyring brings a cluster to what a daemon needs, its key among it, and reads that; admin is a host with the administrator's key.
func keyring(ctx context.Context, admin remote.Host, needs Spec, key Key) (Secret, error) {
	if _, err := Settle(ctx, admin, needs); err != nil {
		return nil, err
	}
	res, err := admin.Run(ctx, remote.Command{Argv: []string{"ceph", "--connect-timeout", "120", "auth", "get", key.Entity}, Limit: 5 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("read the key of %s: %w", key.Entity, err)
	}
	return Secret(res.Stdout), nil
}

// fsDump is what the monitors know of metadata servers and file systems ("fs dump": FSMap.cc, MDSMap.cc).
type fsDump struct {
	Standbys    []mdsInfo `json:"standbys"`
	Filesystems []fsEntry `json:"filesystems"`
}

type fsEntry struct {
	Map mdsMap `json:"mdsmap"`
}

type mdsMap struct {
	Name     string             `json:"fs_name"`
	Flags    int                `json:"flags"`
	MaxMDS   int                `json:"max_mds"`
	In       []int              `json:"in"`
	Info     map[string]mdsInfo `json:"info"`
	Metadata int                `json:"metadata_pool"`
	Data     []int              `json:"data_pools"`
}

// mdsInfo is a metadata server in the map. Laggy is there when the monitors have not heard of it for a while.
type mdsInfo struct {
	GID   int64           `json:"gid"`
	Name  string          `json:"name"`
	Rank  int             `json:"rank"`
	State string          `json:"state"`
	Laggy json.RawMessage `json:"laggy_since"`
}

// Flags of a file system (CEPH_MDSMAP_NOT_JOINABLE and CEPH_MDSMAP_ALLOW_STANDBY_REPLAY in ceph_fs.h); Ceph 16 tells them by number only.
const (
	flagNotJoinable   = 1 << 0
	flagStandbyReplay = 1 << 5
)

const stateReplaying = "up:standby-replay"

func (i mdsInfo) up() bool     { return strings.HasPrefix(i.State, "up:") && i.Laggy == nil }
func (i mdsInfo) ranked() bool { return i.Rank >= 0 && i.State != stateReplaying }

// servers are all metadata servers in the map.
func (d fsDump) servers() []mdsInfo {
	out := slices.Clone(d.Standbys)
	for _, f := range d.Filesystems {
		for _, i := range f.Map.Info {
			out = append(out, i)
		}
	}
	return out
}

// standbys are the names of those that could take over.
func (d fsDump) standbys() (out []string) {
	for _, i := range d.servers() {
		if i.up() && !i.ranked() {
			out = append(out, i.Name)
		}
	}
	return out
}

// served reports whether an active server holds each rank.
func (m mdsMap) served() bool {
	for _, rank := range m.In {
		held := false
		for _, i := range m.Info {
			held = held || (i.Rank == rank && i.State == "up:active" && i.up())
		}
		if !held {
			return false
		}
	}
	return len(m.In) > 0
}

// held gives the number by which a server of this name holds a rank, and the file system that it holds it of; 0: none.
func (d fsDump) held(name string) (gid int64, of string) {
	for _, f := range d.Filesystems {
		for _, i := range f.Map.Info {
			if i.Name == name && i.ranked() {
				return i.GID, f.Map.Name
			}
		}
	}
	return 0, ""
}

// mdss are the metadata servers. One that has just been started again may be there twice for a moment.
func (d *dump) mdss() []model.ObservedDaemon {
	by := map[string]model.ObservedDaemon{}
	for _, i := range d.FS.servers() {
		o, seen := d.daemon(i.Name, d.MDSMeta, i.up(), i.ranked()), by[i.Name]
		o.Up, o.Active = o.Up || seen.Up, o.Active || seen.Active
		by[i.Name] = o
	}
	var out []model.ObservedDaemon
	for _, o := range by {
		out = append(out, o)
	}
	return sorted(out)
}

// filesystems are those that the monitors know, with their pools' names.
func (d *dump) filesystems() []model.ObservedFilesystem {
	names := map[int]string{}
	for _, p := range d.OSD.Pools {
		names[p.ID] = p.Name
	}
	var out []model.ObservedFilesystem
	for _, f := range d.FS.Filesystems {
		m := f.Map
		o := model.ObservedFilesystem{Name: m.Name, Metadata: names[m.Metadata], MaxMDS: m.MaxMDS, Ranks: len(m.In), Failed: m.Flags&flagNotJoinable != 0, StandbyReplay: m.Flags&flagStandbyReplay != 0}
		for _, i := range m.Info {
			o.StandbyReplay = o.StandbyReplay || i.State == stateReplaying
		}
		for _, id := range m.Data {
			o.Data = append(o.Data, names[id])
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b model.ObservedFilesystem) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// How long a standby may take to replay a journal and to hear of the clients, and how often it is looked for.
const (
	takeOver   = 5 * time.Minute
	takenEvery = time.Second
)

// FailOverMDS has a standby take over from a metadata server that holds a rank, and returns when all ranks of its file system are served again. A server without a rank
// is left alone. That there is a standby is for the caller to see to.
func FailOverMDS(ctx context.Context, h remote.Host, name string) error {
	d, err := askFS(ctx, h)
	if err != nil {
		return err
	}
	gid, of := d.held(name)
	if gid == 0 {
		return nil
	}
	if err := tell(ctx, h, cmd("mds fail", "role_or_gid", fmt.Sprint(gid))); err != nil { // by its number: a name may read like a rank
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, takeOver)
	defer cancel()
	tick := time.NewTicker(takenEvery)
	defer tick.Stop()
	for {
		if d, err = askFS(ctx, h); err == nil && slices.ContainsFunc(d.Filesystems, func(f fsEntry) bool { return f.Map.Name == of && f.Map.served() }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mds.%s was failed, and nobody serves file system %s: %w: ceph fs status tells more", name, of, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func askFS(ctx context.Context, h remote.Host) (fsDump, error) {
	var d fsDump
	replies, err := ask(ctx, h, true, cmd("fs dump"))
	if err != nil {
		return d, err
	}
	if r := replies[0]; r.Code != 0 || json.Unmarshal(r.Out, &d) != nil {
		return d, fmt.Errorf("ceph fs dump: %s (error %d)", r.Text, -r.Code)
	}
	return d, nil
}
