// Package webhook tells the outside what happened, by signed HTTP requests to
// the endpoints that asked for it.
//
// What is kept true.
//
//   - What an endpoint is owed is written in the transaction that journals the
//     event (Owe). The body is fixed there, once for each event and rendition:
//     every attempt, redelivery and replay sends the same bytes with the same
//     webhook-id.
//   - Every request is signed with every active key of its endpoint: by Standard
//     Webhooks (webhook-signature), and with secrets also in the manner of Stripe
//     (Postern-Signature). A key that was rotated out signs for a while longer.
//     Private keys and the owner's headers leave the sealed record only to sign
//     and to be sent.
//   - No connection is made to an address, a port or by a scheme that the guard
//     refuses. It looks at the address that the kernel is about to connect to,
//     after the name was resolved, so that what a name resolves to next changes
//     nothing, and again before anything is written once its rules have changed.
//   - An attempt has a budget of time and bytes for each of its parts,
//     whatever the receiver does. Redirects are not followed.
//   - What is told of an endpoint (failing, disabled, recovered, dead letters) is
//     journalled in the transaction of the change, and never owed to itself.
//
// How it fails. Bad settings of an endpoint are *mail.Error of kind invalid
// and change nothing. What happens to an attempt is an outbox.Outcome; package
// outbox decides what follows.
//
// Where to start: Owe for how deliveries come to be, Carrier.Deliver for how
// they leave, Guard for where they may go, sign for what proves where they
// come from.
package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Queue hears of what was committed. It is an *outbox.Outbox.
type Queue interface {
	Notice(lanes []store.Lane)
	Hand(list []outbox.Handed)
	Refresh(endpoint string)
	TryNow(endpoint string)
	Forget(endpoint string)
}

// Content gives what a full payload carries beside the thin one. It reads what
// is at hand and fetches nothing.
type Content interface {
	Full(tx store.Tx, message string) (full Full, ok bool)
}

// Full is the content of a message.
type Full struct {
	Headers []mail.Header
	Text    string
	HTML    string
	// Truncated: there is more than stands here.
	Truncated bool
}

// Options are settings with defaults; the zero value works.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// Bus is woken by events that this package journals itself.
	Bus *event.Bus
	// Overlap is how long a key signs after it was rotated out (DefaultOverlap).
	Overlap time.Duration
	// Content serves full payloads; without one they are thin, and say so.
	Content Content
	// Probe makes one attempt, for endpoints that are to be verified before they
	// are made. It is Carrier.Deliver.
	Probe func(context.Context, *store.Endpoint, *store.Delivery, []byte) outbox.Outcome
	// Link gives the address where the rest of a truncated message is read.
	Link func(message string) string
}

// Service keeps endpoints and knows what each is owed.
type Service struct {
	store store.Store
	queue Queue
	guard *Guard
	opts  Options

	// The endpoints as of some commit. edition grows with every commit that
	// changes one, so that what was read before it is not kept.
	mu      sync.Mutex
	cached  []*target
	valid   bool
	edition uint64
}

// New makes the service. guard says which addresses endpoints may have.
func New(s store.Store, q Queue, guard *Guard, opts Options) *Service {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Bus == nil {
		opts.Bus = &event.Bus{}
	}
	if opts.Overlap == 0 {
		opts.Overlap = DefaultOverlap
	}
	if opts.Link == nil {
		opts.Link = func(string) string { return "" }
	}
	return &Service{store: s, queue: q, guard: guard, opts: opts}
}

// target is an endpoint as Owe needs it.
type target struct {
	id      string
	ordered bool
	config  *config
}

// targets gives the endpoints, from memory where possible. What a transaction
// reads is kept only once it is committed and nobody has changed an endpoint
// meanwhile.
func (s *Service) targets(tx store.Tx) ([]*target, error) {
	s.mu.Lock()
	cached, valid, edition := s.cached, s.valid, s.edition
	s.mu.Unlock()
	if valid {
		return cached, nil
	}
	records, err := tx.Endpoints()
	if err != nil {
		return nil, err
	}
	list := make([]*target, 0, len(records))
	for _, r := range records {
		c, err := decodeConfig(r.Config)
		if err != nil {
			// It must not keep the mirror from going on.
			s.opts.Log.Error("endpoint is damaged and owed nothing", "endpoint", r.ID, "error", err)
			continue
		}
		list = append(list, &target{id: r.ID, ordered: r.Ordered, config: c})
	}
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.edition == edition {
			s.cached, s.valid = list, true
		}
	})
	return list, nil
}

// changed forgets the endpoints in memory, once tx is committed.
func (s *Service) changed(tx store.Tx, op, id string, then func(id string)) {
	tx.AfterCommit(func() {
		s.mu.Lock()
		s.edition++
		s.valid = false
		s.mu.Unlock()
		then(id)
		s.opts.Log.Info("endpoint changed", "op", op, "endpoint", id)
	})
}

// EndpointChanged journals what the outbox tells of an endpoint. It is
// outbox.Options.OnChange. The endpoint itself is never told: it is the one
// that would not hear.
func (s *Service) EndpointChanged(tx store.Tx, e *store.Endpoint, c outbox.Change) error {
	told := event.Event{Endpoint: e.ID, Reason: e.Reason}
	switch c.Kind {
	case outbox.ChangeFailing:
		told.Type, told.Percent = event.EndpointFailing, c.Percent
	case outbox.ChangeDisabled:
		told.Type, told.Percent = event.EndpointDisabled, 100
	case outbox.ChangeRecovered:
		told.Type = event.EndpointRecovered
	case outbox.ChangeDead:
		told.Type, told.DeadLetters = event.EndpointDeadLetters, c.Dead
	default:
		return fmt.Errorf("there is no event for an endpoint that is %q", c.Kind)
	}
	_, err := s.journal(tx, told)
	return err
}

// journal appends an event of our own, and what is owed because of it.
func (s *Service) journal(tx store.Tx, e event.Event) (event.Event, error) {
	e.Time = s.opts.Now().UTC()
	if err := tx.AppendEvent(&e); err != nil {
		return e, err
	}
	events := []event.Event{e}
	if err := s.Owe(tx, events); err != nil {
		return e, err
	}
	tx.AfterCommit(func() { s.opts.Bus.Publish(events) })
	return e, nil
}
