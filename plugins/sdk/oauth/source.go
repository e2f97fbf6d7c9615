package oauth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/session"
)

const (
	// opRenew is what a Source does, for errors.
	opRenew = "renew access token"
	// refreshTime bounds one renewal, storing the new grant included.
	refreshTime = 90 * time.Second
	// minRenewal is how soon a token that was renewed because the provider
	// refused it is renewed again for that reason: a provider that refuses every
	// token must not make us ask for one at every call.
	minRenewal = 30 * time.Second
)

// Options of a Source. All are needed.
type Options[G any] struct {
	// Account is the core's id of the account.
	Account string
	Now     func() time.Time
	Log     func() *slog.Logger
	Host    *session.Host
	Calls   *session.Calls
	// Settings tells the settings in force, by anything that can be compared: a
	// failure is forgotten when they change.
	Settings func() any
	// Bytes encodes a grant.
	Bytes func(G) ([]byte, error)
	// Renew asks the provider. It ends with *mail.Error.
	Renew func(ctx context.Context, r *Renewal[G]) (Token, error)
}

// Token is an access token and until when to use it.
type Token struct {
	Access string
	Usable time.Time
}

// Renewal is one attempt to renew.
type Renewal[G any] struct {
	Grant G
	// Settings are those of Options.Settings when the renewal began.
	Settings any
	// Generation grows with every grant from outside, so that a count of
	// failures can begin anew.
	Generation int

	save func(context.Context, G) error
}

// Save stores a grant at the host. Only then may what came with it be used.
func (r *Renewal[G]) Save(ctx context.Context, g G) error { return r.save(ctx, g) }

// Source gives the access tokens of one account.
type Source[G any] struct {
	o Options[G]

	mu         sync.Mutex
	grant      G
	generation int
	// unsaved is a grant that the host has not stored yet. Until it has,
	// nothing that came with it is used.
	unsaved  *G
	token    Token
	renewed  time.Time // when the provider last refused one
	flight   *flight
	refusal  refusal
	failures int
	told     mail.Kind // the refusal that the host knows of
}

// flight is one renewal and those who wait for it.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

// refusal is a failure that is still good: until its time has come, or the
// settings have changed, nobody asks again.
type refusal struct {
	err      *mail.Error
	until    time.Time
	settings any
}

// NewSource makes a Source of a grant.
func NewSource[G any](o Options[G], g G) *Source[G] { return &Source[G]{o: o, grant: g} }

// Token gives the current token, renewing it where it has expired.
func (t *Source[G]) Token(ctx context.Context) (string, error) { return t.get(ctx, "") }

// Renew gives a token other than the refused one. Whoever comes late finds
// that it was renewed already.
func (t *Source[G]) Renew(ctx context.Context, refused string) (string, error) {
	return t.get(ctx, refused)
}

// Grant gives the grant in use.
func (t *Source[G]) Grant() G {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grant
}

func (t *Source[G]) get(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	now := t.o.Now()
	if t.token.Access != "" && t.token.Access == refused && now.Sub(t.renewed).Abs() >= minRenewal {
		t.token, t.renewed = Token{}, now
	}
	if t.token.Access != "" && now.Before(t.token.Usable) {
		defer t.mu.Unlock()
		return t.token.Access, nil
	}
	settings := t.o.Settings()
	if r := t.refusal; r.err != nil && r.settings == settings && now.Before(r.until) {
		defer t.mu.Unlock()
		return "", r.again(now)
	}
	f := t.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		t.flight = f
		go t.fly(f, settings)
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return "", &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Message: "the call was cancelled", Err: ctx.Err()}
	}
}

func (r refusal) again(now time.Time) error {
	e := *r.err
	if e.Kind == mail.KindUnavailable {
		e.RetryAfter = r.until.Sub(now)
	}
	return &e
}

// fly renews once. It does not end with the call that began it, for others
// wait too, and a rotated refresh token must not get lost.
func (t *Source[G]) fly(f *flight, settings any) {
	ctx, done := t.o.Calls.Add(context.Background())
	defer done()
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()

	t.mu.Lock()
	generation := t.generation
	t.mu.Unlock()
	token, err := t.renew(ctx, settings)

	t.mu.Lock()
	t.flight = nil
	f.token, f.err = token.Access, err
	var tell *mail.Error
	switch {
	case t.generation != generation:
		// Whatever was found out concerns the grant of before.
	case err == nil:
		t.token = token
		t.refusal, t.failures, t.told = refusal{}, 0, ""
	default:
		tell = t.remember(err, settings)
	}
	t.mu.Unlock()
	close(f.done)

	if tell != nil {
		if host, err := t.o.Host.Get(ctx); err == nil {
			if err := host.GrantRefused(ctx, t.o.Account, tell); err != nil {
				t.o.Log().Warn("host did not take the refusal of a grant", "account", t.o.Account, "err", err)
			}
		}
	}
}

