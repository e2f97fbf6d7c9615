package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// house is journal, webhooks and outbox on a store of their own, wired as the
// gateway does it.
type house struct {
	store   *bolt.Store
	journal *journal.Journal
	hooks   *webhook.Service
	outbox  *outbox.Outbox
	wire    *wire

	cancel context.CancelFunc
	done   chan error
}

type houseOptions struct {
	// connections to one endpoint at the most.
	connections int
	timeout     time.Duration
}

func (b *bench) house(opts houseOptions) (*house, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	master, err := seal.GenerateMasterKey()
	if err != nil {
		return nil, err
	}
	ring, err := seal.NewKeyring(master)
	if err != nil {
		return nil, err
	}
	guard, err := webhook.NewGuard(webhook.Rules{Allow: []string{"127.0.0.0/8"}, AllowHTTP: true})
	if err != nil {
		return nil, err
	}
	h := &house{done: make(chan error, 1)}
	if h.store, err = bolt.Open(bolt.Options{Path: dir, Keyring: ring}); err != nil {
		return nil, err
	}
	h.wire = &wire{Carrier: webhook.NewCarrier(guard, webhook.CarrierOptions{Version: "bench", Total: opts.timeout, IdleConns: opts.connections})}
	h.outbox = outbox.New(h.store, h.wire, outbox.Options{
		Lanes: opts.connections, Workers: 512, Limits: webhook.Limits,
		OnChange: func(tx store.Tx, e *store.Endpoint, c outbox.Change) error { return h.hooks.EndpointChanged(tx, e, c) },
	})
	bus := &event.Bus{}
	h.hooks = webhook.New(h.store, h.outbox, guard, webhook.Options{Bus: bus})
	h.journal = journal.New(h.store, bus, time.Now, h.hooks.Owe)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { h.done <- h.outbox.Run(ctx) }()
	return h, nil
}

func (h *house) close() error {
	h.cancel()
	err := <-h.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, h.store.Close())
}

// accounts makes accounts with a prefix and gives their ids.
func (h *house) accounts(ctx context.Context, prefix string, n int) (ids []string, err error) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s%04d", prefix, i))
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		for _, id := range ids {
			a := &store.Account{ID: id, Provider: "p", Address: id + "@example.org", State: store.AccountReady}
			if err := tx.PutAccount(a); err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}

// endpoint makes an endpoint for some accounts.
func (h *house) endpoint(ctx context.Context, url string, accounts []string) (secret string, err error) {
	_, secret, err = h.hooks.CreateEndpoint(ctx, webhook.Create{URL: url, Accounts: accounts})
	return secret, err
}

// deliver journals an event durably, with what is owed because of it, and
// returns once the receiver has acknowledged it.
func (h *house) deliver(ctx context.Context, account string, i int) error {
	arrived := make(chan struct{})
	err := h.journal.Update(ctx, func(_ store.Tx, b *journal.Batch) error {
		e := newMail(account, i)
		if _, err := b.Add(&e); err != nil {
			return err
		}
		h.wire.waiters.Store(e.ID, arrived)
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// owe journals many events in few commits.
func (h *house) owe(ctx context.Context, accounts []string, n int) error {
	const together = 250
	for from := 0; from < n; from += together {
		err := h.journal.Update(ctx, func(_ store.Tx, b *journal.Batch) error {
			for i := from; i < min(n, from+together); i++ {
				e := newMail(accounts[i%len(accounts)], i)
				if _, err := b.Add(&e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newMail is what a message with an ordinary envelope is told as.
func newMail(account string, i int) event.Event {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	return event.Event{Type: event.MessageCreated, Account: account, Message: event.HashID("m", account, fmt.Sprint(i)), Snapshot: &event.Snapshot{
		ProviderID: "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0AgAAAAAAAAA==", Thread: event.HashID("t", account, fmt.Sprint(i/3)),
		Mailboxes: []string{event.HashID("f", account, "inbox")}, Keywords: []string{},
		Subject: "Minutes of the meeting on Thursday", From: []mail.Address{{Name: "Ada Lovelace", Email: "ada@fabrikam.example"}},
		To: []mail.Address{{Name: "Ben", Email: account + "@example.org"}}, MessageID: "<8c1b66f1@fabrikam.example>", SentAt: at, ReceivedAt: at,
		Preview: strings.Repeat("As agreed, here is what we said. ", 7), Size: 4711,
	}}
}

// wire is the HTTP carrier, and tells whoever waits for a delivery that its
// receiver has acknowledged it.
type wire struct {
	*webhook.Carrier
	waiters   sync.Map // event -> chan struct{}
	delivered atomic.Int64
	body      atomic.Pointer[[]byte]
	// goal, when it is delivered, closes reached.
	goal    atomic.Int64
	reached chan struct{}
	// first is when the first delivery since expect was acknowledged.
	first atomic.Pointer[time.Time]
}

// expect gives a channel that is closed after n more deliveries.
func (w *wire) expect(n int) <-chan struct{} {
	w.reached = make(chan struct{})
	w.first.Store(nil)
	w.goal.Store(w.delivered.Load() + int64(n))
	return w.reached
}

// Deliver implements outbox.Carrier.
func (w *wire) Deliver(ctx context.Context, e *store.Endpoint, d *store.Delivery, body []byte) outbox.Outcome {
	out := w.Carrier.Deliver(ctx, e, d, body)
	if !out.OK {
		return out
	}
	if w.body.Load() == nil {
		w.body.Store(&body)
	}
	if w.first.Load() == nil {
		now := time.Now()
		w.first.CompareAndSwap(nil, &now)
	}
	if ch, ok := w.waiters.LoadAndDelete(d.Event); ok {
		close(ch.(chan struct{}))
	}
	if w.delivered.Add(1) == w.goal.Load() {
		close(w.reached)
	}
	return out
}

// sampleBody gives the body of one delivery, for references to send.
func (b *bench) sampleBody(ctx context.Context) (body []byte, err error) {
	h, err := b.house(houseOptions{connections: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	accounts, err := h.accounts(ctx, "p", 1)
	if err != nil {
		return nil, err
	}
	secret, err := h.endpoint(ctx, b.sink.url+"/hook", nil)
	if err != nil {
		return nil, err
	}
	if err := b.sink.order(ctx, orders{Secret: secret}); err != nil {
		return nil, err
	}
	if err := h.deliver(ctx, accounts[0], 1); err != nil {
		return nil, err
	}
	return *h.wire.body.Load(), b.sink.check(ctx, 1)
}
