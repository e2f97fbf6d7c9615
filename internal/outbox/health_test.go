package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestHealthIsNotUndoneByAReader: an attempt that reads the store while another
// finds the endpoint gone does not bring back what it began with.
func TestHealthIsNotUndoneByAReader(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var hold atomic.Bool
		release := make(chan struct{})
		gated := &tampered{Store: s, before: func() {
			if hold.CompareAndSwap(true, false) {
				<-release
			}
		}}
		c := answering(func(d *store.Delivery) Outcome {
			if d.Account == "gone" {
				return failed(Class410)
			}
			return ok()
		})
		r := start(t, gated, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 2)
		settle()
		hold.Store(true)
		r.owe("e", "b", true, 1, 1)
		settle() // it is about to read
		r.owe("e", "gone", true, 1, 1)
		settle()
		close(release)
		settle()
		r.owe("e", "c", true, 1, 1)
		settle()
		if diff := cmp.Diff([]string{"a/1", "a/2", "gone/1", "b/1"}, c.events("e")); diff != "" {
			t.Errorf("sent to an endpoint that is gone (-want +got):\n%s", diff)
		}
	})
}

// enable does what the owner of an endpoint does to switch it on, past the
// store that the outbox sees.
func (r *rig) enable(s store.Store, id string) {
	r.t.Helper()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		e, err := tx.Endpoint(id)
		if err != nil {
			return err
		}
		e.Disabled, e.Reason, e.Failing, e.Failures, e.PausedUntil = false, "", time.Time{}, 0, time.Time{}
		e.Edition++
		tx.AfterCommit(func() { r.outbox.Refresh(id) })
		return tx.PutEndpoint(e)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestEnablingIsNotUndone: what an attempt found out that began before its
// endpoint was enabled, or was written down after that, does not disable it.
func TestEnablingIsNotUndone(t *testing.T) {
	for _, held := range []string{"the attempt", "the write"} {
		for name, out := range map[string]Outcome{"gone": failed(Class410), "failing for long": failed(ClassNetwork)} {
			t.Run(fmt.Sprintf("%s is held up, %s", held, name), func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *bolt.Store) {
					var refuse, up atomic.Bool
					m := &moody{Store: s, refuse: func() error {
						if refuse.Load() {
							return errors.New("no space left on device")
						}
						return nil
					}}
					release := make(chan struct{})
					c := answering(func(*store.Delivery) Outcome {
						if up.Load() {
							return ok()
						}
						refuse.Store(held == "the write")
						if held == "the attempt" {
							<-release
						}
						return out
					})
					filler := &rig{t: t, now: time.Now, store: s, outbox: New(s, c, Options{})}
					long := time.Now().Add(-6 * 24 * time.Hour)
					filler.update(func(tx store.Tx) error {
						return tx.PutEndpoint(&store.Endpoint{ID: "e", Failing: long, Failures: 20})
					})
					id := filler.owe("e", "a", true, 1, 1)[0]
					r := start(t, m, c, Options{})
					defer r.stop()
					settle()
					up.Store(true)
					r.enable(s, "e")
					settle()
					refuse.Store(false)
					close(release)
					pass(time.Minute)
					var e *store.Endpoint
					if err := s.View(context.Background(), func(tx store.Tx) (err error) { e, err = tx.Endpoint("e"); return err }); err != nil {
						t.Fatal(err)
					}
					if e.Disabled || !e.Failing.IsZero() || e.Failures != 0 {
						t.Errorf("after it was enabled: %+v", e)
					}
					if d := r.delivery(id); d.State != store.DeliveryDelivered {
						t.Errorf("the delivery is %s: %s", d.State, d.LastError)
					}
				})
			})
		}
	}
}
