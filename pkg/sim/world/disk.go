package world

import (
	"slices"
	"time"
)

// osdsPerHost is how many OSDs a host's copies are spread over.
const osdsPerHost = 6

// LoseOSD lets a disk of a host fail: the copies on its OSD are gone at once. When Ceph has marked it out, they are made anew on the host's other OSDs.
func (w *World) LoseOSD(host int) {
	i, t := int32(host), &w.Truth
	var gone []int32
	for _, g := range t.PGsOf[i] {
		pg := &t.PGs[g]
		at := slices.Index(pg.Hosts, i)
		if pg.Dead&(1<<at) == 0 && w.rng.IntN(osdsPerHost) == 0 {
			pg.Dead |= 1 << at
			pg.Behind |= 1 << at
			gone = append(gone, g)
		}
	}
	if len(gone) == 0 {
		return
	}
	t.Hosts[i].deadOSDs++
	w.healLater(i, gone, outAfter)
}

// healLater makes the copies of a failed OSD anew once it is out. Noout on its host keeps it in, and what is out of service recovers nothing.
func (w *World) healLater(i int32, gone []int32, after time.Duration) {
	w.Time.After(after, func() {
		h := &w.Truth.Hosts[i]
		if wait := h.Noout.Sub(w.Time.Now()); wait > 0 {
			w.healLater(i, gone, wait+time.Second)
			return
		}
		w.Time.After(backfillTime, func() {
			if !h.Serves() {
				w.healLater(i, gone, outAfter)
				return
			}
			w.heal(i, gone)
		})
	})
}

func (w *World) heal(i int32, gone []int32) {
	w.Truth.Hosts[i].deadOSDs--
	for _, g := range gone {
		pg := &w.Truth.PGs[g]
		at := slices.Index(pg.Hosts, i)
		if at < 0 || pg.Dead&(1<<at) == 0 {
			continue // it has been made anew on another host
		}
		pg.Dead &^= 1 << at
		if !w.Truth.Hosts[i].catching {
			pg.Behind &^= 1 << at
		}
	}
}
