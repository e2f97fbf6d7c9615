package providertest_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// loose is a host between provider and suite.
type loose struct {
	provider.Host
	save   func(ctx context.Context, account string, grant []byte) error
	refuse func(ctx context.Context, account string, reason error) error
}

func (l *loose) SaveGrant(ctx context.Context, account string, grant []byte) error {
	return or(l.save, l.save != nil, l.Host.SaveGrant)(ctx, account, grant)
}

func (l *loose) GrantRefused(ctx context.Context, account string, reason error) error {
	return or(l.refuse, l.refuse != nil, l.Host.GrantRefused)(ctx, account, reason)
}

// hosted puts a loose host before the suite's.
func hosted(change func(l *loose, host provider.Host)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.session = func(ctx context.Context, host provider.Host) error {
			l := &loose{Host: host}
			change(l, host)
			return whole.Session(ctx, l)
		}
	}
}

func brokenLife() []broken {
	return []broken{
		{name: "ignores cancellation", caught: "cancel/before",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					return whole.Mailboxes(context.WithoutCancel(ctx), req)
				}
			}},
		{name: "ignores deadlines", caught: "cancel/deadline",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.delete = func(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
					return whole.Delete(context.WithoutCancel(ctx), req)
				}
			}},
		{name: "fetches on for nobody", caught: "cancel/fetch",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.fetch = func(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
					return whole.Fetch(context.WithoutCancel(ctx), req, sink)
				}
			}},
		{name: "lists on for nobody", caught: "cancel/enumerate",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.enumerate = func(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
					return whole.Enumerate(context.WithoutCancel(ctx), req, each)
				}
			}},
		{name: "hangs in its feed", caught: "cancel/changes",
			spoil: func(life context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					err := whole.Changes(ctx, req, each)
					if ctx.Err() != nil {
						<-life.Done()
					}
					return err
				}
			}},
		{name: "listens for ever", caught: "cancel/listen",
			spoil: func(life context.Context, b *bent, whole *memory.Provider) {
				b.listen = func(_ context.Context, req *provider.ListenRequest, each func(*provider.Hint) error) error {
					return whole.Listen(life, req, each)
				}
			}},
		{name: "outlives its session", caught: "session/ends",
			spoil: func(life context.Context, b *bent, whole *memory.Provider) {
				b.session = func(_ context.Context, host provider.Host) error { return whole.Session(life, host) }
			}},
		{name: "serves one call at a time and refuses the rest", caught: "concurrency/calls",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var inside atomic.Int32
				second := make(chan struct{}, 1)
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					defer inside.Add(-1)
					if inside.Add(1) > 1 {
						select {
						case second <- struct{}{}:
						default:
						}
						return nil, mail.Errorf(mail.KindThrottled, "mailboxes", "one at a time")
					}
					select { // stay until another one came, if one comes
					case <-second:
					case <-time.After(200 * time.Millisecond):
					}
					return whole.Mailboxes(ctx, req)
				}
			}},
		{name: "closes an account under another's hands", caught: "concurrency/open-close",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.close = func(ctx context.Context, _ *provider.CloseRequest) error {
					return whole.Close(ctx, &provider.CloseRequest{Account: "account-1"})
				}
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					resp, err := whole.Mailboxes(ctx, req)
					for n := 0; err == nil && n < 20; n++ {
						select {
						case <-time.After(time.Millisecond):
						case <-ctx.Done():
						}
						resp, err = whole.Mailboxes(ctx, req)
					}
					return resp, err
				}
			}},
		{name: "asks for a token in every call", caught: "token/coalesced",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var mu sync.Mutex // one after the other, or they would share
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					mu.Lock()
					defer mu.Unlock()
					if err := whole.Cloud().ExpireTokens(ann); err != nil {
						return nil, err
					}
					return whole.Mailboxes(ctx, req)
				}
			}},
		{name: "leaves an expired token to the caller", caught: "token/expired",
			spoil: hosted(func(l *loose, _ provider.Host) {
				l.save = func(context.Context, string, []byte) error {
					return mail.Errorf(mail.KindUnauthorized, "refresh token", "expired")
				}
			})},
		{name: "saves something else", caught: "grant/saved",
			spoil: hosted(func(l *loose, host provider.Host) {
				l.save = func(ctx context.Context, account string, _ []byte) error {
					return host.SaveGrant(ctx, account, []byte("the grant"))
				}
			})},
		{name: "does not wait until the grant is saved", caught: "grant/saved-first",
			spoil: hosted(func(l *loose, host provider.Host) {
				l.save = func(ctx context.Context, account string, grant []byte) error {
					_ = host.SaveGrant(ctx, account, grant)
					return nil
				}
			})},
		{name: "keeps using what was given back", caught: "grant/give-back",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					resp, err := whole.Mailboxes(ctx, req)
					if mail.KindOf(err) == mail.KindGrantExpired {
						return &provider.MailboxesResponse{}, nil
					}
					return resp, err
				}
			}},
		{name: "keeps a dead grant to itself", caught: "grant/revoked",
			spoil: hosted(func(l *loose, _ provider.Host) {
				l.refuse = func(context.Context, string, error) error { return nil }
			})},
		{name: "waits for ever where it is throttled", caught: "faults/throttled",
			spoil: func(life context.Context, b *bent, whole *memory.Provider) {
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					resp, err := whole.Mailboxes(ctx, req)
					if mail.KindOf(err) == mail.KindThrottled {
						<-life.Done()
					}
					return resp, err
				}
			}},
		{name: "blames the grant for a network fault", caught: "faults/unavailable",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
					resp, err := whole.Mailboxes(ctx, req)
					if mail.KindOf(err) == mail.KindUnavailable {
						err = mail.Errorf(mail.KindGrantExpired, "mailboxes", "%v", err)
					}
					return resp, err
				}
			}},
	}
}
