package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// endless tells some accounts one new message after the other, for ever.
type endless struct {
	provider.Provider
	healthy string
	told    atomic.Int64
}

func (p *endless) Changes(ctx context.Context, r *provider.ChangesRequest, each func(*mail.Batch) error) error {
	if r.Account == p.healthy {
		return p.Provider.Changes(ctx, r, each)
	}
	for {
		n := p.told.Add(1)
		it := mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: mail.Message{
			ProviderID: fmt.Sprint("endless-", n), Mailboxes: []string{r.Mailbox}, ReceivedAt: time.Unix(1700000000+n, 0)}}
		if err := each(&mail.Batch{Items: []mail.Item{it}, Next: fmt.Append(nil, n)}); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// TestEndlessFeedsHoldNobodyUp: nine accounts whose provider never comes to an
// end, and eight workers. The tenth account, which comes last, gets in step, and
// the others go on.
func TestEndlessFeedsHoldNobodyUp(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	p := &endless{Provider: w.plugin, healthy: w.account}
	w.front = func(provider.Provider) provider.Provider { return p }
	w.svc.opts.Turn = time.Millisecond
	for i := range 3 {
		w.deliver(fmt.Sprint("letter ", i), memory.Delivery{})
	}
	endless := func(i int) string { return fmt.Sprint("endless-", i) }
	for i := range 9 {
		address := fmt.Sprintf("endless%d@example.com", i)
		w.cloud.AddAccount(address, "")
		if _, err := w.plugin.OpenAccount(endless(i), address); err != nil {
			t.Fatal(err)
		}
		w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
			return tx.PutAccount(&store.Account{ID: endless(i), Provider: "memory", Address: address, State: store.AccountConnecting, ConnectedAt: time.Now()})
		}))
		w.svc.Touch(w.ctx, endless(i))
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	if err := w.svc.Sync(ctx, w.account); err != nil {
		t.Fatal(err)
	}
	w.inStep()

	// Each of the others is served, again and again, and who waits for one of
	// them goes on waiting.
	wait, stop := context.WithCancel(ctx)
	waiting := make(chan error, 1)
	go func() { waiting <- w.svc.Sync(wait, endless(0)) }()
	for range 3 {
		before := make([]int64, 9)
		w.must(w.store.View(ctx, func(tx store.Tx) (err error) {
			for i := range before {
				if before[i], err = tx.CountMessages(endless(i)); err != nil {
					return err
				}
			}
			return nil
		}))
		if err := w.svc.Sync(ctx, w.account); err != nil {
			t.Fatal(err)
		}
		w.eventually(func(tx store.Tx) bool {
			for i := range before {
				if n, err := tx.CountMessages(endless(i)); err != nil || n <= before[i] {
					return false
				}
			}
			return true
		})
	}
	select {
	case err := <-waiting:
		t.Errorf("who waits for a round without an end was told %v", err)
	default:
	}
	stop()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up waiting was told %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// eventually waits until the store holds what cond asks for.
func (w *world) eventually(cond func(store.Tx) bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for met := false; ; {
		w.must(w.store.View(w.ctx, func(tx store.Tx) error {
			met = cond(tx)
			return nil
		}))
		if met {
			return
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatal("it never came to be")
		}
	}
}

// TestALongSyncTakesManyTurns: with turns that are over at once, a first sync
// and a comparison of several hundred messages come to their end all the same,
// with nothing told twice and what is gone taken out.
func TestALongSyncTakesManyTurns(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.svc.opts.Turn = time.Nanosecond
		var ids []string
		for i := range 700 {
			ids = append(ids, w.deliver(fmt.Sprint("old ", i), memory.Delivery{Date: time.Now().Add(-time.Duration(i+1) * time.Hour)}))
		}
		turns := func() (n int) {
			for ; ; n++ {
				if n > 1000 {
					t.Fatal("it does not come to an end")
				}
				err := w.svc.Round(w.ctx, w.account)
				if err == nil {
					return n
				}
				if !errors.Is(err, errTurnOver) {
					t.Fatal(err)
				}
			}
		}
		if n := turns(); n == 0 || testutil.ToFloat64(w.svc.metrics.turns) != float64(n) {
			t.Errorf("the first sync took %d turns more than one, counted %v", n, testutil.ToFloat64(w.svc.metrics.turns))
		}
		w.inStep()

		// Half way through a comparison some more are removed, one arrives, and
		// we write to one that was told and to one that was not.
		w.must(w.cloud.ForgetCursors(ann))
		for _, id := range ids[:5] {
			w.must(w.cloud.Remove(ann, id))
		}
		if opts.Scope == mail.ScopeAccount { // a listing reads again what differs alone
			for _, id := range ids[100:600] {
				w.must(w.cloud.SetKeywords(ann, id, mail.Seen))
			}
		}
		for range 2 {
			if err := w.svc.Round(w.ctx, w.account); !errors.Is(err, errTurnOver) {
				t.Fatalf("the comparison's turn ended with %v", err)
			}
		}
		for _, id := range append(ids[300:305:305], ids[690:695]...) {
			w.must(w.cloud.Remove(ann, id))
		}
		w.deliver("meanwhile", memory.Delivery{})
		_, err := w.svc.Update(w.ctx, []string{MessageID(w.account, ids[150]), MessageID(w.account, ids[650])}, Change{AddKeywords: []string{mail.Flagged}})
		w.must(err)
		turns()
		w.svc.opts.Turn = time.Hour
		w.rounds()
		w.inStep()
		if len(w.svc.pauses.of) != 0 {
			t.Errorf("kept after the end: %v", w.svc.pauses.of)
		}
	})
}
