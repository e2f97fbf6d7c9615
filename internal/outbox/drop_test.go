package outbox

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// remove deletes an endpoint as its owner does.
func (r *rig) remove(endpoint string, and func()) {
	r.t.Helper()
	r.update(func(tx store.Tx) error {
		tx.AfterCommit(func() { and(); r.outbox.Forget(endpoint) })
		return Remove(tx, endpoint)
	})
}

// TestDeletedUnderAProbe: an endpoint that was down for long is deleted while
// one attempt is under way, which then succeeds. Lanes that waited for its
// endpoint to answer anybody are not there any more.
func TestDeletedUnderAProbe(t *testing.T) {
	for name, answer := range map[string]Outcome{"it succeeds": ok(), "it fails": failed(Class5xx), "gone": failed(Class410), "the proxy fails": failed(ClassProxy)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				var last atomic.Bool
				release := make(chan struct{})
				c := answering(func(*store.Delivery) Outcome {
					if last.Load() {
						<-release
						return answer
					}
					return failed(ClassNetwork)
				})
				r := start(t, s, c, Options{})
				defer r.stop()
				r.endpoint("e", true)
				for _, a := range []string{"a", "b", "c"} {
					r.owe("e", a, true, 1, 3)
				}
				pass(20 * time.Hour)
				last.Store(true)
				for n := len(c.all()); len(c.all()) == n; {
					pass(10 * time.Second)
				}
				waiting := 0
				r.outbox.mu.Lock()
				for l := range r.outbox.endpoints["e"].overdue {
					if l.state == laneWaiting {
						waiting++
					}
				}
				r.outbox.mu.Unlock()
				if waiting == 0 {
					t.Fatal("no lane waits for its endpoint to answer")
				}
				tried := len(c.all())
				r.remove("e", func() {})
				settle()
				close(release)
				pass(48 * time.Hour)
				if n := len(c.all()); n != tried {
					t.Errorf("%d attempts after the end", n-tried)
				}
				if st := r.stats(); st.Pending != 0 {
					t.Errorf("left: %+v", st)
				}
				r.outbox.mu.Lock()
				defer r.outbox.mu.Unlock()
				if len(r.outbox.endpoints) != 0 || len(r.outbox.timers) != 0 {
					t.Errorf("%d endpoints and %d timers are left", len(r.outbox.endpoints), len(r.outbox.timers))
				}
			})
		})
	}
}

// TestDeletedGivesBackItsRoom: bodies that wait in memory behind an attempt do
// not count any more once their endpoint is deleted.
func TestDeletedGivesBackItsRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		r, _, release := busyLane(t, s)
		defer r.stop()
		for n := 2; n < 6; n++ {
			r.hand("e", "a", n)
		}
		synctest.Wait()
		handed := func() int {
			r.outbox.mu.Lock()
			defer r.outbox.mu.Unlock()
			return r.outbox.handed
		}
		if handed() == 0 {
			t.Fatal("nothing was handed over")
		}
		r.remove("e", func() {})
		settle()
		close(release)
		settle()
		if n := handed(); n != 0 {
			t.Errorf("%d bytes are still counted as handed over", n)
		}
	})
}

// TestDroppedThoughTheStoreRefuses: trouble with the store puts off the end of
// what a deleted endpoint was owed, and not until the next start.
func TestDroppedThoughTheStoreRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var full atomic.Bool
		m := &moody{Store: s, refuse: func() error {
			if full.Load() {
				return errors.New("no space left on device")
			}
			return nil
		}}
		r := start(t, m, answering(func(*store.Delivery) Outcome { return failed(ClassNetwork) }), Options{})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 10)
		settle()
		r.remove("e", func() { full.Store(true) })
		pass(time.Minute)
		if st := r.stats(); st.Pending != 10 {
			t.Errorf("%+v while nothing could be written", st)
		}
		full.Store(false)
		pass(time.Minute)
		if st := r.stats(); st.Pending != 0 {
			t.Errorf("left: %+v", st)
		}
	})
}
