package oauth_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/session"
)

// world is a Source over a provider that answers as answer says.
type world struct {
	source *oauth.Source[string]
	host   session.Host
	calls  session.Calls

	mu       sync.Mutex
	settings string
	asked    []string // the grants that were used
	answer   func(r *oauth.Renewal[string]) (oauth.Token, error)
	saved    []string
	failing  error
	refused  []error
	storing  func() // while a grant is being stored
}

func newWorld() *world {
	w := &world{}
	w.source = oauth.NewSource(oauth.Options[string]{
		Account: "a", Now: time.Now, Log: slog.Default, Host: &w.host, Calls: &w.calls,
		Settings: func() any { w.mu.Lock(); defer w.mu.Unlock(); return w.settings },
		Bytes:    func(g string) ([]byte, error) { return []byte(g), nil },
		Renew: func(ctx context.Context, r *oauth.Renewal[string]) (oauth.Token, error) {
			w.mu.Lock()
			w.asked = append(w.asked, r.Grant)
			answer := w.answer
			w.mu.Unlock()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return oauth.Token{}, ctx.Err()
			}
			return answer(r)
		},
	}, "grant 1")
	w.host.Set(&testHost{w: w})
	w.answer = func(*oauth.Renewal[string]) (oauth.Token, error) { return w.token("t1", time.Hour), nil }
	return w
}

func (w *world) token(access string, life time.Duration) oauth.Token {
	return oauth.Token{Access: access, Usable: time.Now().Add(oauth.UsableFor(life))}
}

type testHost struct {
	provider.Host
	w *world
}

func (h *testHost) SaveGrant(_ context.Context, _ string, grant []byte) error {
	if h.w.storing != nil {
		h.w.storing()
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.failing == nil {
		h.w.saved = append(h.w.saved, string(grant))
	}
	return h.w.failing
}

func (h *testHost) GrantRefused(_ context.Context, _ string, reason error) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.refused = append(h.w.refused, reason)
	return nil
}

func TestOneRenewalForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for range 50 {
			go func() {
				if token, err := w.source.Token(t.Context()); err != nil || token != "t1" {
					t.Errorf("%q, %v", token, err)
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.source.Token(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who does not wait: %v", err)
		}
		time.Sleep(2 * time.Second)
		if len(w.asked) != 1 || len(w.saved) != 0 {
			t.Fatalf("asked %q, saved %q", w.asked, w.saved)
		}
		// An hour less the margin of five minutes.
		time.Sleep(54 * time.Minute)
		if _, err := w.source.Token(t.Context()); err != nil || len(w.asked) != 1 {
			t.Errorf("renewed too early: %v, %v", w.asked, err)
		}
		time.Sleep(time.Minute)
		if _, err := w.source.Token(t.Context()); err != nil || len(w.asked) != 2 {
			t.Errorf("not renewed: %v, %v", w.asked, err)
		}
	})
}

func TestARefusedTokenIsRenewedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		n := 0
		w.answer = func(*oauth.Renewal[string]) (oauth.Token, error) { n++; return w.token("t", time.Hour), nil }
		time.Sleep(time.Hour)
		if _, err := w.source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := w.source.Renew(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
		}
		if n != 2 {
			t.Errorf("%d renewals of a provider that refuses every token", n)
		}
		if _, err := w.source.Renew(t.Context(), "an older one"); err != nil || n != 2 {
			t.Errorf("renewed for a token of before: %d, %v", n, err)
		}
	})
}

func TestATokenWaitsForItsGrantToBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer = func(r *oauth.Renewal[string]) (oauth.Token, error) {
			if err := r.Save(t.Context(), "grant 2"); err != nil {
				return oauth.Token{}, err
			}
			return w.token("t2", time.Hour), nil
		}
		w.failing = errors.New("disk full")
		if token, err := w.source.Token(t.Context()); mail.KindOf(err) != mail.KindUnavailable || token != "" {
			t.Errorf("%q, %v", token, err)
		}
		if w.source.Grant() != "grant 1" {
			t.Errorf("in use: %q", w.source.Grant())
		}
		w.failing = nil
		time.Sleep(2 * time.Second)
		if token, err := w.source.Token(t.Context()); err != nil || token != "t2" {
			t.Errorf("%q, %v", token, err)
		}
		// The one that was not stored is stored first, and used from then on.
		if len(w.asked) != 2 || w.asked[1] != "grant 2" || w.saved[0] != "grant 2" || len(w.refused) != 0 {
			t.Errorf("asked %q, saved %q, refused %v", w.asked, w.saved, w.refused)
		}
	})
}

func TestARefusalIsRememberedAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		refuse := func(kind mail.Kind) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.answer = func(*oauth.Renewal[string]) (oauth.Token, error) {
				return oauth.Token{}, &mail.Error{Kind: kind, Op: "renew"}
			}
		}
		want := func(kind mail.Kind, asked, told int) {
			t.Helper()
			for range 3 {
				if _, err := w.source.Token(t.Context()); mail.KindOf(err) != kind {
					t.Errorf("error %v, want %q", err, kind)
				}
			}
			synctest.Wait()
			if len(w.asked) != asked || len(w.refused) != told {
				t.Errorf("%s: asked %d times, told %d times; want %d, %d", kind, len(w.asked), len(w.refused), asked, told)
			}
		}
		refuse(mail.KindGrantExpired)
		want(mail.KindGrantExpired, 1, 1)
		time.Sleep(5 * time.Minute)
		want(mail.KindGrantExpired, 2, 1)
		// Other settings are worth a try, and the operator's fault is another.
		w.mu.Lock()
		w.settings = "new"
		w.mu.Unlock()
		refuse(mail.KindMisconfigured)
		want(mail.KindMisconfigured, 3, 2)
		refuse(mail.KindUnavailable)
		time.Sleep(time.Minute)
		want(mail.KindUnavailable, 4, 2)
		// The owner connects again.
		w.source.Replace("grant 3")
		w.answer = func(*oauth.Renewal[string]) (oauth.Token, error) { return w.token("t3", time.Hour), nil }
		want("", 5, 2)
		if last := w.asked[4]; last != "grant 3" {
			t.Errorf("asked with %q", last)
		}
		w.source.Replace("grant 3") // opened again with what is in use
		want("", 5, 2)
		w.source.Close()
		want("", 6, 2)
	})
}

func TestAGrantFromOutsideWinsOverOneThatIsBeingRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer = func(r *oauth.Renewal[string]) (oauth.Token, error) {
			return oauth.Token{}, r.Save(t.Context(), "grant 1b")
		}
		ended := make(chan error, 1)
		go func() { _, err := w.source.Token(t.Context()); ended <- err }()
		synctest.Wait()
		w.source.Replace("grant 2")
		if err := <-ended; mail.KindOf(err) != mail.KindUnavailable {
			t.Errorf("the renewal of the old one: %v", err)
		}
		if len(w.saved) != 0 || w.source.Grant() != "grant 2" {
			t.Errorf("saved %q, in use %q", w.saved, w.source.Grant())
		}
	})
}

// TestAGrantFromOutsideIsStoredLast: what was renewed of the former grant may
// reach the host after the new one did, and is not to be what it keeps.
func TestAGrantFromOutsideIsStoredLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer = func(r *oauth.Renewal[string]) (oauth.Token, error) {
			return w.token("t1", time.Hour), r.Save(t.Context(), "grant 1b")
		}
		w.storing = func() {
			w.storing = nil
			w.source.Replace("grant 2") // the owner has connected again
		}
		if _, err := w.source.Token(t.Context()); mail.KindOf(err) != mail.KindUnavailable {
			t.Errorf("the renewal of the old one: %v", err)
		}
		if n := len(w.saved); n == 0 || w.saved[n-1] != "grant 2" || w.source.Grant() != "grant 2" {
			t.Errorf("saved %q, in use %q", w.saved, w.source.Grant())
		}
	})
}

func TestSecretsAndChallenges(t *testing.T) {
	if a, b := oauth.Secret(), oauth.Secret(); a == b || len(a) != 43 {
		t.Errorf("%q, %q", a, b)
	}
	// RFC 7636, appendix B.
	if got := oauth.Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" {
		t.Errorf("challenge %q", got)
	}
	for life, want := range map[time.Duration]time.Duration{time.Hour: 55 * time.Minute, 5 * time.Minute: 4 * time.Minute} {
		if got := oauth.UsableFor(life); got != want {
			t.Errorf("%v is used for %v", life, got)
		}
	}
}
