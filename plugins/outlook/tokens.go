package outlook

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const (
	// refreshTime bounds one renewal, storing the new grant included.
	refreshTime = 90 * time.Second
	// maxMargin is how long before its end a token is renewed; tokens of a
	// short life are used for four fifths of it. (The library itself renews
	// at every call what lives for five minutes or less.)
	maxMargin = 5 * time.Minute
	// minRenewal is how soon a token that was renewed because Graph refused it
	// is renewed again for that reason: a Graph that refuses every token must
	// not make us ask for one at every call (AADSTS50196).
	minRenewal = 30 * time.Second
	// blipsAllowed is how often in a row AADSTS70000 is taken for a passing
	// fault: the same refresh token has worked again after it.
	blipsAllowed = 3
)

// tokens gives the access tokens of one account. The library does not
// coalesce renewals (fifty calls on an expired token make fifty requests,
// which rotation turns into forty-nine refusals), and mixes accounts up when
// they share a client under load. So there is one client and one cache blob
// per account here, and one flight at a time.
type tokens struct {
	p       *Provider
	account string

	mu         sync.Mutex
	grant      *grant
	generation int // grows with every grant from outside
	// unsaved is a grant that the host has not stored yet. Until it has,
	// nothing that came with it is used.
	unsaved  *grant
	access   string
	usable   time.Time // until when
	renewed  time.Time // when Graph last refused one
	flight   *flight
	refusal  refusal
	blips    int
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
	err   *mail.Error
	until time.Time
	conf  *config
}

func newTokens(p *Provider, account string, g *grant) *tokens {
	return &tokens{p: p, account: account, grant: g}
}

// Token gives the current token, renewing it where it has expired.
func (t *tokens) Token(ctx context.Context) (string, error) { return t.get(ctx, "") }

// Renew gives a token other than the refused one. Whoever comes late finds
// that it was renewed already.
func (t *tokens) Renew(ctx context.Context, refused string) (string, error) {
	return t.get(ctx, refused)
}

func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	now := t.p.now()
	if t.access != "" && t.access == refused && now.Sub(t.renewed).Abs() >= minRenewal {
		t.access, t.renewed = "", now
	}
	if t.access != "" && now.Before(t.usable) {
		defer t.mu.Unlock()
		return t.access, nil
	}
	conf := t.p.conf.Load()
	if r := t.refusal; r.err != nil && r.conf == conf && now.Before(r.until) {
		defer t.mu.Unlock()
		return "", r.again(now)
	}
	f := t.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		t.flight = f
		go t.fly(f, conf)
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return "", cancelled(opRenew, ctx)
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
func (t *tokens) fly(f *flight, conf *config) {
	ctx, done := t.p.calls.Add(context.Background())
	defer done()
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()

	t.mu.Lock()
	generation := t.generation
	t.mu.Unlock()
	token, usable, err := t.renew(ctx, conf)

	t.mu.Lock()
	t.flight = nil
	f.token, f.err = token, err
	var tell *mail.Error
	switch {
	case t.generation != generation:
		// Whatever was found out concerns the grant of before.
	case err == nil:
		t.access, t.usable = token, usable
		t.refusal, t.blips, t.failures, t.told = refusal{}, 0, 0, ""
	default:
		tell = t.remember(err, conf)
	}
	t.mu.Unlock()
	close(f.done)

	if tell != nil {
		if host, err := t.p.host.Get(ctx); err == nil {
			if err := host.GrantRefused(ctx, t.account, tell); err != nil {
				t.p.log().Warn("host did not take the refusal of a grant", "account", t.account, "err", err)
			}
		}
	}
}

// remember keeps a failure and says how long it is good. It gives what the
// host must be told, once for each kind.
func (t *tokens) remember(err error, conf *config) *mail.Error {
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
	t.refusal = refusal{err: e, until: t.p.now().Add(wait), conf: conf}
	if (e.Kind == mail.KindGrantExpired || e.Kind == mail.KindMisconfigured) && t.told != e.Kind {
		t.told = e.Kind
		return e
	}
	return nil
}

const opRenew = "renew access token"

