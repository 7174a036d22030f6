package wave

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// packing is where the virtual machines of a zone are, and the search for where they can go.
type packing struct {
	c       *cloud
	z       *zone
	how     manner
	at      []int32   // virtual machine → host; shared by all zones, each of which has its own part
	mask    []int32   // virtual machine → cells, where any is pinned
	guests  [][]int32 // host of the zone → virtual machines
	free    []room    // host of the zone → what is left for those that move there; cpus and huge are the greatest of a cell
	cells   [][]plan.Cell
	load    []room  // host of the zone → what it would displace; cpus counts the pinned
	settled []bool  // host of the zone → it will not be in a later batch
	class   []int32 // host of the zone → its class now
	trees   []*tree // settled × class
	leaf    []int32 // host of the zone → its leaf, and back
	host    []int32 // leaf → host of the zone
	shapes  []int32 // in the order in which they are placed
	order   [][]int // class it leaves → the trees to look into, one after the other
	members map[spot]int32
	mixed   bool    // the order that placed the last batch
	moves   []move  // of the batch at hand
	held    []int32 // and those of it that find no place, and are stopped with their owners' consent
	batch   []int32
	wishes  map[int32]move // where a virtual machine goes if it can
}

// manner is a way to search; several are tried.
type manner struct {
	byVCPUs  bool // large is what needs many VCPUs, not much memory
	fullest  bool // hosts with the least room first
	fromLeft bool // hosts still to be changed are filled from the first, not from the last
	spread   bool // begin with the storage place that has the fewest hosts left, not the most
	balanced bool // batches of even size, as many as capacity asks for
}

// spot is an anti-affinity group in a place of its level.
type spot struct{ group, place int32 }

// move is one virtual machine's way, with the cells it had and has.
type move struct{ vm, from, to, had, has int32 }

const unneeded = math.MinInt64 + 1

func newPacking(c *cloud, z *zone, how manner, at, mask []int32) *packing {
	n := len(z.hosts)
	k := &packing{c: c, z: z, how: how, at: at, mask: mask, guests: make([][]int32, n), free: make([]room, n), cells: make([][]plan.Cell, n),
		load: make([]room, n), settled: make([]bool, n), class: make([]int32, n), leaf: make([]int32, n), host: make([]int32, n), members: map[spot]int32{}}
	for i, h := range z.hosts {
		host := c.f.Hosts[h]
		k.settled[i], k.class[i] = !c.toChange(h), host.Class
		k.free[i] = room{memory: k.limit(host.MemoryMiB), vcpus: k.limit(host.VCPUs)}
		k.cells[i] = slices.Clone(host.Cells)
	}
	for _, v := range z.vms {
		h := c.f.VMs.Host[v]
		at[v] = h
		l := c.local[h]
		k.guests[l] = append(k.guests[l], v)
		if len(mask) > 0 {
			mask[v] = 0
			if len(c.f.VMs.Cells) > 0 {
				mask[v] = c.f.VMs.Cells[v]
			}
		}
		k.take(l, v, k.maskOf(v), 1)
		k.weigh(l, v, 1)
		k.count(v, h, 1)
	}
	k.plant()
	return k
}

func (k *packing) limit(capacity int64) int64 {
	return capacity * int64(100-k.c.p.ReservePercent) / 100
}

func (k *packing) maskOf(v int32) int32 {
	if len(k.mask) == 0 {
		return 0
	}
	return k.mask[v]
}

func (k *packing) shape(v int32) *plan.Shape { return &k.c.f.Shapes[k.c.f.VMs.Shape[v]] }

// share is what a pinned virtual machine takes of each of its cells.
func share(s *plan.Shape) plan.Cell {
	n := int64(s.Cells)
	return plan.Cell{CPUs: (s.VCPUs + n - 1) / n, HugeMiB: (s.MemoryMiB + n - 1) / n}
}

