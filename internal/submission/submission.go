// Package submission takes messages on their way out and brings each to the
// provider exactly once.
//
// What is kept true. A submission is on disk, bytes and all, before its caller
// hears of it. Every step is noted before it is begun, so that after a crash
// it is known what may have happened: a prepared draft is found again by the
// submission's id, and a send in doubt is settled by asking the provider what
// became of the draft, never by sending again.
//
// Until a message is sent nobody sees it but its sender's submission: the
// mirror leaves out prepared drafts and copies in the outbox. The draft of a
// submission that failed or was cancelled is deleted: that is a step of its own,
// noted with the end and tried for a day; a draft that is there even then stays
// at the provider, with a word in the log. One that was given up in doubt is
// left where it is, since it may be what was sent.
//
// How it fails. What may pass is tried again for three days; what will not is
// told at once as submission.failed, with the reason in words. Who submitted by
// a mail program hears of it in the answer, while it waits for one (Take), and by
// a report to the inbox afterwards, never both.
//
// Where to start: Submit and Take, then run.go, step.go, end.go, discard.go and
// report.go; sentcopy.go and early.go for the copy in Sent.
package submission

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// Mirror is asked for the bytes of messages that are answered or forwarded,
// and told that mail was sent.
type Mirror interface {
	// Touch makes an account due at once; ctx carries the trace of why.
	Touch(ctx context.Context, account string)
	Raw(ctx context.Context, id string) (store.Blob, *store.Message, error)
	// Mark adds a keyword to a message.
	Mark(ctx context.Context, id, keyword string) error
}

// Options of a Service.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Workers is how many submissions are worked on at once, 8 by default.
	Workers int
	// GiveUp is how long a submission is tried, 72 hours by default.
	GiveUp time.Duration
	// KeyLife is how long an idempotency key stands for its submission, 24
	// hours by default. After that it may be used again.
	KeyLife time.Duration
	// MaySend judges whether an account may send from an address; nil leaves
	// that to the provider.
	MaySend func(ctx context.Context, acct *store.Account, from string) error
	// Instances names the provider instances, for Largest; nil is none.
	Instances func() []string
	// Inbox takes the reports that mail programs ask for; nil sends none.
	Inbox Inbox
	// Copies removes what a mail program stored in Sent before it sent it; nil
	// leaves it there.
	Copies Copies
	// Host is the name that reports come from, "localhost" by default.
	Host string
	// SentWait is how long Sent waits for a submission to be sent, 30 seconds by
	// default.
	SentWait time.Duration
	// Grace is how long Run lets what is under way finish, 3 seconds by default.
	Grace time.Duration
}

// Service is the submissions.
type Service struct {
	store     store.Store
	journal   *journal.Journal
	providers Providers
	mirror    Mirror
	opts      Options
	log       *slog.Logger
	wake      chan struct{}
	metrics   *metrics
	// bytes is held for reading while a submission is on its way into the
	// store, and for writing while bytes are deleted.
	bytes    sync.RWMutex
	waiting  waiting
	verdicts verdicts
}

// New makes a Service. Run must be called for anything to leave.
func New(s store.Store, j *journal.Journal, p Providers, m Mirror, opts Options) *Service {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Workers == 0 {
		opts.Workers = 8
	}
	if opts.GiveUp == 0 {
		opts.GiveUp = 72 * time.Hour
	}
	if opts.KeyLife == 0 {
		opts.KeyLife = 24 * time.Hour
	}
	if opts.Host == "" {
		opts.Host = "localhost"
	}
	if opts.SentWait == 0 {
		opts.SentWait = 30 * time.Second
	}
	if opts.Grace == 0 {
		opts.Grace = 3 * time.Second
	}
	return &Service{store: s, journal: j, providers: p, mirror: m, opts: opts, log: opts.Log, wake: make(chan struct{}, 1),
		metrics: newMetrics(opts.Registerer)}
}

func (s *Service) now() time.Time { return s.opts.Now().UTC() }