// renew asks the identity platform, stores the new grant, and only then gives
// the token out.
func (t *tokens) renew(ctx context.Context, conf *config) (string, time.Time, error) {
	t.mu.Lock()
	g, generation, unsaved := t.grant, t.generation, t.unsaved
	t.mu.Unlock()
	if unsaved != nil {
		// The last renewal got this far: its refresh token may be the only
		// one that still works.
		if err := t.save(ctx, unsaved, generation); err != nil {
			return "", time.Time{}, err
		}
		g = unsaved
	}
	if g.ClientID != conf.clientID {
		return "", time.Time{}, &mail.Error{Kind: mail.KindGrantExpired, Op: opRenew, Code: "other_application",
			Message: "the account was connected through another application; its owner must connect it again"}
	}
	x := &exchange{http: conf.authHTTP, now: t.p.now}
	store := &blobCache{blob: g.Cache, export: func(blob json.RawMessage) error {
		next := *g
		next.Cache = blob
		return t.save(ctx, &next, generation)
	}}
	client, err := conf.signInClient(x, store)
	if err != nil {
		return "", time.Time{}, &mail.Error{Kind: mail.KindMisconfigured, Op: opRenew, Message: "the sign-in settings cannot be used", Err: err}
	}
	result, err := client.AcquireTokenSilent(ctx, resourceScopes(g.Scopes),
		confidential.WithSilentAccount(confidential.Account{HomeAccountID: g.HomeAccountID}))
	if err != nil {
		return "", time.Time{}, t.judge(x, store, err)
	}
	lifetime := x.lifetime
	if lifetime <= 0 {
		lifetime = result.ExpiresOn.Sub(x.sentAt)
	}
	return result.AccessToken, x.sentAt.Add(lifetime - min(maxMargin, lifetime/5)), nil
}

// save hands a grant to the host. It is kept until the host has it, and
// dropped when another grant came from outside meanwhile.
func (t *tokens) save(ctx context.Context, g *grant, generation int) error {
	t.mu.Lock()
	if t.generation != generation {
		t.mu.Unlock()
		return &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Code: "grant_replaced", Message: "the grant was replaced meanwhile"}
	}
	t.unsaved = g
	t.mu.Unlock()

	data, err := g.bytes()
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: opRenew, Message: "encode grant"}
	}
	host, err := t.p.host.Get(ctx)
	if err == nil {
		err = host.SaveGrant(ctx, t.account, data)
	}
	if err != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: opRenew, Code: "grant_not_stored", Message: "the new grant could not be stored", Err: err}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.generation == generation {
		t.grant, t.unsaved = g, nil
	}
	return nil
}

// judge turns a failed renewal into an error of a kind. It looks at what went
// over the wire, not at the library's texts, which quote requests and answers.
func (t *tokens) judge(x *exchange, store *blobCache, err error) error {
	if store.err != nil {
		return store.err
	}
	if x.err == nil && x.status == 0 {
		// Nothing was sent: the cache holds no refresh token for this sign-in
		// address.
		return &mail.Error{Kind: mail.KindGrantExpired, Op: opRenew, Code: "no_refresh_token",
			Message: "the grant holds no refresh token for this sign-in address; the owner must connect again"}
	}
	e := x.failure(opRenew, err)
	if e.Code == codeBlip {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.blips++; t.blips < blipsAllowed {
			e.Kind, e.RetryAfter = mail.KindUnavailable, 2*time.Second
		}
	}
	return e
}

// replace takes a grant from outside: the owner has connected again.
func (t *tokens) replace(g *grant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grant.same(g) {
		return // opened again with what is in use
	}
	t.generation++
	t.grant, t.unsaved = g, nil
	t.access = ""
	t.refusal, t.blips, t.failures, t.told = refusal{}, 0, 0, ""
}

// close forgets the access token. A renewal under way goes on: its new refresh
// token must reach the host.
func (t *tokens) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.access = ""
}

// same reports whether two grants are one.
func (g *grant) same(o *grant) bool {
	a, errA := g.bytes()
	b, errB := o.bytes()
	return errA == nil && errB == nil && string(a) == string(b)
}

// blobCache is the library's window on one account's cache.
type blobCache struct {
	blob   json.RawMessage
	export func(json.RawMessage) error
	err    error
}

var _ cache.ExportReplace = (*blobCache)(nil)

// Replace loads the library's cache.
func (b *blobCache) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	if b.blob == nil {
		return nil
	}
	return c.Unmarshal(b.blob)
}

// Export stores it. Where that fails the library gives no token out.
func (b *blobCache) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err == nil {
		var blob json.RawMessage
		if blob, err = withoutAccessTokens(data); err == nil {
			err = b.export(blob)
			if err == nil {
				b.blob = blob
			}
		}
	}
	b.err = err
	return err
}

func (c *config) signInClient(x *exchange, store *blobCache) (confidential.Client, error) {
	return confidential.New(c.authority, c.clientID, c.credential,
		confidential.WithHTTPClient(x),
		// With it the library asks the real login.microsoftonline.com about
		// every authority that it does not know.
		confidential.WithInstanceDiscovery(false),
		confidential.WithCache(store))
}
