package graph

import (
	"context"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// advanceEvery is how often a subscription looks at the journal without having
// been woken. Where nothing matches its filter for weeks, its place must not fall
// behind the journal's beginning; and a gateway that shares its store is not told
// by the bus what another one wrote.
const advanceEvery = 30 * time.Second

// Events follows the journal. What has to be refused is refused before it starts.
func (r subscriptionResolver) Events(ctx context.Context, accounts []string, types []event.Type, after *string, backfill *bool) (<-chan *event.Event, error) {
	filter := &eventFilter{accounts: accounts, types: types, backfill: value(backfill)}
	if err := r.checkAccounts(ctx, accounts); err != nil {
		return nil, err
	}
	// Listening begins before the first read, so that nothing falls between.
	reader := r.bus.Listen(func(e event.Event) bool { return filter.match(&e) })
	events, at, more, err := r.begin(ctx, after, filter)
	if err != nil {
		r.bus.Stop(reader)
		return nil, err
	}
	if r.streams.Add(1) > int64(r.opts.MaxSubscriptions) {
		r.streams.Add(-1)
		r.bus.Stop(reader)
		return nil, &mail.Error{Kind: mail.KindThrottled, Message: "too many subscriptions run", RetryAfter: advanceEvery}
	}
	out := make(chan *event.Event)
	// The goroutine is the request's: it ends with ctx, and its channel with it.
	go func() {
		defer close(out)
		defer r.streams.Add(-1)
		defer r.bus.Stop(reader)
		if r.opts.Listening != nil {
			defer r.opts.Listening(accounts)()
		}
		tick := time.NewTicker(advanceEvery)
		defer tick.Stop()
		for {
			for i := range events {
				select {
				case out <- &events[i]:
				case <-ctx.Done():
					return
				}
			}
			if !more {
				select {
				case <-reader.C:
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
			if events, at, more, err = r.readJournal(ctx, at, filter); err != nil {
				if ctx.Err() == nil {
					r.endStream(ctx, err)
				}
				return
			}
		}
	}()
	return out, nil
}

// begin reads the first chunk.
func (r subscriptionResolver) begin(ctx context.Context, after *string, filter *eventFilter) (events []event.Event, at event.Cursor, more bool, err error) {
	if at, err = r.place(ctx, after, false); err != nil {
		return nil, at, false, err
	}
	return r.readJournal(ctx, at, filter)
}