func need(s *plan.Shape) room {
	if s.Cells > 0 {
		part := share(s)
		return room{memory: unneeded, vcpus: unneeded, cpus: part.CPUs, huge: part.HugeMiB}
	}
	return room{memory: s.MemoryMiB, vcpus: s.VCPUs, cpus: unneeded, huge: unneeded}
}

// take deducts a virtual machine from its host's room, or with sign -1 gives it back.
func (k *packing) take(l, v, mask int32, sign int64) {
	s := k.shape(v)
	if s.Cells == 0 {
		k.free[l].memory -= sign * s.MemoryMiB
		k.free[l].vcpus -= sign * s.VCPUs
		return
	}
	part := share(s)
	for m := mask; m != 0; m &= m - 1 {
		if i := bits.TrailingZeros32(uint32(m)); i < len(k.cells[l]) {
			k.cells[l][i].CPUs -= sign * part.CPUs
			k.cells[l][i].HugeMiB -= sign * part.HugeMiB
		}
	}
}

// weigh adds a virtual machine to what its host would displace.
func (k *packing) weigh(l, v int32, sign int64) {
	switch s := k.shape(v); {
	case k.c.fixed[v]:
	case s.Cells > 0:
		k.load[l].cpus += sign
	default:
		k.load[l].memory += sign * s.MemoryMiB
		k.load[l].vcpus += sign * s.VCPUs
	}
}

// count enters a virtual machine in its groups' places, or with n -1 removes it.
func (k *packing) count(v, h, n int32) {
	for _, g := range k.c.apart.of(v) {
		k.members[k.spot(g, h)] += n
	}
}

func (k *packing) spot(g, h int32) spot { return spot{g, k.c.places[k.c.f.Apart[g].Level][h]} }

// plant makes the trees: one for each class among the hosts that will not be changed any more, and one among the others.
func (k *packing) plant() {
	n := len(k.z.hosts)
	for i := range n {
		k.host[i] = int32(i)
	}
	if k.how.fullest {
		slices.SortStableFunc(k.host, func(a, b int32) int { return int(k.free[a].memory - k.free[b].memory) })
	}
	for leaf, l := range k.host {
		k.leaf[l] = int32(leaf)
	}
	classes := len(k.c.f.Classes)
	k.trees = make([]*tree, 2*classes)
	for l := range n {
		k.show(int32(l))
	}
	k.order = make([][]int, classes)
	for from := range classes {
		for t := range k.trees {
			if to := t % classes; k.c.f.Classes[to].Version >= k.c.f.Classes[from].Version {
				k.order[from] = append(k.order[from], t)
			}
		}
		slices.SortStableFunc(k.order[from], func(a, b int) int { return k.before(a, b, classes) })
	}
	k.sortShapes()
}

// before puts settled hosts first, since nothing leaves them again, and among them those with the most demanding class last.
func (k *packing) before(a, b, classes int) int {
	if x := a/classes - b/classes; x != 0 {
		return x
	}
	return len(k.c.f.Classes[a%classes].CPUs) - len(k.c.f.Classes[b%classes].CPUs)
}

// sortShapes puts first what is hardest to place: the pinned, then what few classes run, then the large.
func (k *packing) sortShapes() {
	var memory, vcpus int64 = 1, 1
	for _, h := range k.z.hosts {
		memory, vcpus = memory+k.c.f.Hosts[h].MemoryMiB>>10, vcpus+k.c.f.Hosts[h].VCPUs
	}
	size := func(s plan.Shape) int64 {
		m, v := s.MemoryMiB*vcpus>>10, s.VCPUs*memory
		if k.how.byVCPUs {
			return v
		}
		return max(m, v)
	}
	classes := len(k.c.f.Classes)
	choice := func(s int32) (n int) {
		for c := range classes {
			if k.c.can[int(s)*classes+c] {
				n++
			}
		}
		return n
	}
	k.shapes = make([]int32, len(k.c.f.Shapes))
	for i := range k.shapes {
		k.shapes[i] = int32(i)
	}
	slices.SortStableFunc(k.shapes, func(a, b int32) int {
		x, y := k.c.f.Shapes[a], k.c.f.Shapes[b]
		if d := y.Cells - x.Cells; d != 0 {
			return d
		}
		if d := choice(a) - choice(b); d != 0 {
			return d
		}
		return int(max(-1, min(1, size(y)-size(x))))
	})
}