// remember keeps a failure and says how long it is good. It gives what the
// host must be told, once for each kind.
func (t *Source[G]) remember(err error, settings any) *mail.Error {
	var e *mail.Error
	if !errors.As(err, &e) {
		e = &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Message: "the token could not be renewed", Err: err}
	}
	t.failures++
	wait := max(e.RetryAfter, time.Second<<min(t.failures-1, 6))
	switch e.Kind {
	case mail.KindGrantExpired:
		// Rarely, an administrator makes a dead grant live again.
		wait = 5 * time.Minute
	case mail.KindMisconfigured:
		wait = time.Minute
	}
	t.refusal = refusal{err: e, until: t.o.Now().Add(wait), settings: settings}
	if (e.Kind == mail.KindGrantExpired || e.Kind == mail.KindMisconfigured) && t.told != e.Kind {
		t.told = e.Kind
		return e
	}
	return nil
}

// renew asks the provider, with the grant that is safe at the host.
func (t *Source[G]) renew(ctx context.Context, settings any) (Token, error) {
	t.mu.Lock()
	g, generation, unsaved := t.grant, t.generation, t.unsaved
	t.mu.Unlock()
	if unsaved != nil {
		// The last renewal got this far: its refresh token may be the only
		// one that still works.
		if err := t.save(ctx, *unsaved, generation); err != nil {
			return Token{}, err
		}
		g = *unsaved
	}
	return t.o.Renew(ctx, &Renewal[G]{Grant: g, Settings: settings, Generation: generation,
		save: func(ctx context.Context, g G) error { return t.save(ctx, g, generation) }})
}

// save hands a grant to the host. It is kept until the host has it, and
// dropped when another grant came from outside meanwhile, which the host then
// keeps.
func (t *Source[G]) save(ctx context.Context, g G, generation int) error {
	t.mu.Lock()
	if t.generation != generation {
		t.mu.Unlock()
		return errReplaced()
	}
	t.unsaved = &g
	t.mu.Unlock()

	err := t.store(ctx, g)
	for {
		t.mu.Lock()
		if t.generation == generation {
			if err == nil {
				t.grant, t.unsaved = g, nil
			}
			t.mu.Unlock()
			return err
		}
		// The host was given another grant meanwhile, and may have this one in
		// its place now: it shall keep the newer one.
		newest, at := t.grant, t.generation
		t.mu.Unlock()
		if err := t.store(ctx, newest); err != nil {
			return err
		}
		t.mu.Lock()
		settled := t.generation == at
		t.mu.Unlock()
		if settled {
			return errReplaced()
		}
	}
}

func errReplaced() error {
	return &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Code: "grant_replaced", Message: "the grant was replaced meanwhile"}
}

// store has the host store a grant.
func (t *Source[G]) store(ctx context.Context, g G) error {
	data, err := t.o.Bytes(g)
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: opRenew, Message: "encode grant"}
	}
	host, err := t.o.Host.Get(ctx)
	if err == nil {
		err = host.SaveGrant(ctx, t.o.Account, data)
	}
	if err != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Code: "grant_not_stored", Message: "the new grant could not be stored", Err: err}
	}
	return nil
}

// Replace takes a grant from outside: the owner has connected again. Opened
// with what is in use, it keeps its token.
func (t *Source[G]) Replace(g G) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.same(t.grant, g) {
		return
	}
	t.generation++
	t.grant, t.unsaved = g, nil
	t.token = Token{}
	t.refusal, t.failures, t.told = refusal{}, 0, ""
}

func (t *Source[G]) same(a, b G) bool {
	dataA, errA := t.o.Bytes(a)
	dataB, errB := t.o.Bytes(b)
	return errA == nil && errB == nil && string(dataA) == string(dataB)
}

// Close forgets the access token. A renewal under way goes on: its new refresh
// token must reach the host.
func (t *Source[G]) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = Token{}
}
