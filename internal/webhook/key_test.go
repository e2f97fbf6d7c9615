package webhook

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// verifyPublic checks a request with a public key, by nothing but the words of
// Standard Webhooks and crypto/ed25519.
func verifyPublic(t testing.TB, r request, whpk string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whpk, "whpk_"))
	if err != nil || len(key) != ed25519.PublicKeySize || !strings.HasPrefix(whpk, "whpk_") {
		t.Fatalf("public key %q: %v", whpk, err)
	}
	message := r.header.Get("webhook-id") + "." + r.header.Get("webhook-timestamp") + "." + string(r.body)
	for _, s := range strings.Split(r.header.Get("webhook-signature"), " ") {
		version, encoded, _ := strings.Cut(s, ",")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if version == "v1a" && err == nil && ed25519.Verify(key, []byte(message), signature) {
			return true
		}
	}
	return false
}

// versions lists the signatures of a request by their kind.
func versions(r request) (v []string) {
	for _, s := range strings.Split(r.header.Get("webhook-signature"), " ") {
		kind, _, _ := strings.Cut(s, ",")
		v = append(v, kind)
	}
	return v
}

func TestEd25519(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	e, secret := h.create(Create{URL: sink.URL, Signature: SignatureEd25519})
	if secret != "" || len(e.Keys) != 1 || e.Keys[0].Kind != SignatureEd25519 || e.Signature != SignatureEd25519 || e.Keys[0].CreatedAt.IsZero() {
		t.Fatalf("secret %q, %+v", secret, e)
	}
	h.journal(updated("a"))
	r := sink.next(t)
	if !verifyPublic(t, r, e.Keys[0].Public) {
		t.Error("the signature does not verify")
	}
	if diff := cmp.Diff([]string{"v1a"}, versions(r)); diff != "" || r.header.Get(HeaderPostern) != "" {
		t.Errorf("%s: %q, %s", diff, r.header.Get(HeaderPostern), r.header.Get("webhook-signature"))
	}
	r.body = append(r.body, ' ')
	if verifyPublic(t, r, e.Keys[0].Public) {
		t.Error("a changed body verifies")
	}
	h.stop() // the log is quiet now
	if strings.Contains(h.log.String(), "whsk_") {
		t.Error("the log has a private key")
	}
}

func TestKeysOfBothKinds(t *testing.T) {
	began := time.Now()
	var later atomic.Int64
	clock := func() time.Time { return began.Add(time.Duration(later.Load())) }
	h := newHouse(t, houseOptions{webhook: Options{Now: clock}, carrier: CarrierOptions{Now: clock}, outbox: outbox.Options{Now: clock}})
	h.account("a")
	ctx := context.Background()
	sink := receive(t, nil)
	next := func() request { h.journal(updated("a")); return sink.next(t) }
	e, secret := h.create(Create{URL: sink.URL})
	first := e.Keys[0]

	// By update: at once where the public half is enough.
	kind := SignatureEd25519
	e, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Signature: &kind})
	if err != nil || len(e.Keys) != 2 || e.Keys[0].Kind != kind || e.Keys[1].ID != first.ID || !e.Keys[1].ExpiresAt.Equal(began.UTC().Add(24*time.Hour)) {
		t.Fatalf("%+v, %v", e, err)
	}
	public := e.Keys[0].Public
	r := next()
	if diff := cmp.Diff([]string{"v1a", "v1"}, versions(r)); diff != "" {
		t.Error(diff)
	}
	if err := verify(r, secret); err != nil || !verifyPublic(t, r, public) {
		t.Errorf("one of two signatures: %v", err)
	}

	// Back to a secret, with an overlap of its own; the earlier end stays.
	back := SignatureHMAC
	if _, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Signature: &back}); mail.KindOf(err) != mail.KindInvalid || !strings.Contains(err.Error(), "rotateEndpointSecret") {
		t.Errorf("a change to a secret that is not shown: %v", err)
	}
	week := 7 * 24 * time.Hour
	e, third, err := h.service.RotateSecret(ctx, e.ID, Rotate{Signature: SignatureHMAC, Overlap: &week})
	if err != nil || len(e.Keys) != 3 || !e.Keys[1].ExpiresAt.Equal(began.UTC().Add(week)) || !e.Keys[2].ExpiresAt.Equal(began.UTC().Add(24*time.Hour)) {
		t.Fatalf("%+v, %v", e, err)
	}
	later.Store(int64(25 * time.Hour))
	r = next()
	if diff := cmp.Diff([]string{"v1", "v1a"}, versions(r)); diff != "" {
		t.Errorf("after a day: %s", diff)
	}
	// The public library judges the time by the real clock; ours is ahead.
	if mac := "v1," + macOf(t, third, r); !strings.Contains(r.header.Get("webhook-signature"), mac) {
		t.Error("the new secret does not sign")
	}
	eventually(t, "the log has the keys that signed", func() bool {
		list, err := h.outbox.Deliveries(ctx, store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDelivered}, store.DateKey{}, 1)
		if err != nil || len(list) != 1 || list[0].Event != r.header.Get("webhook-id") {
			return false
		}
		_, attempts, err := h.outbox.Delivery(ctx, list[0].ID)
		return err == nil && len(attempts) == 1 && cmp.Equal(attempts[0].Keys, []string{e.Keys[0].ID, e.Keys[1].ID})
	})

	// Expired at once.
	if _, err := h.service.ExpireKey(ctx, e.ID, e.Keys[0].ID); mail.KindOf(err) != mail.KindConflict {
		t.Errorf("the last lasting key was expired: %v", err)
	}
	if _, err := h.service.ExpireKey(ctx, e.ID, "key_none"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("no key: %v", err)
	}
	if e, err = h.service.ExpireKey(ctx, e.ID, e.Keys[1].ID); err != nil || len(e.Keys) != 1 {
		t.Fatalf("%+v, %v", e, err)
	}
	if diff := cmp.Diff([]string{"v1"}, versions(next())); diff != "" {
		t.Errorf("after the key was expired: %s", diff)
	}
	none := time.Duration(0)
	if e, _, err = h.service.RotateSecret(ctx, e.ID, Rotate{Overlap: &none}); err != nil || len(e.Keys) != 1 {
		t.Fatalf("rotated without overlap: %+v, %v", e, err)
	}
	if r := next(); strings.Contains(r.header.Get("webhook-signature"), macOf(t, third, r)) {
		t.Error("the former secret signs after a rotation without overlap")
	}
	long := 1000 * 24 * time.Hour
	if _, _, err := h.service.RotateSecret(ctx, e.ID, Rotate{Overlap: &long}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("an overlap of years: %v", err)
	}
}

