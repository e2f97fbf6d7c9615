package webhook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// bearer is a receiver that takes tokens of its own authorization server, and
// that server.
type bearer struct {
	*httptest.Server
	mu     sync.Mutex
	issued int
	good   string // the token that the receiver takes
	heard  []string
	answer func(w http.ResponseWriter) // of the token endpoint, in place of a token
	hold   chan struct{}               // what a request for a token waits for
	life   int
	form   url.Values
	user   string
	pass   string
}

func newBearer(t *testing.T) *bearer {
	b := &bearer{life: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if b.hold != nil {
			<-b.hold
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.issued++
		r.ParseForm() //nolint:errcheck // an empty form is seen
		b.form = r.PostForm
		b.user, b.pass, _ = r.BasicAuth()
		if b.answer != nil {
			b.answer(w)
			return
		}
		b.good = fmt.Sprint("token-", b.issued)
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "bearer", "expires_in": %d}`, b.good, b.life)
	})
	mux.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		got := r.Header.Get("Authorization")
		b.heard = append(b.heard, got)
		if got != "Bearer "+b.good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func (b *bearer) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.issued
}

// oauthHouse makes an endpoint at b, and a carrier on a clock of its own.
func oauthHouse(t *testing.T, b *bearer) (h *house, id string, deliver func() outbox.Outcome, pass func(time.Duration)) {
	h = buildHouse(t, houseOptions{})
	var mu sync.Mutex
	var off time.Duration
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(off) }
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{Now: now})
	e, _ := h.create(Create{URL: b.URL + "/hook", OAuth: &OAuth{TokenURL: b.URL + "/token", ClientID: "us:er", ClientSecret: "t0p secret", Scopes: []string{"hooks", "more"}}})
	return h, e.ID, func() outbox.Outcome {
		var r *store.Endpoint
		h.update(func(tx store.Tx) (err error) { r, err = tx.Endpoint(e.ID); return err })
		return c.Deliver(context.Background(), r, delivery(), testBody)
	}, func(d time.Duration) { mu.Lock(); off += d; mu.Unlock() }
}

// TestOAuth: one token for many deliveries, a new one when it ends, and when the
// receiver refuses it once.
func TestOAuth(t *testing.T) {
	b := newBearer(t)
	h, id, deliver, pass := oauthHouse(t, b)
	for range 3 {
		if out := deliver(); !out.OK {
			t.Fatalf("%+v", out)
		}
	}
	if b.asked() != 1 || b.form.Get("grant_type") != "client_credentials" || b.form.Get("scope") != "hooks more" || b.user != "us%3Aer" || b.pass != "t0p+secret" {
		t.Errorf("%d tokens, %v, %q %q", b.asked(), b.form, b.user, b.pass)
	}
	pass(59*time.Minute + 50*time.Second)
	if out := deliver(); !out.OK || b.asked() != 2 {
		t.Errorf("at the token's end: %+v, %d tokens", out, b.asked())
	}
	b.mu.Lock()
	b.good, b.heard = "revoked", nil
	b.mu.Unlock()
	if out := deliver(); !out.OK || out.Status != 200 || b.asked() != 3 || len(b.heard) != 2 {
		t.Errorf("after a 401: %+v, %d tokens, heard %q", out, b.asked(), b.heard)
	}
	// A receiver that refuses every token is asked twice, not for ever.
	b.mu.Lock()
	b.answer = func(w http.ResponseWriter) {
		fmt.Fprint(w, `{"access_token": "other", "token_type": "Bearer"}`)
	}
	b.good, b.heard = "none", nil
	b.mu.Unlock()
	if out := deliver(); out.OK || out.Class != outbox.Class4xx || out.Status != 401 || b.asked() != 4 || len(b.heard) != 2 {
		t.Errorf("refused for good: %+v, %d tokens, heard %q", out, b.asked(), b.heard)
	}
	// Other credentials, another token; none, no header.
	ctx := context.Background()
	b.mu.Lock()
	b.answer = nil
	b.mu.Unlock()
	if _, err := h.service.UpdateEndpoint(ctx, Update{ID: id, OAuth: &OAuth{TokenURL: b.URL + "/token", ClientID: "other", ClientSecret: "x"}}); err != nil {
		t.Fatal(err)
	}
	if out := deliver(); !out.OK || b.user != "other" || b.form.Has("scope") {
		t.Errorf("%+v, %q, %v", out, b.user, b.form)
	}
	e, err := h.service.UpdateEndpoint(ctx, Update{ID: id, OAuth: &OAuth{}})
	if err != nil || e.OAuth != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	b.heard = nil
	if out := deliver(); out.OK || len(b.heard) != 1 || b.heard[0] != "" {
		t.Errorf("without OAuth: %+v, heard %q", out, b.heard)
	}
}

// TestOAuthAsksOnce: however many deliveries wait for a token, one request for it
// is under way.
func TestOAuthAsksOnce(t *testing.T) {
	b := newBearer(t)
	b.hold = make(chan struct{})
	_, _, deliver, _ := oauthHouse(t, b)
	outs := make(chan outbox.Outcome, 8)
	for range cap(outs) {
		go func() { outs <- deliver() }()
	}
	b.hold <- struct{}{}
	close(b.hold) // more would be let through, and counted
	for range cap(outs) {
		if out := <-outs; !out.OK {
			t.Errorf("%+v", out)
		}
	}
	if b.asked() != 1 {
		t.Errorf("%d tokens for as many deliveries", b.asked())
	}
}

// TestOAuthFaults: without a token the receiver is not asked, and the words name
// the token endpoint and neither the secret nor what the server repeats.
func TestOAuthFaults(t *testing.T) {
	b := newBearer(t)
	_, _, deliver, pass := oauthHouse(t, b)
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter)
		words  string
	}{
		"refused": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "invalid_client", "error_description": "t0p secret is wrong"}`)
		}, "answers 401, invalid_client"},
		"a code that repeats": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error": "t0p secret"}`)
		}, "answers 400"},
		"a redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", b.URL+"/hook")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "answers 307"},
		"no token":      {func(w http.ResponseWriter) { fmt.Fprint(w, `{}`) }, "answers without a token"},
		"no JSON":       {func(w http.ResponseWriter) { fmt.Fprint(w, `t0p secret`) }, "answers without a token"},
		"another type":  {func(w http.ResponseWriter) { fmt.Fprint(w, `{"access_token": "x", "token_type": "mac"}`) }, "no bearer token"},
		"a broken line": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"access_token": "x\r\ny: z", "token_type": "bearer"}`) }, "fits no header"},
		"cut off":       {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		b.mu.Lock()
		b.answer, b.heard = tc.answer, nil
		b.mu.Unlock()
		pass(48 * time.Hour)
		out := deliver()
		if out.OK || out.Class != outbox.ClassNetwork || !strings.HasPrefix(out.Error, "the token endpoint "+b.URL+"/token: ") || !strings.Contains(out.Error, tc.words) ||
			strings.Contains(out.Error, "t0p") || len(b.heard) != 0 {
			t.Errorf("%s: %+v, heard %q", name, out, b.heard)
		}
	}
}

// TestOAuthIsGuarded: a token endpoint must be where endpoints may be, when it is
// given and when it is asked; and nothing shows the secret.
func TestOAuthIsGuarded(t *testing.T) {
	b := newBearer(t)
	h, id, _, _ := oauthHouse(t, b)
	ctx := context.Background()
	good := func() OAuth { return OAuth{TokenURL: b.URL + "/token", ClientID: "c", ClientSecret: "t0psecret"} }
	for name, change := range map[string]func(*Create){
		"a private address": func(c *Create) { c.OAuth.TokenURL = "http://10.0.0.1/token" },
		"no URL":            func(c *Create) { c.OAuth.TokenURL = "" },
		"credentials in it": func(c *Create) { c.OAuth.TokenURL = "https://u:t0psecret@example.com/" },
		"no id":             func(c *Create) { c.OAuth.ClientID = "" },
		"no secret":         func(c *Create) { c.OAuth.ClientSecret = "" },
		"a long secret":     func(c *Create) { c.OAuth.ClientSecret = strings.Repeat("t0psecret", 1000) },
		"no scope":          func(c *Create) { c.OAuth.Scopes = []string{"a b"} },
		"many scopes":       func(c *Create) { c.OAuth.Scopes = make([]string, 51) },
		"its header":        func(c *Create) { c.Headers = []Header{{"authorization", "x"}} },
	} {
		o := good()
		in := Create{URL: b.URL + "/hook", OAuth: &o}
		change(&in)
		if _, _, err := h.service.CreateEndpoint(ctx, in); mail.KindOf(err) != mail.KindInvalid || strings.Contains(err.Error(), "t0psecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, err := h.service.GetEndpoint(ctx, id)
	if err != nil || e.OAuth == nil || e.OAuth.ClientSecret != "" || e.OAuth.ClientID != "us:er" || len(e.OAuth.Scopes) != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	// The rules are not what they were.
	c := NewCarrier(mustGuard(t), CarrierOptions{})
	o := good()
	p := &peer{transport: c.transport(nil), config: &config{OAuth: &o}, tokens: newTokens()}
	_, err = p.tokens.get(ctx, c, p, "")
	if out := c.tokenOutcome(ctx, p, err); out.Class != outbox.ClassGuard || !strings.HasPrefix(out.Error, "the token endpoint ") || b.asked() != 0 {
		t.Errorf("%+v, asked %d times", out, b.asked())
	}
}
