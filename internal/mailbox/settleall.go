package mailbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// settleAhead is how many transactions of one provider's call wait for the
// store at the same time.
const settleAhead = 8

// settlement is what came of some of the messages of a call.
type settlement struct {
	chunk     []*store.Message
	results   []provider.Result
	rs        []Result
	overtaken []string
}

// settleAll writes the outcome of a provider's call in short transactions. The
// next one is handed to the store while the one before it runs, so that what is
// done by then is made durable by one commit; they run in their order, so that
// UIDs are given in it.
func (s *Service) settleAll(ctx context.Context, w *work, chunk []*store.Message, answered time.Time, fields mail.Fields, results []provider.Result, local func(*store.Message)) []settlement {
	perTx := itemsPerTx(1)
	var parts []settlement
	for some := range slices.Chunk(chunk, perTx) {
		parts = append(parts, settlement{chunk: some, results: results[:len(some)]})
		results = results[len(some):]
	}
	var all sync.WaitGroup
	free := make(chan struct{}, settleAhead)
	for i := range parts {
		part := &parts[i]
		begun := make(chan struct{})
		begin := sync.OnceFunc(func() { close(begun) })
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			defer begin() // it may not come to its turn
			err := guard.Do(ctx, s.log, "write what a provider has done", func() error {
				part.rs, part.overtaken = s.settle(ctx, w, part.chunk, answered, fields, part.results, local, begin)
				return nil
			}, "account", w.acct.ID)
			if err != nil {
				part.rs, part.overtaken = failedAll(part.chunk, err), nil
				s.Touch(context.WithoutCancel(ctx), w.acct.ID)
			}
		})
		<-begun
	}
	all.Wait()
	return parts
}

// failedAll gives every message the same error.
func failedAll(messages []*store.Message, err error) []Result {
	rs := make([]Result, len(messages))
	for i, m := range messages {
		rs[i] = Result{ID: m.ID, Err: err}
	}
	return rs
}
