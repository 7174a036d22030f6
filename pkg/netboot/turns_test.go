package netboot

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func turnsMachine(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }

// waiter is one thing asked for.
type waiter struct{ machine, number int }

// TestTurnsProperties plays at random, beside a plain account of who waits and who is served.
func TestTurnsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, room := rapid.IntRange(1, 40).Draw(t, "total"), rapid.IntRange(1, 30).Draw(t, "room")
		q := newTurns[waiter](total, room)
		waiting, running := map[int][]waiter{}, map[int]int{}
		numbered, inAll := 0, 0
		sum := func() (n int) {
			for _, w := range waiting {
				n += len(w)
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				numbered++
				w := waiter{rapid.IntRange(0, 3).Draw(t, "machine"), numbered}
				lost, full := q.add(turnsMachine(w.machine), w)
				waiting[w.machine] = append(waiting[w.machine], w)
				if !full {
					return
				}
				most := waiting[lost.machine]
				if most[len(most)-1] != lost {
					t.Fatalf("%v was lost, the last of its machine is %v", lost, most)
				}
				for m, others := range waiting {
					if len(others) > len(most) {
						t.Fatalf("machine %d lost something with %d waiting, machine %d has %d", lost.machine, len(most), m, len(others))
					}
				}
				waiting[lost.machine] = most[:len(most)-1]
			},
			"next": func(t *rapid.T) {
				w, ok := q.next()
				if !ok {
					for m, list := range waiting {
						if inAll < total && len(list) > 0 && running[m] < share(total) {
							t.Fatalf("nobody is next; machine %d has %d waiting, %d served", m, len(list), running[m])
						}
					}
					return
				}
				if waiting[w.machine][0] != w {
					t.Fatalf("%v is next, the first of its machine is %v", w, waiting[w.machine][0])
				}
				waiting[w.machine] = waiting[w.machine][1:]
				running[w.machine]++
				inAll++
			},
			"done": func(t *rapid.T) {
				m := rapid.IntRange(0, 3).Draw(t, "machine")
				if running[m] == 0 {
					t.Skip()
				}
				q.done(turnsMachine(m))
				running[m]--
				inAll--
			},
			"leave": func(t *rapid.T) {
				m := rapid.IntRange(0, 3).Draw(t, "machine")
				if len(waiting[m]) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(waiting[m])-1).Draw(t, "which")
				w := waiting[m][i]
				if !q.remove(turnsMachine(m), w) || q.remove(turnsMachine(m), w) {
					t.Fatalf("%v was not taken back once", w)
				}
				waiting[m] = append(append([]waiter{}, waiting[m][:i]...), waiting[m][i+1:]...)
			},
			"": func(t *rapid.T) {
				if inAll > total || q.running != inAll || q.waiting != sum() || q.waiting > room {
					t.Fatalf("served %d of %d (it says %d), waiting %d of %d (it says %d)", inAll, total, q.running, sum(), room, q.waiting)
				}
				for m, n := range running {
					if n > share(total) {
						t.Fatalf("machine %d has %d served at once of %d", m, n, share(total))
					}
				}
				if inAll+q.waiting == 0 && len(q.ring) == 0 && len(q.lines) > 0 {
					t.Fatalf("%d lines are left of nobody", len(q.lines))
				}
			},
		})
	})
}

// TestTurnsAreTaken shows who comes next when one machine has asked for a thousand things, and others for one.
func TestTurnsAreTaken(t *testing.T) {
	q := newTurns[waiter](8, 0)
	for i := range 1000 {
		q.add(turnsMachine(1), waiter{1, i})
	}
	q.add(turnsMachine(2), waiter{2, 0})
	q.add(turnsMachine(3), waiter{3, 0})
	var got []int
	for {
		w, ok := q.next()
		if !ok {
			break
		}
		got = append(got, w.machine)
	}
	want := []int{1, 2, 3, 1, 1, 1} // its share is four of eight
	if len(got) != len(want) {
		t.Fatalf("served %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("served %v, want %v", got, want)
		}
	}
}