// show puts a host with its room into its tree; hide takes it out.
func (k *packing) show(l int32) {
	if t := k.treeOf(l); t != nil {
		r := k.free[l]
		r.cpus, r.huge = 0, 0
		for _, c := range k.cells[l] {
			r.cpus, r.huge = max(r.cpus, c.CPUs), max(r.huge, c.HugeMiB)
		}
		t.set(k.leaf[l], r)
	}
}

func (k *packing) hide(l int32) {
	if t := k.treeOf(l); t != nil {
		t.set(k.leaf[l], nowhere)
	}
}

// treeOf is nil for a host that no virtual machine can go to.
func (k *packing) treeOf(l int32) *tree {
	if k.class[l] < 0 || k.c.f.Hosts[k.z.hosts[l]].Down {
		return nil
	}
	i := int(k.class[l])
	if !k.settled[l] {
		i += len(k.c.f.Classes)
	}
	if k.trees[i] == nil {
		k.trees[i] = newTree(len(k.z.hosts))
	}
	return k.trees[i]
}

// place moves everything movable from the hosts of a batch, and reports the first virtual machine that fits nowhere, or -1. When it fails nothing has
// changed; when it does not, commit or rollback must follow. Two orders are tried, the one that did it last first.
func (k *packing) place(batch []int32) int32 {
	failed := k.placeIn(batch, k.mixed)
	if failed >= 0 {
		if k.placeIn(batch, !k.mixed) < 0 {
			k.mixed = !k.mixed
			return -1
		}
	}
	return failed
}

// placeOrHold is place for a batch that cannot be had otherwise: whoever consents to a stop and finds no place is stopped. The others are placed first.
func (k *packing) placeOrHold(batch []int32) int32 {
	failed := k.place(batch)
	if failed < 0 {
		return failed
	}
	leaving := k.leaving(batch, false)
	slices.SortStableFunc(leaving, func(a, b int32) int {
		return cmp.Or(order(!k.wished(a))-order(!k.wished(b)), order(k.c.consent[a])-order(k.c.consent[b]))
	})
	return k.placeAll(batch, leaving, true)
}

func order(late bool) int {
	if late {
		return 1
	}
	return 0
}

// mayHold reports whether a virtual machine may be stopped with the batch at hand and started again on its host: of an anti-affinity group one at most, those on lost
// hosts counted.
func (k *packing) mayHold(v int32) bool {
	if !k.c.consent[v] || !k.c.startsAgain(*k.shape(v), k.c.f.Hosts[k.at[v]].ClassAfter) {
		return false
	}
	for _, g := range k.c.apart.of(v) {
		for _, o := range k.c.f.Apart[g].VMs {
			stopped := k.c.fixed[o] && slices.Contains(k.batch, k.c.local[k.at[o]]) && k.c.zoneOf[k.at[o]] == k.z
			if h := k.c.f.VMs.Host[o]; o != v && (stopped || h >= 0 && k.c.f.Hosts[h].Down || slices.Contains(k.held, o)) {
				return false
			}
		}
	}
	return true
}

// placeIn does it in one of the orders: largest first, or mixed as they occur, so that hosts run out of memory and VCPUs at the same time.
func (k *packing) placeIn(batch []int32, mixed bool) int32 {
	return k.placeAll(batch, k.leaving(batch, mixed), false)
}

