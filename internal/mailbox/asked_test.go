package mailbox

import (
	"context"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestRoundThatWasAskedForIsNoted: whoever asks for a round and reads the
// account then does not find the time of one before.
func TestRoundThatWasAskedForIsNoted(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	for i := range 3 {
		asked := time.Now()
		w.must(w.svc.Sync(ctx, w.account))
		var got *store.Account
		w.must(w.store.View(ctx, func(tx store.Tx) (err error) { got, err = tx.Account(w.account); return err }))
		if got.LastSyncAt.Before(asked) {
			t.Errorf("round %d, asked for at %s, is told to have ended at %s", i, asked, got.LastSyncAt)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
