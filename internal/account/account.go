// Package account connects accounts, keeps their grants and push channels,
// and ends them.
//
// What is kept true. A link is good once and for a while; what the provider
// brings back is accepted only with the state that we gave out, only once. A
// new grant is on disk before the plugin uses it. A grant that the provider
// refuses stops the account and is told once; connecting again goes on where
// it stopped. A provider that is misconfigured is the operator's trouble and
// never asks an owner to connect again.
//
// Where to start: connect.go for the way in, watch.go for push.
package account

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// Mirror is what must know that accounts come, change and go.
type Mirror interface {
	// Touch makes an account due at once; ctx carries the trace of why.
	Touch(ctx context.Context, account string)
	// Hinted makes it due because push told of a change.
	Hinted(ctx context.Context, account string)
	// Anew makes an account due at once, whatever it failed by before.
	Anew(account string)
	Forget(account string)
}

// Options of a Service.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// PublicURL is the base of redirect and link URLs.
	PublicURL *url.URL
	// Push reports whether the provider of an instance can reach PublicURL, so
	// that push channels make sense; nil is never.
	Push func(instance string) bool
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// LinkLife is how long a link is good, 1 hour by default.
	LinkLife time.Duration
}

// Service is the accounts.
type Service struct {
	store     store.Store
	journal   *journal.Journal
	providers Providers
	mirror    Mirror
	opts      Options
	log       *slog.Logger
	watches   *watches
	faults    *faults
	listeners *listeners
	senders   *senders
	// started has the instances whose plugin has (again) begun to serve.
	started chan string
	// hinted has what push told of, for noting when.
	hinted chan hinted
	// refreshes counts new grant bytes: a provider's tokens were refreshed.
	refreshes *prometheus.CounterVec
	refused   *prometheus.CounterVec
}

// New makes a Service. The mirror is given by SetMirror, since each needs the
// other.
func New(s store.Store, j *journal.Journal, p Providers, opts Options) *Service {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Push == nil {
		opts.Push = func(string) bool { return false }
	}
	if opts.LinkLife == 0 {
		opts.LinkLife = time.Hour
	}
	svc := &Service{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_token_refreshes_total", Help: "Grants that a provider renewed."}, []string{"provider"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_grants_refused_total", Help: "Grants that a provider refused, by kind of error."}, []string{"kind"}),
		faults: newFaults(), store: s, journal: j, providers: p, opts: opts, log: opts.Log, watches: newWatches(opts.Now), listeners: newListeners(), senders: newSenders(), started: make(chan string, 64), hinted: make(chan hinted, 1024),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(svc.refreshes, svc.refused, svc.faults.gauge)
	}
	return svc
}

// SetMirror tells whom to tell of accounts. It must be called before Run.
func (s *Service) SetMirror(m Mirror) { s.mirror = m }

func (s *Service) now() time.Time { return s.opts.Now().UTC() }

// ID is the account's id: the same after reconnecting.
func ID(providerName, subject, address string) string {
	return event.HashID("a", providerName, subject, strings.ToLower(address))
}

// get reads an account.
func (s *Service) get(ctx context.Context, id string) (a *store.Account, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		a, err = tx.Account(id)
		return err
	})
	return a, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &mail.Error{Kind: mail.KindNotFound, Op: "look up", Message: "no such account", Err: err}
	}
	return err
}

// Update is what UpdateAccount changes; nil leaves as it is.
type Update struct {
	Mirror     *store.MirrorMode
	Paused     *bool
	ExternalID *string
}

// Update changes an account's settings.
func (s *Service) Update(ctx context.Context, id string, u Update) (a *store.Account, err error) {
	if u.Mirror != nil {
		switch *u.Mirror {
		case store.MirrorMetadata, store.MirrorRecent, store.MirrorFull:
		default:
			return nil, mail.Errorf(mail.KindInvalid, "update account", "unknown mirror mode %q", *u.Mirror)
		}
	}
	resumed := false
	err = s.store.Update(ctx, func(tx store.Tx) error {
		a, err = tx.Account(id)
		if err != nil {
			return err
		}
		resumed = a.Paused && u.Paused != nil && !*u.Paused
		if u.Mirror != nil {
			a.Mirror = *u.Mirror
		}
		if u.ExternalID != nil {
			a.ExternalID = *u.ExternalID
		}
		if u.Paused != nil && *u.Paused != a.Paused {
			a.Paused = *u.Paused
			switch {
			case a.Paused && a.State != store.AccountGrantExpired:
				a.State = store.AccountPaused
			case a.State == store.AccountPaused && a.SyncedAt.IsZero():
				a.State = store.AccountSyncing
			case a.State == store.AccountPaused:
				a.State = store.AccountReady
			}
		}
		return tx.PutAccount(a)
	})
	if err != nil {
		return nil, notFound(err)
	}
	if a.Paused {
		s.faults.leave(id)
	}
	if resumed {
		s.watches.due(id) // its push channel ran out while it was paused
	}
	s.mirror.Touch(ctx, id)
	return a, nil
}