// maxAhead is how far ahead a message can be scheduled: what is further is a
// slip, and its bytes would be kept for good.
const maxAhead = 366 * 24 * time.Hour

// Input describes a message to send: either Raw, or the parts of which it is
// composed.
type Input struct {
	Account string
	Message
	// Raw is a whole message (RFC 5322); its Bcc field is taken out.
	Raw []byte
	// SendAt is when to send; zero and what is past are now. It is at most
	// maxAhead from now.
	SendAt time.Time
	// IdempotencyKey makes a repeated Submit give the first submission.
	IdempotencyKey string
}

// Submit stores a message to be sent and gives the submission.
func (s *Service) Submit(ctx context.Context, in Input) (*store.Submission, error) {
	acct, info, err := s.account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	k := keyed{account: in.Account, key: in.IdempotencyKey, print: fingerprint(&in)}
	var old *store.Submission
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		old, err = s.byKey(tx, k)
		return err
	})
	if err != nil || old != nil {
		return old, err
	}
	if in.SendAt.After(s.now().Add(maxAhead)) {
		return nil, mail.Errorf(mail.KindInvalid, "submit message", "sendAt is more than %d days ahead", maxAhead/(24*time.Hour))
	}
	sub, raw, err := s.compose(ctx, acct, in)
	if err != nil {
		return nil, err
	}
	if err := fits(info, int64(len(raw))); err != nil {
		return nil, err
	}
	out, err := s.accept(ctx, k, sub, in.SendAt, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	s.nudge()
	return out, nil
}

// fits refuses what the provider would not take.
func fits(info *provider.Info, size int64) error {
	if limit := info.Limits.MaxMessageBytes; limit > 0 && size > limit {
		return mail.Errorf(mail.KindTooLarge, "submit message", "the message has %d bytes, the provider takes %d", size, limit)
	}
	return nil
}

// accept puts bytes and submission into the store, or gives the one that was
// faster with the same key.
func (s *Service) accept(ctx context.Context, k keyed, sub *store.Submission, sendAt time.Time, raw io.Reader) (*store.Submission, error) {
	sub.Account, sub.IdempotencyKey, sub.Fingerprint = k.account, k.key, k.print
	out, err := s.put(ctx, k, sub, sendAt, raw)
	if out != sub && sub.Blob != "" {
		s.dropBytes(ctx, sub) // nobody will send them, unless others have the same
	}
	return out, err
}

func (s *Service) put(ctx context.Context, k keyed, sub *store.Submission, sendAt time.Time, raw io.Reader) (out *store.Submission, err error) {
	s.bytes.RLock()
	defer s.bytes.RUnlock()
	// The bytes are ours alone until the provider has them: on disk first.
	ref, err := s.store.Blobs().Put(ctx, sub.Account, raw, true)
	if err != nil {
		return nil, err
	}
	now := s.now()
	sub.Blob, sub.Size = ref.Digest, ref.Size
	sub.SendAt, sub.NextAt, sub.CreatedAt = sendAt.UTC(), now, now
	sub.State = store.SubmissionSending
	if sendAt.After(now) {
		sub.State, sub.NextAt = store.SubmissionScheduled, sendAt.UTC()
	}
	s.waiting.add(sub)
	err = s.store.Update(ctx, func(tx store.Tx) error {
		out = sub
		old, err := s.byKey(tx, k)
		if err != nil {
			return err
		}
		if old != nil {
			out = old // another call with the same key was faster
			return nil
		}
		return tx.PutSubmission(sub)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) account(ctx context.Context, id string) (*store.Account, *provider.Info, error) {
	var a *store.Account
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		a, err = tx.Account(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, &mail.Error{Kind: mail.KindNotFound, Op: "submit message", Message: "no such account", Err: err}
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := s.providers.Info(a.Provider)
	if err == nil && !info.Has(provider.CapSend) {
		err = mail.Errorf(mail.KindInvalid, "submit message", "the account's provider cannot send")
	}
	return a, info, err
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
