package outbox

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// unreadable is a transaction that cannot read bodies.
type unreadable struct {
	store.Tx
	err error
}

func (tx unreadable) Body(*store.Delivery) ([]byte, error) { return nil, tx.err }

// TestTroubleReadingBodies: a body that the store cannot read now is nothing
// that its delivery has to pay for; one that is damaged will never be read.
func TestTroubleReadingBodies(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want store.DeliveryState
	}{
		{errors.New("read bodies: input/output error"), store.DeliveryDelivered},
		{fmt.Errorf("body: %w", store.ErrDamaged), store.DeliveryDead},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				var bad atomic.Bool
				bad.Store(true)
				broken := &tampered{Store: s, tx: func(tx store.Tx) store.Tx {
					if bad.Load() {
						return unreadable{tx, tc.err}
					}
					return tx
				}}
				r := start(t, broken, fine(), Options{})
				defer r.stop()
				r.endpoint("e", true)
				id := r.owe("e", "a", true, 1, 1)[0]
				pass(10 * time.Minute)
				bad.Store(false)
				pass(time.Minute)
				if d := r.delivery(id); d.State != tc.want || tc.want == store.DeliveryDelivered && d.Attempts != 1 {
					t.Errorf("it is %s after %d attempts: %s", d.State, d.Attempts, d.LastError)
				}
			})
		})
	}
}

// unwritable is a transaction that cannot write what became of some deliveries.
type unwritable struct {
	store.Tx
	account string
}

func (tx unwritable) Conclude(d *store.Delivery, a *store.Attempt) error {
	if d.Account == tx.account {
		return errors.New("this delivery cannot be written")
	}
	return tx.Tx.Conclude(d, a)
}

// TestUnwritableDecisionsHoldUpNobody: decisions that cannot be written are
// given up, however many stand in front of the others.
func TestUnwritableDecisionsHoldUpNobody(t *testing.T) {
	for _, bad := range []int{1, 3, 10} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				broken := &tampered{Store: s, tx: func(tx store.Tx) store.Tx { return unwritable{tx, "bad"} }}
				hold := make(chan struct{})
				c := answering(func(d *store.Delivery) Outcome {
					if d.Account == "good" {
						<-hold // its decision stands behind the others
					}
					return ok()
				})
				r := start(t, broken, c, Options{})
				r.endpoint("e", false)
				r.endpoint("f", false)
				r.owe("e", "bad", false, 1, bad)
				ids := r.owe("f", "good", false, 1, 5)
				settle()
				close(hold)
				pass(30 * time.Second)
				for _, id := range ids {
					if d := r.delivery(id); d.State != store.DeliveryDelivered {
						t.Errorf("%s is %s", id, d.State)
					}
				}
				r.outbox.mu.Lock()
				if n := len(r.outbox.acks); n != 0 {
					t.Errorf("%d decisions are tried for ever", n)
				}
				r.outbox.mu.Unlock()
				r.stop()
			})
		})
	}
}
