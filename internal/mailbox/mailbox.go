// Package mailbox keeps the mirror of every account's mail: it reads the
// providers' change feeds, writes changes through to the providers, and
// brings the bytes of messages when they are asked for.
//
// What is kept true. The mirror, the sync cursor that led to it and the
// events that tell of it are written in one transaction, so a crash anywhere
// repeats at worst what changes nothing. A message is told deleted only after
// every feed of the account was asked again and the provider itself no longer
// knows the message. Our own writes win over answers that the provider began
// before them. Push is a hint: only a feed says what happened. What is derived of
// a message's bytes is written with them, and neither bytes nor a size that were
// told under a UID change under it.
//
// How it fails. Errors are *mail.Error and carry the provider's kind. A round
// that fails half way keeps what it stored; the next one goes on from there.
//
// Where to start: Service and its Round (round.go), then feed.go and apply.go;
// for bytes Hydrate (hydrate.go), landing.go and fill.go.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Providers gives the plugin that serves a provider instance.
type Providers interface {
	Provider(instance string) (provider.Provider, error)
	Info(instance string) (*provider.Info, error)
}

// GrantErrors is told whether a provider takes an account's grant.
type GrantErrors interface {
	GrantRefused(ctx context.Context, account string, reason error)
	// GrantWorks tells that an account's provider answered everything: it takes
	// the grant. It is called often and must be cheap.
	GrantWorks(ctx context.Context, instance, account string)
}

// Options of a Service; the zero value works but for what New demands.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Tracer makes the spans of rounds; nil makes none.
	Tracer trace.Tracer
	// WantContent reports whether somebody wants the content of an account's
	// new messages with their events (At); nil is never.
	WantContent func(ctx context.Context, account string) bool
	// WantBodies reports whether the bytes of all of an account's messages are to
	// be brought ahead, whatever its mirror mode says: mail programs will ask for
	// them. nil is never. Touch tells that the answer may be another.
	WantBodies func(ctx context.Context, account string) bool
	// PutExtract keeps the text of a message for search, in the transaction that
	// keeps its bytes; nil keeps it as store.DerivedText and does no more. A nil
	// extract says that the message changed, and its text is not known any more.
	PutExtract func(tx store.Tx, account, message string, extract []byte) error
	// Text looks through those texts; without it searches see metadata alone.
	Text TextSearcher
	// Hydrated is told of each message whose bytes, and what is derived from them,
	// were kept: its Size is exact from now on. It must not block.
	Hydrated func(m *store.Message)
	// Hold says why nothing may be pulled now, for want of disk space say; nil
	// is never. Service.TouchAll tells that it may again.
	Hold func() error
	// Workers is how many accounts are synced at once, 8 by default; Feeds is
	// how many feeds of one account, 3 by default.
	Workers, Feeds int
	// Turn is how long a round goes on while its feeds have more to tell, 10 s
	// by default. Then its worker serves the accounts that wait, and the round
	// goes on behind them.
	Turn time.Duration
	// PollWatched, Poll and PollListened are how often an account is asked:
	// with a healthy push channel (10 min), without one (30 s), and while
	// somebody listens to it (10 s).
	PollWatched, Poll, PollListened time.Duration
	// FeedLag is how far a feed may lag behind the messages themselves: 1 min.
	// Within it, a feed that contradicts what we wrote, or what a message itself
	// has told, is checked by asking for the message.
	FeedLag time.Duration
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Feeds == 0 {
		o.Feeds = 3
	}
	if o.Turn == 0 {
		o.Turn = 10 * time.Second
	}
	if o.PollWatched == 0 {
		o.PollWatched = 10 * time.Minute
	}
	if o.Poll == 0 {
		o.Poll = 30 * time.Second
	}
	if o.PollListened == 0 {
		o.PollListened = 10 * time.Second
	}
	if o.FeedLag == 0 {
		o.FeedLag = time.Minute
	}
}

// Service is the mirror of all accounts.
type Service struct {
	store      store.Store
	journal    *journal.Journal
	providers  Providers
	grants     GrantErrors
	opts       Options
	log        *slog.Logger
	metrics    *metrics
	schedule   *schedule
	landings   landings
	flights    flights
	fill       *fill
	ahead      ahead
	purges     purges
	underway   underway
	pauses     pauses
	appends    openAppends
	unreadable unreadables
	started    time.Time
	// looked is maxLooked, and less in tests.
	looked int
	// listing is held from asking for an account's mailboxes until the answer
	// is written, and from changing one until that is: a list that was made
	// before a change must not be written after it.
	listing locks
}

// New makes a Service. Run must be called for it to sync.
func New(s store.Store, j *journal.Journal, p Providers, g GrantErrors, opts Options) *Service {
	opts.setDefaults()
	svc := &Service{
		store: s, journal: j, providers: p, grants: g, opts: opts, log: opts.Log,
		metrics:  newMetrics(opts.Registerer),
		schedule: newSchedule(opts.Now), fill: newFill(opts.Now), started: opts.Now().UTC(), looked: maxLooked,
	}
	svc.schedule.listened = opts.PollListened
	return svc
}

// MessageID is our id of a provider's message.
func MessageID(account, providerID string) string { return event.HashID("m", account, providerID) }

// ID is our id of a provider's mailbox.
func ID(account, providerID string) string { return event.HashID("f", account, providerID) }

func threadID(account string, m *mail.Message) string {
	if m.ProviderThreadID == "" {
		return event.HashID("t", account, "message", m.ProviderID)
	}
	return event.HashID("t", account, m.ProviderThreadID)
}

func (s *Service) now() time.Time { return s.opts.Now().UTC() }

// account reads an account's record.
func (s *Service) account(ctx context.Context, id string) (*store.Account, error) {
	var a *store.Account
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		a, err = tx.Account(id)
		return err
	})
	return a, notFound(err, "account")
}

// plug gives the plugin of an account and what it says of itself.
func (s *Service) plug(a *store.Account) (provider.Provider, *provider.Info, error) {
	p, err := s.providers.Provider(a.Provider)
	if err != nil {
		return nil, nil, err
	}
	info, err := s.providers.Info(a.Provider)
	return p, info, err
}

func notFound(err error, what string) error {
	if errors.Is(err, store.ErrNotFound) {
		return &mail.Error{Kind: mail.KindNotFound, Op: "look up", Message: fmt.Sprintf("no such %s", what), Err: err}
	}
	return err
}
