package installer

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// maxNeighbours is how many are kept of one card: a hub shows several, and nobody may fill the memory.
const maxNeighbours = 8

// cablingTime is how long an install whose order asks for it waits for the neighbours: switches speak every 30 s.
const cablingTime = 40 * time.Second

// neighbours are those heard so far, by card. Safe for concurrent use.
type neighbours struct {
	mu    sync.Mutex
	cards map[string]map[string]order.Neighbour // by the neighbour's chassis and port
	news  chan struct{}                         // holds one token when there is something new
}

func (n *neighbours) heard(card string, who order.Neighbour, gone bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.cards[card]
	if all == nil {
		all = map[string]order.Neighbour{}
		n.cards[card] = all
	}
	key := who.Chassis + "\x00" + who.Port
	if gone {
		delete(all, key)
		return
	}
	if _, known := all[key]; known || len(all) < maxNeighbours {
		all[key] = who
	}
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// add gives the cards a copy of what was heard of each.
func (n *neighbours) add(nics []order.FactNIC) []order.FactNIC {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := slices.Clone(nics)
	for i := range out {
		out[i].Neighbours = slices.SortedFunc(maps.Values(n.cards[out[i].Name]), func(a, b order.Neighbour) int { return strings.Compare(a.String(), b.String()) })
	}
	return out
}

// hear listens on every card, in the background.
func (i *Install) hear(ctx context.Context, wait *sync.WaitGroup) {
	i.neighbours = &neighbours{cards: map[string]map[string]order.Neighbour{}, news: make(chan struct{}, 1)}
	if i.Hear == nil {
		return
	}
	for _, nic := range i.machine.nics() {
		wait.Go(func() {
			err := i.Hear(ctx, nic.Name, func(who order.Neighbour, gone bool) { i.neighbours.heard(nic.Name, who, gone) })
			if err != nil { // what is not heard is a fact that is missing
				i.logf("%v", err)
			}
		})
	}
}

// checkCabling compares the cards with the order's cables. Only where one of these says so it waits for the neighbours, and refuses.
func (i *Install) checkCabling(ctx context.Context) error {
	if !slices.ContainsFunc(i.order.Machine.Cables, func(c order.Cable) bool { return c.Refuse }) {
		return nil
	}
	i.progress("verify", "listen to the neighbours of the network cards")
	patience := time.NewTimer(i.cablingTime)
	defer patience.Stop()
	for {
		_, refused := order.Cabling(i.order.Machine.Cables, i.neighbours.add(i.facts.NICs))
		if refused == nil {
			return nil
		}
		select {
		case <-i.neighbours.news:
		case <-patience.C:
			return refused
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reportNeighbours reports the facts once more when neighbours were heard, and notes what is connected otherwise than the order says.
func (i *Install) reportNeighbours(ctx context.Context) error {
	i.facts.NICs = i.neighbours.add(i.facts.NICs)
	if !slices.ContainsFunc(i.facts.NICs, func(n order.FactNIC) bool { return len(n.Neighbours) > 0 }) {
		return nil
	}
	notes, _ := order.Cabling(i.order.Machine.Cables, i.facts.NICs)
	for _, note := range notes {
		i.logf("note: %s", note)
	}
	i.result.Notes = notes
	return i.reporter.say(ctx, order.Report{Kind: order.ReportFacts, Facts: &i.facts})
}