// placeAll places the virtual machines of a batch in this order.
func (k *packing) placeAll(batch, leaving []int32, hold bool) int32 {
	k.batch = append(k.batch[:0], batch...)
	for _, l := range batch {
		k.hide(l)
	}
	repairs := 200
	leaving = slices.DeleteFunc(slices.Clone(leaving), k.grant)
	for _, v := range leaving {
		switch {
		case k.find(v) || k.repair(v, &repairs):
		case hold && k.mayHold(v):
			k.held = append(k.held, v)
		default:
			k.rollback()
			return v
		}
	}
	return -1
}

// leaving lists the movable virtual machines of the batch in the order in which they are placed: the pinned and those with rules of their own first,
// while there is most choice.
func (k *packing) leaving(batch []int32, mixed bool) []int32 {
	byShape := make([][]int32, len(k.shapes))
	n := 0
	for _, l := range batch {
		for _, v := range k.guests[l] {
			if !k.c.fixed[v] {
				s := k.c.f.VMs.Shape[v]
				byShape[s] = append(byShape[s], v)
				n++
			}
		}
	}
	out := make([]int32, 0, n)
	for _, s := range k.shapes {
		list := byShape[s]
		if mixed && k.c.f.Shapes[s].Cells == 0 {
			list = slices.DeleteFunc(slices.Clone(list), func(v int32) bool { return len(k.c.apart.of(v)) == 0 })
			byShape[s] = slices.DeleteFunc(byShape[s], func(v int32) bool { return len(k.c.apart.of(v)) > 0 })
		} else {
			slices.SortStableFunc(list, func(a, b int32) int { return min(1, len(k.c.apart.of(b))) - min(1, len(k.c.apart.of(a))) })
			byShape[s] = nil
		}
		out = append(out, list...)
	}
	return k.shuffle(out, byShape)
}

