package outbox

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// wall is a clock on the wall that can be set: like a time that is read from a
// file, what it gives knows nothing of the steady clock.
type wall struct{ off atomic.Int64 }

func (w *wall) now() time.Time        { return time.Now().Add(time.Duration(w.off.Load())).Round(0) }
func (w *wall) jump(by time.Duration) { w.off.Add(int64(by)) }

// TestClockJumps sets the clock an hour on and back, while deliveries wait for
// their next attempt, while one is owed, and across a restart: none is lost,
// none fires early, and none waits for an hour to come again.
func TestClockJumps(t *testing.T) {
	for name, by := range map[string]time.Duration{"on": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				w := &wall{}
				c := answering(func(d *store.Delivery) Outcome {
					if d.Account == "a" && d.Replays == 0 {
						return failed(Class5xx)
					}
					return ok()
				})
				opts := Options{Now: w.now, Random: func() float64 { return 0.5 }, Policy: Policy{OrderWait: -1, Schedule: []time.Duration{0, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute}}}
				r := start(t, s, c, opts)
				r.now = w.now
				r.endpoint("e", true)
				began := time.Now()
				r.owe("e", "a", true, 1, 1)
				settle()
				w.jump(by)
				r.owe("e", "b", true, 1, 2)
				settle()
				if n := len(r.account(c, "b")); n != 2 {
					t.Errorf("what is owed after the jump: %d attempts", n)
				}
				pass(9*time.Minute - time.Since(began))
				if n := len(r.account(c, "a")); n != 1 {
					t.Errorf("%d attempts before the time", n)
				}
				pass(2 * time.Minute)
				if n := len(r.account(c, "a")); n != 2 {
					t.Errorf("%d attempts when the second is due", n)
				}
				// Once more, while nobody looks.
				r.stop()
				w.jump(by)
				r.outbox = New(s, c, opts)
				r.run()
				pass(15 * time.Minute)
				if n := len(r.account(c, "a")); n < 3 {
					t.Errorf("%d attempts after the restart", n)
				}
				pass(time.Hour)
				if n := r.stats(); n.Pending != 0 || n.Dead != 1 {
					t.Errorf("left: %+v", n)
				}
				r.stop()
			})
		})
	}
}
