package ceph

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed scripts/host.sh
var hostScript string

// HostState is what of a cluster is on a host.
type HostState struct {
	model.ObservedCephHost
	ConfSum string // SHA-256 of its ceph.conf in hex; empty: there is none
	Memory  int64  // bytes
}

// Look looks at one host. It changes nothing, and needs no cluster.
func Look(ctx context.Context, h remote.Host) (HostState, error) {
	res, err := h.Run(ctx, remote.Command{Script: hostScript})
	if err != nil {
		return HostState{}, fmt.Errorf("look for Ceph: %w", err)
	}
	s, err := ParseHost(res.Stdout)
	if err != nil {
		return HostState{}, fmt.Errorf("look for Ceph: %w", err)
	}
	return s, nil
}

// Declared reports whether the host's ceph.conf is this one.
func (s HostState) Declared(conf string) bool {
	sum := sha256.Sum256([]byte(conf))
	return s.ConfSum == hex.EncodeToString(sum[:])
}

// ParseHost reads what host.sh prints.
func ParseHost(raw []byte) (HostState, error) {
	parts := sections(string(raw))
	var s HostState
	var errs []error
	for _, line := range strings.Fields(strings.ReplaceAll(parts["conf"], " -", "")) {
		if len(line) == hex.EncodedLen(sha256.Size) {
			s.ConfSum = line
		} else {
			s.FSID = line
		}
	}
	for _, path := range strings.Fields(parts["stores"]) {
		if kind, id, ok := store(path); ok {
			s.Stores = append(s.Stores, kind+"."+id)
		}
	}
	s.Running = running(parts["units"], "active")
	if kib, err := strconv.ParseInt(strings.TrimSpace(parts["memory"]), 10, 64); err == nil {
		s.Memory = kib << 10
	} else {
		errs = append(errs, fmt.Errorf("size of memory: %w", err))
	}
	var err error
	if s.Disks, err = disks(parts["disks"], parts["signatures"]); err != nil {
		errs = append(errs, err)
	}
	if s.Volumes, err = volumes(parts["volumes"]); err != nil {
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// sections cuts the output at its headings.
func sections(text string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n==")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		out[title] = body
	}
	return out
}

// running reads from what systemctl lists the units that are in one of these states.
func running(list string, states ...string) []string {
	var out []string
	for _, line := range strings.Split(list, "\n") {
		if f := strings.Fields(line); len(f) > 2 && slices.Contains(states, f[2]) {
			if kind, id, ok := unit(f[0]); ok {
				out = append(out, kind+"."+id)
			}
		}
	}
	return out
}

// store reads "/var/lib/ceph/mon/ceph-NAME".
func store(path string) (kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/var/lib/ceph/")
	if !ok {
		return "", "", false
	}
	kind, dir, ok := strings.Cut(rest, "/")
	if !ok {
		return "", "", false
	}
	id, ok = strings.CutPrefix(dir, "ceph-")
	return kind, id, ok
}

// unit reads "ceph-mon@NAME.service".
func unit(text string) (kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(text, "ceph-")
	if !ok {
		return "", "", false
	}
	kind, id, ok = strings.Cut(strings.TrimSuffix(rest, ".service"), "@")
	return kind, id, ok
}

type lsblk struct {
	Devices []struct {
		Path     string `json:"path"`
		Type     string `json:"type"`
		Serial   string `json:"serial"`
		WWN      string `json:"wwn"`
		Model    string `json:"model"`
		Vendor   string `json:"vendor"`
		HCTL     string `json:"hctl"`
		Size     int64  `json:"size"`
		Rota     bool   `json:"rota"`
		Tran     string `json:"tran"`
		Children []any  `json:"children"`
	} `json:"blockdevices"`
}

// disks reads lsblk's JSON, and for each disk what was found on it.
func disks(list, signatures string) ([]model.Disk, error) {
	var l lsblk
	if err := json.Unmarshal([]byte(list), &l); err != nil {
		return nil, fmt.Errorf("output of lsblk: %w", err)
	}
	found := map[string][]string{}
	for _, line := range strings.Split(signatures, "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			found[f[0]] = f[1:]
		}
	}
	var out []model.Disk
	for _, d := range l.Devices {
		if d.Type != "disk" {
			continue
		}
		disk := model.Disk{Name: d.Path, Serial: strings.TrimSpace(d.Serial), WWN: d.WWN, Model: strings.TrimSpace(d.Model), Vendor: strings.TrimSpace(d.Vendor),
			HCTL: d.HCTL, SizeBytes: d.Size, Rotational: d.Rota, Transport: d.Tran, Signatures: found[d.Path]}
		if len(d.Children) > 0 && len(disk.Signatures) == 0 {
			disk.Signatures = []string{"partitions"}
		}
		slices.Sort(disk.Signatures)
		disk.Signatures = slices.Compact(disk.Signatures)
		out = append(out, disk)
	}
	return out, nil
}

// volumes reads lvs' JSON: the logical volumes that ceph-volume has tagged as an OSD's block device (ceph-volume(8), "lvm tags").
func volumes(text string) ([]model.ObservedVolume, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil // no LVM
	}
	var doc struct {
		Report []struct {
			LV []struct {
				Tags    string `json:"lv_tags"`
				Devices string `json:"devices"`
			} `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("output of lvs: %w", err)
	}
	var out []model.ObservedVolume
	for _, r := range doc.Report {
		for _, lv := range r.LV {
			tags := map[string]string{}
			for _, t := range strings.Split(lv.Tags, ",") {
				k, v, _ := strings.Cut(t, "=")
				tags[k] = v
			}
			id, err := strconv.Atoi(tags["ceph.osd_id"])
			if tags["ceph.type"] != "block" || err != nil {
				continue
			}
			device, _, _ := strings.Cut(lv.Devices, "(")
			out = append(out, model.ObservedVolume{OSD: id, FSID: tags["ceph.osd_fsid"], Cluster: tags["ceph.cluster_fsid"], Device: device, Crypt: tags["ceph.encrypted"] == "1"})
		}
	}
	slices.SortFunc(out, func(a, b model.ObservedVolume) int { return a.OSD - b.OSD })
	return out, nil
}
