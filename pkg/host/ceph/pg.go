package ceph

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pgDump is "pg dump" of pgs_brief, from the manager.
type pgDump struct {
	// Ready is false while the manager has not heard of every placement group since it started (DaemonServer.cc: pg_ready).
	Ready *bool `json:"pg_ready"`
	Stats []pg  `json:"pg_stats"`
}

// pg is a placement group.
type pg struct {
	ID     string // "POOL.SEED"
	State  string // words joined by "+"
	Acting []int  // missing where a copy has no OSD
}

// missing is Ceph's number for no OSD (CRUSH_ITEM_NONE).
const missing = 0x7fffffff

// UnmarshalJSON reads a row of ask.py ("[id, state, OSD, OSD…]") or what Ceph itself prints.
func (p *pg) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '{' {
		var own struct {
			ID     string `json:"pgid"`
			State  string `json:"state"`
			Acting []int  `json:"acting"`
		}
		err := json.Unmarshal(raw, &own)
		p.ID, p.State, p.Acting = own.ID, own.State, own.Acting
		return err
	}
	var row []json.RawMessage
	if err := json.Unmarshal(raw, &row); err != nil {
		return err
	}
	if len(row) < 2 {
		return errors.New("a row of placement groups without id and state")
	}
	if err := errors.Join(json.Unmarshal(row[0], &p.ID), json.Unmarshal(row[1], &p.State)); err != nil {
		return err
	}
	if p.State == "" {
		p.State = "active+clean"
	}
	p.Acting = make([]int, len(row)-2)
	for i, text := range row[2:] {
		n, err := strconv.Atoi(string(text))
		if err != nil {
			return err
		}
		p.Acting[i] = n
	}
	return nil
}

// pool is the id of its pool; -1 when its own is none.
func (p pg) pool() int {
	text, _, _ := strings.Cut(p.ID, ".")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// place appends the OSDs of its copies, -1 for one that is missing or on an OSD that is down, in all so many as the pool has.
func (p pg) place(to []int32, size int, down map[int]bool) []int32 {
	for i := range size {
		osd := int32(-1)
		if i < len(p.Acting) && p.Acting[i] >= 0 && p.Acting[i] != missing && !down[p.Acting[i]] {
			osd = int32(p.Acting[i])
		}
		to = append(to, osd)
	}
	return to
}

func (d pgDump) byPool() map[int][]pg {
	out := map[int][]pg{}
	for _, p := range d.Stats {
		n := p.pool()
		out[n] = append(out[n], p)
	}
	return out
}

// clean reports whether a placement group is active and clean, whatever else it is doing: scrubbing, trimming snapshots.
func clean(state string) bool {
	words := strings.Split(state, "+")
	for _, w := range words {
		switch w {
		case "active", "clean", "scrubbing", "deep", "snaptrim", "snaptrim_wait":
		default:
			return false
		}
	}
	return slices.Contains(words, "active") && slices.Contains(words, "clean")
}

// unsure says why placement groups are not all known; empty when they are. A manager that has just started does not know, and the state "unknown"
// (pg_state_string of a state of 0) is that of one whose primary has not reported.
func (d pgDump) unsure() string {
	switch {
	case d.Ready == nil:
		return "no manager answers"
	case !*d.Ready:
		return "the manager has not heard of all of them yet"
	}
	var unknown []string
	for _, p := range d.Stats {
		if p.State == "unknown" || p.State == "" {
			unknown = append(unknown, p.ID)
		}
	}
	return several(unknown, "the state of %s is unknown")
}

// outdated says which of the placement groups have OSDs in their acting sets that the OSD map has as down; empty when none has. Their primaries have not
// told the manager yet what they found when those went away, or the manager is a new one that was told before. One without any OSD left tells nothing
// more: the manager calls it stale.
func (d pgDump) outdated(down map[int]bool) string {
	var found []string
	for _, p := range d.Stats {
		if slices.ContainsFunc(p.Acting, func(id int) bool { return down[id] }) {
			found = append(found, p.ID)
		}
	}
	return several(found, "the manager has not heard yet where the copies of %s are since an OSD went down")
}

// incomplete says which of the placement groups have an acting set of which some members may lack objects: they are being recovered there, or wait
// for it, and the dump does not tell which members. One that is only backfilled has its full copies in the acting set (PeeringState.cc); one that is
// degraded because a copy is missing shows that by the missing member.
func (d pgDump) incomplete() string {
	var found []string
	for _, p := range d.Stats {
		words := strings.Split(p.State, "+")
		has := func(list ...string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
		}
		short := has("undersized") || has("backfilling", "backfill_wait", "backfill_toofull")
		if has("recovering", "recovery_wait", "recovery_toofull", "recovery_unfound", "unfound", "peering", "activating", "creating", "stale", "inconsistent") ||
			(has("degraded") && !short) {
			found = append(found, p.ID+" is "+p.State)
		}
	}
	return several(found, "which copies are complete is not known: %s")
}

// named is how many of many things a message names.
const named = 3

// several puts the first few of a list into a message; empty when there is none.
func several(list []string, format string) string {
	if len(list) == 0 {
		return ""
	}
	text := strings.Join(list[:min(len(list), named)], ", ")
	if more := len(list) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf(format, text)
}
