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
