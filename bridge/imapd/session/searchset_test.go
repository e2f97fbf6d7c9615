package session

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// TestSearchSets: a set holds what it names, and costs what it is, not what the
// mailbox is.
func TestSearchSets(t *testing.T) {
	v := &selected{uids: make([]uint32, 1<<18)}
	for i := range v.uids {
		v.uids[i] = uint32(2*i + 1)
	}
	e := &searcher{s: &Session{sel: v}}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := &criterion{op: searchSet, uid: r.IntN(2) == 0}
		in := map[uint32]bool{}
		for range r.IntN(6) {
			first := uint32(1 + r.IntN(60))
			last := first + uint32(r.IntN(5))
			c.set.Ranges = append(c.set.Ranges, wire.Range{First: first, Last: last})
			for n := first; n <= last; n++ {
				in[n] = true
			}
		}
		has, err := e.inSet(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 80 {
			m := message{seq: uint32(i + 1), uid: v.uids[i]}
			want := in[m.seq]
			if c.uid {
				want = in[m.uid]
			}
			if got := has(&m); got != want {
				t.Fatalf("%s (uid %t) has %d: %t", c.set, c.uid, m.seq, got)
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	keys := &criterion{op: searchAnd}
	for range maxSearchKeys {
		keys.kids = append(keys.kids, &criterion{op: searchSet, set: wire.Set{Ranges: []wire.Range{{First: 1}}}})
	}
	all, err := e.row(keys)
	runtime.ReadMemStats(&after)
	if err != nil || !all(&message{seq: 7}) {
		t.Errorf("a message of %d sets: %v", maxSearchKeys, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d sets took %d bytes", maxSearchKeys, grown)
	}
}
