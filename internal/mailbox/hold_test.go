package mailbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestHold: a round that is held back applies nothing and keeps its cursors,
// also in the midst of a mailbox; afterwards it goes on from there. It is no
// failure.
func TestHold(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		for i := range 300 {
			w.deliver(fmt.Sprint("old ", i), memory.Delivery{Date: time.Now().Add(-time.Duration(i+1) * time.Hour)})
		}
		count := func() (n int64) {
			w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
				n, err = tx.CountMessages(w.account)
				return err
			}))
			return n
		}
		full := errors.New("no room")
		asked := 0
		w.svc.opts.Hold = func() error {
			if asked++; asked > 3 {
				return full
			}
			return nil
		}
		err := w.svc.Round(w.ctx, w.account)
		part := count()
		if !errors.Is(err, errHeld) || !errors.Is(err, full) || part == 0 || part >= 300 {
			t.Fatalf("the round ended with %v after %d messages", err, part)
		}
		if err := w.svc.Round(w.ctx, w.account); !errors.Is(err, errHeld) || count() != part {
			t.Errorf("the next one ended with %v after %d messages, %d before", err, count(), part)
		}
		w.svc.opts.Hold = nil
		w.rounds()
		w.inStep()
		if count() != 300 || len(w.refused) != 0 {
			t.Errorf("%d messages after it, refused %v", count(), w.refused)
		}
	})
}
