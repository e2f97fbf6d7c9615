package outbox

import (
	"context"
	"encoding/binary"
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

// TestClockHeals: the clock was a year ahead in one run. What that has left is
// not made to wait for a year, and what is written by the right clock keeps its
// time over every restart that follows.
func TestClockHeals(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		const year = 365 * 24 * time.Hour
		w := &wall{}
		c := answering(func(d *store.Delivery) Outcome {
			switch {
			case d.Account == "fails":
				return failed(Class4xx)
			case d.Account == "pauses":
				return Outcome{Class: Class429, Status: 429, RetryAfter: time.Hour, Error: "answered 429"}
			}
			return ok()
		})
		opts := Options{Now: w.now, Policy: Policy{OrderWait: -1, Schedule: []time.Duration{0, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute}}}
		w.jump(year)
		r := start(t, s, c, opts)
		r.now = w.now
		restart := func() {
			r.stop()
			r.outbox = New(s, c, r.outbox.opts)
			r.run()
		}
		r.endpoint("e", true)
		r.endpoint("p", true)
		r.owe("e", "fails", true, 1, 1)
		r.owe("e", "fine", true, 1, 1)
		settle()
		fails := func(want int, when string) {
			t.Helper()
			if n := len(r.account(c, "fails")); n != want {
				t.Errorf("%d attempts %s, want %d", n, when, want)
			}
		}
		fails(1, "while the clock is ahead")
		w.jump(-year)
		restart()
		pass(9 * time.Minute)
		fails(1, "before the time of the second")
		r.owe("e", "fine", true, 2, 1)
		r.owe("p", "pauses", true, 1, 1)
		settle()
		var mark time.Time
		if err := s.View(context.Background(), func(tx store.Tx) error {
			b, err := tx.Setting(clockSetting)
			if err == nil {
				mark = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if ahead := mark.Sub(w.now()); ahead > time.Minute {
			t.Errorf("the time that is written down is %s ahead", ahead)
		}
		// The row of the first attempt is still by the old clock.
		restart()
		settle()
		fails(2, "once nothing of the old clock is known but its rows")
		for range 3 {
			restart()
			pass(3 * time.Minute)
			fails(2, "before the time of the third")
			if n := len(r.account(c, "pauses")); n != 1 {
				t.Errorf("%d attempts to an endpoint that wants to be left alone", n)
			}
		}
		pass(2 * time.Minute)
		fails(3, "when the third is due")
		pass(time.Hour)
		if n := len(r.account(c, "pauses")); n < 2 {
			t.Error("the endpoint is left alone for ever")
		}
		r.stop()
	})
}

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
