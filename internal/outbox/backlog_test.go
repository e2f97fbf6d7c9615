package outbox

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestBacklogOfADeadEndpoint: what is owed to an endpoint that is down costs
// neither memory nor writes by its number, and delays nobody.
func TestBacklogOfADeadEndpoint(t *testing.T) {
	const lanes, each = 100, 1000
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Endpoint == "dead" {
				return failed(ClassNetwork)
			}
			return ok()
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("dead", true)
		r.endpoint("good", true)
		r.owe("dead", "a000", true, 1, 1)
		r.owe("good", "g", true, 1, 1)
		settle()
		before := heapBytes()
		for l := range lanes {
			for first := 1; first < each; first += 250 {
				r.backlog("dead", fmt.Sprintf("a%03d", l), first+1, 250)
			}
		}
		settle()
		if n := r.stats().Pending; n != lanes*each+1 {
			t.Fatalf("%d wait", n)
		}
		if grown := heapBytes() - before; grown > 48<<20 {
			t.Errorf("the backlog takes %d MB of memory", grown>>20)
		}
		tries := len(c.all())
		for n := range 20 {
			at := time.Now()
			r.owe("good", "g", true, n+2, 1)
			settle()
			got := r.account(c, "g")
			if last := got[len(got)-1]; len(got) != n+2 || last.at.Sub(at) > 100*time.Millisecond {
				t.Fatalf("the healthy endpoint got %d, the last after %s", len(got), last.at.Sub(at))
			}
		}
		// One probe at a time, whatever waits: an hour has room for about sixty
		// that are a minute apart, and as many heads of lanes cost no more.
		pass(time.Hour)
		if n := len(c.all()) - tries - 20; n < 10 || n > 200 {
			t.Errorf("%d attempts in an hour of outage", n)
		}
	})
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// backlog owes many deliveries of one account that share a body.
func (r *rig) backlog(endpoint, account string, first, count int) {
	r.t.Helper()
	r.update(func(tx store.Tx) error {
		var handed []Handed
		body := make([]byte, 1000)
		for n := first; n < first+count; n++ {
			r.places++
			d := &store.Delivery{
				ID: fmt.Sprintf("%s:%s/%d", endpoint, account, n), Endpoint: endpoint, Lane: account, Account: account,
				Event: account, Type: "ping", Position: 1 << 40, Sequence: uint64(n), Rendition: "thin", CreatedAt: r.now(), NextAt: r.now(),
			}
			if err := tx.Enqueue(d); err != nil {
				return err
			}
			if err := tx.PutBody(d, body); err != nil {
				return err
			}
			handed = append(handed, Handed{Delivery: d, Body: body})
		}
		tx.AfterCommit(func() { r.outbox.Hand(handed) })
		return nil
	})
}