// macOf is what a secret's signature must be, by Standard Webhooks.
func macOf(t *testing.T, secret string, r request) string {
	t.Helper()
	k := signingKey{Secret: secret}
	if err := k.decode(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(mac(k.raw, r.header.Get("webhook-id"), ".", r.header.Get("webhook-timestamp"), ".", r.body))
}

func TestPublicKeysAreServed(t *testing.T) {
	h := newHouse(t, houseOptions{})
	mux := http.NewServeMux()
	mux.Handle("GET "+KeysPath+"{endpoint}", h.service.PublicKeys())
	get := func(endpoint string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, KeysPath+endpoint, nil))
		return w
	}
	signed, _ := h.create(Create{URL: "https://example.com/1", Signature: SignatureEd25519})
	secret, _ := h.create(Create{URL: "https://example.com/2"})
	for _, id := range []string{secret.ID, "ep_none"} {
		if w := get(id); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "whs") {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
	}
	rotated, _, err := h.service.RotateSecret(context.Background(), signed.ID, Rotate{})
	if err != nil {
		t.Fatal(err)
	}
	w := get(signed.ID)
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid, Alg, Whpk, ExpiresAt string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil || w.Code != http.StatusOK || len(set.Keys) != 2 ||
		w.Header().Get("Content-Type") != "application/jwk-set+json" {
		t.Fatalf("%d %v %s, %v", w.Code, w.Header(), w.Body, err)
	}
	for i, k := range set.Keys {
		want := rotated.Keys[i]
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || k.Kty != "OKP" || k.Crv != "Ed25519" || k.Alg != "EdDSA" || k.Kid != want.ID || k.Whpk != want.Public ||
			base64.StdEncoding.EncodeToString(x) != strings.TrimPrefix(k.Whpk, "whpk_") || (k.ExpiresAt == "") != want.ExpiresAt.IsZero() {
			t.Errorf("%+v is not %+v, %v", k, want, err)
		}
	}
	if s := w.Body.String(); strings.Contains(s, "whsk_") {
		t.Errorf("a private key is served: %s", s)
	}
}

func TestSecretOfOnesOwn(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	_, secret := h.create(Create{URL: sink.URL, Secret: testSecret})
	h.journal(updated("a"))
	if err := verify(sink.next(t), testSecret); err != nil || secret != testSecret {
		t.Errorf("%q, %v", secret, err)
	}
	for name, in := range map[string]Create{
		"short":      {Secret: "whsec_MDEyMzQ="},
		"long":       {Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789", 7)))},
		"zeros":      {Secret: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))},
		"no prefix":  {Secret: strings.TrimPrefix(testSecret, "whsec_")},
		"no base64":  {Secret: "whsec_%%%%"},
		"a private":  {Secret: "whsk_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("01", 32)))},
		"of ed25519": {Secret: testSecret, Signature: SignatureEd25519},
		"no kind":    {Signature: "rsa"},
	} {
		in.URL = sink.URL
		if _, _, err := h.service.CreateEndpoint(context.Background(), in); mail.KindOf(err) != mail.KindInvalid || strings.Contains(err.Error(), "MDEy") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysOfFormerVersions: a record from before keys had kinds opens.
func TestKeysOfFormerVersions(t *testing.T) {
	c, err := decodeConfig([]byte(`{"url":"https://x.example","payload":"thin","keys":[{"secret":"` + testSecret + `"}]}`))
	if err != nil || c.Signature != SignatureHMAC || len(c.Keys) != 1 || c.Keys[0].kind() != SignatureHMAC || !strings.HasPrefix(c.Keys[0].id, "key_") {
		t.Errorf("%+v, %v", c, err)
	}
	for _, damaged := range []string{"whsk_AAAA", "whsk_%", "whsec_"} {
		if k := (signingKey{Secret: damaged}); k.decode() == nil {
			t.Errorf("%s decodes", damaged)
		}
	}
}
