package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestReplayKeepsOrderOverClockJumps: what was owed while the clock was set back,
// twice, and on, is replayed in the order of its events, lane by lane, over
// several pages of the listing and with the replay being cut and resumed.
func TestReplayKeepsOrderOverClockJumps(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		w := &wall{}
		c := fine()
		r := start(t, s, c, Options{Now: w.now})
		r.now = w.now
		r.endpoint("e", true)
		const each, lanes = 60, 10
		first := 1
		for _, jump := range []time.Duration{0, -time.Hour, 30 * time.Minute, -3 * time.Hour, 10 * time.Hour} {
			w.off.Add(int64(jump))
			for range 10 {
				for a := range lanes {
					r.owe("e", fmt.Sprint("a", a), true, first, each/10)
				}
				first += each / 10
				pass(3 * time.Minute)
			}
		}
		settle()
		if st := r.stats(); st.Pending != 0 {
			t.Fatalf("%+v", st)
		}
		c.mu.Lock()
		c.tries = nil
		c.mu.Unlock()
		all := int64(5 * each * lanes)
		j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}, PerSecond: 400})
		pass(4 * time.Second)
		r.stop()
		if now := r.job(j.ID); now.State != store.JobRunning || now.Done == 0 || now.Done == all {
			t.Fatalf("when it was cut: %+v", now)
		}
		r = start(t, s, c, Options{Now: w.now})
		defer r.stop()
		pass(time.Minute)
		settle()
		if now := r.job(j.ID); now.State != store.JobDone || now.Done != all || now.Matched != all || now.Skipped != 0 {
			t.Errorf("%+v", now)
		}
		for a := range lanes {
			var got []string
			for _, try := range c.all() {
				if try.account == fmt.Sprint("a", a) {
					got = append(got, try.event)
				}
			}
			var want []string
			for n := 1; n < first; n++ {
				want = append(want, fmt.Sprintf("a%d/%d", a, n))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("lane %d heard %d of %d, or in another order: %v", a, len(got), len(want), got)
			}
		}
	})
}