// shuffle appends the lists of all shapes, each spread evenly over the whole.
func (k *packing) shuffle(out []int32, byShape [][]int32) []int32 {
	type item struct {
		at float64
		vm int32
	}
	var rest []item
	for _, s := range k.shapes {
		for i, v := range byShape[s] {
			rest = append(rest, item{at: (float64(i) + 0.5) / float64(len(byShape[s])), vm: v})
		}
	}
	slices.SortStableFunc(rest, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	for _, x := range rest {
		out = append(out, x.vm)
	}
	return out
}

// find moves one virtual machine to the first host that takes it.
func (k *packing) find(v int32) bool {
	s := k.c.f.VMs.Shape[v]
	shape := &k.c.f.Shapes[s]
	from := k.at[v]
	class := k.class[k.c.local[from]]
	if class < 0 {
		return false
	}
	var fits func(int32) bool
	if shape.Cells > 0 || len(k.c.apart.of(v)) > 0 {
		fits = func(leaf int32) bool { return k.fits(v, shape, k.host[leaf]) }
	}
	want := need(shape)
	classes := len(k.c.f.Classes)
	for _, t := range k.order[class] {
		if k.trees[t] == nil || !k.c.can[int(s)*classes+t%classes] {
			continue
		}
		right := t >= classes && !k.how.fromLeft
		if leaf := k.trees[t].first(want, right, fits); leaf >= 0 {
			k.enter(v, k.host[leaf])
			return true
		}
	}
	return false
}

// fits checks what the tree cannot know: whole sets of cells, and anti-affinity before and after the move.
func (k *packing) fits(v int32, s *plan.Shape, l int32) bool {
	if s.Cells > 0 && choose(k.cells[l], s) == 0 {
		return false
	}
	h := k.z.hosts[l]
	for _, g := range k.c.apart.of(v) {
		at := k.spot(g, h)
		others := k.members[at]
		if at == k.spot(g, k.at[v]) {
			others-- // itself
		}
		if others > 0 {
			return false
		}
	}
	return true
}

// choose picks the fullest cells that still hold a pinned shape, as a mask; 0: there are not enough.
func choose(cells []plan.Cell, s *plan.Shape) int32 {
	part := share(s)
	var mask int32
	for range s.Cells {
		best := -1
		for i, c := range cells {
			if mask&(1<<i) == 0 && c.CPUs >= part.CPUs && c.HugeMiB >= part.HugeMiB && (best < 0 || c.CPUs < cells[best].CPUs) {
				best = i
			}
		}
		if best < 0 {
			return 0
		}
		mask |= 1 << best
	}
	return mask
}

// enter puts a virtual machine of the batch on its destination; what it leaves behind is given back by commit only.
func (k *packing) enter(v, l int32) {
	mask := int32(0)
	if s := k.shape(v); s.Cells > 0 {
		mask = choose(k.cells[l], s)
	}
	k.enterCells(v, l, mask)
}

func (k *packing) enterCells(v, l, mask int32) {
	m := move{vm: v, from: k.at[v], to: k.z.hosts[l], had: k.maskOf(v), has: mask}
	k.take(l, v, m.has, 1)
	k.show(l)
	k.count(v, m.to, 1)
	k.moves = append(k.moves, m)
}

// leave undoes enter.
func (k *packing) leave(i int) {
	m := k.moves[i]
	l := k.c.local[m.to]
	k.take(l, m.vm, m.has, -1)
	k.show(l)
	k.count(m.vm, m.to, -1)
	k.moves = slices.Delete(k.moves, i, i+1)
}

// repair makes room for a virtual machine that fits nowhere by sending one that has arrived in this batch elsewhere. Left bounds the tries.
func (k *packing) repair(v int32, left *int) bool {
	shape := k.shape(v)
	if shape.Cells > 0 {
		return false
	}
	class := k.class[k.c.local[k.at[v]]]
	for i := len(k.moves) - 1; i >= 0 && *left > 0; i-- {
		m := k.moves[i]
		l, w := k.c.local[m.to], k.shape(m.vm)
		if w.Cells > 0 || w.MemoryMiB > shape.MemoryMiB || !k.c.runs(k.c.f.VMs.Shape[v], class, k.class[l]) {
			continue
		}
		if k.free[l].memory+w.MemoryMiB < shape.MemoryMiB || k.free[l].vcpus+w.VCPUs < shape.VCPUs || !k.fits(v, shape, l) {
			continue
		}
		*left--
		k.leave(i)
		k.enter(v, l)
		if k.find(m.vm) {
			return true
		}
		k.leave(len(k.moves) - 1)
		k.enter(m.vm, l)
	}
	return false
}

// rollback forgets the batch at hand.
func (k *packing) rollback() {
	for i := len(k.moves) - 1; i >= 0; i-- {
		k.leave(i)
	}
	k.held = k.held[:0]
	for _, l := range k.batch {
		k.show(l)
	}
}

// commit ends the batch at hand: its hosts are changed and, but for what is started again there, empty.
func (k *packing) commit() {
	for _, m := range k.moves {
		k.take(k.c.local[m.from], m.vm, m.had, -1)
		k.count(m.vm, m.from, -1)
		k.weigh(k.c.local[m.from], m.vm, -1)
		k.weigh(k.c.local[m.to], m.vm, 1)
		k.at[m.vm] = m.to
		if len(k.mask) > 0 {
			k.mask[m.vm] = m.has
		}
		k.guests[k.c.local[m.to]] = append(k.guests[k.c.local[m.to]], m.vm)
	}
	for _, l := range k.batch {
		stay := k.guests[l][:0]
		for _, v := range k.guests[l] {
			if k.at[v] == k.z.hosts[l] {
				stay = append(stay, v)
			}
		}
		k.guests[l] = stay
		k.settled[l], k.class[l] = true, k.c.f.Hosts[k.z.hosts[l]].ClassAfter
		k.show(l)
	}
	k.moves, k.held = k.moves[:0], k.held[:0]
}
