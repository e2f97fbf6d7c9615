package gmail

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// issuer signs tokens as Google does, and lists its keys.
type issuer struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	keys    map[string]*rsa.PrivateKey
	control string // Cache-Control
	status  int
	asked   atomic.Int64
	hold    chan struct{} // where set, answers wait for it
}

var signingKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	var keys []*rsa.PrivateKey
	for range 2 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys = append(keys, key)
	}
	return keys
})

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, keys: map[string]*rsa.PrivateKey{"one": signingKeys()[0]}, control: "public, max-age=3600", status: http.StatusOK}
	i.server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) serve(w http.ResponseWriter, _ *http.Request) {
	i.asked.Add(1)
	i.mu.Lock()
	hold := i.hold
	i.mu.Unlock()
	if hold != nil {
		<-hold
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var list []map[string]string
	for kid, key := range i.keys {
		list = append(list, map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())})
	}
	w.Header().Set("Cache-Control", i.control)
	w.WriteHeader(i.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func sign(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

const (
	pusher   = "pusher@project.example"
	audience = "https://mail.example/notify/gmail"
)

// token is a good token, changed as the test wants: a nil value takes a claim out.
func (i *issuer) token(kid string, change map[string]any) string {
	i.t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": "https://accounts.google.com", "aud": audience, "azp": "117", "sub": "117", "email": pusher,
		"email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for k, v := range change {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return sign(i.t, i.keys[kid], map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid}, claims)
}

func (i *issuer) verifier(now func() time.Time) *pushVerifier {
	return &pushVerifier{keys: newKeySet(i.server.URL, i.server.Client(), now), audience: audience, account: pusher, now: now}
}

func TestVerify(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(time.Now)
	now := time.Now()
	for name, change := range map[string]map[string]any{
		"as Google makes it":     {},
		"issuer without scheme":  {"iss": "accounts.google.com"},
		"audience in a list":     {"aud": []string{"other", audience}},
		"verified as a string":   {"email_verified": "true"},
		"another case":           {"email": strings.ToUpper(pusher)},
		"clock a little behind":  {"iat": now.Add(30 * time.Second).Unix()},
		"expired a moment ago":   {"exp": now.Add(-30 * time.Second).Unix()},
		"a part of a second, ok": {"iat": float64(now.UnixMilli()) / 1000},
	} {
		if err := v.verify(t.Context(), i.token("one", change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
	forged := func(token string) string { // a claim is changed after signing
		parts := strings.Split(token, ".")
		data, _ := base64.RawURLEncoding.DecodeString(parts[1])
		parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(data), `"117"`, `"118"`, 1)))
		return strings.Join(parts, ".")
	}
	good := i.token("one", nil)
	tokens := map[string]string{
		"another issuer":    i.token("one", map[string]any{"iss": "https://accounts.example"}),
		"no issuer":         i.token("one", map[string]any{"iss": nil}),
		"another audience":  i.token("one", map[string]any{"aud": "https://else.example/notify/gmail"}),
		"no audience":       i.token("one", map[string]any{"aud": nil}),
		"another account":   i.token("one", map[string]any{"email": "somebody@project.example"}),
		"no account":        i.token("one", map[string]any{"email": nil}),
		"not verified":      i.token("one", map[string]any{"email_verified": false}),
		"verified unsaid":   i.token("one", map[string]any{"email_verified": nil}),
		"expired":           i.token("one", map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}),
		"without end":       i.token("one", map[string]any{"exp": nil}),
		"of tomorrow":       i.token("one", map[string]any{"iat": now.Add(time.Hour).Unix()}),
		"without beginning": i.token("one", map[string]any{"iat": nil}),
		"changed":           forged(good),
		"another key":       sign(t, signingKeys()[1], map[string]any{"alg": "RS256", "kid": "one"}, map[string]any{"iss": "accounts.google.com", "aud": audience, "email": pusher, "email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}),
		"no key id":         sign(t, signingKeys()[0], map[string]any{"alg": "RS256"}, map[string]any{}),
		"no algorithm":      strings.Replace(good, good[:strings.Index(good, ".")], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"one"}`)), 1),
		"a MAC":             strings.Replace(good, good[:strings.Index(good, ".")], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"one"}`)), 1),
		"no signature":      good[:strings.LastIndex(good, ".")+1],
		"two parts":         good[:strings.LastIndex(good, ".")],
		"rubbish":           "a.b.c",
		"empty":             "",
		"too long":          good + strings.Repeat("A", maxToken),
	}
	for name, token := range tokens {
		var refused errToken
		if err := v.verify(t.Context(), token); !errors.As(err, &refused) {
			t.Errorf("%s: %v, want it to be refused", name, err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were asked for %d times: rubbish costs a request", n)
	}
}

// TestKeysRotate: a key that is new is asked for, but not more often than once a
// minute, whoever invents key ids; and what a list allows is kept.
func TestKeysRotate(t *testing.T) {
	i := newIssuer(t)
	at := time.Now()
	v := i.verifier(func() time.Time { return at })
	ask := func(kid string, asked int64) error {
		t.Helper()
		err := v.verify(t.Context(), i.token(kid, map[string]any{"exp": at.Add(time.Hour).Unix()}))
		if n := i.asked.Load(); n != asked {
			t.Errorf("the keys were asked for %d times, want %d", n, asked)
		}
		return err
	}
	if err := ask("one", 1); err != nil {
		t.Fatal(err)
	}
	i.change(func() { i.keys["two"] = signingKeys()[1] })
	var refused errToken
	if err := ask("two", 1); !errors.As(err, &refused) {
		t.Errorf("a key that appeared within a minute: %v", err)
	}
	at = at.Add(certsPause)
	if err := ask("two", 2); err != nil {
		t.Error("a new key:", err)
	}
	// What is past its time is asked for again, and a failure is no refusal.
	at = at.Add(time.Hour)
	i.change(func() { i.status = http.StatusInternalServerError })
	for range 3 {
		if err := ask("one", 3); err == nil || errors.As(err, &refused) {
			t.Errorf("while the keys cannot be had: %v", err)
		}
	}
	at = at.Add(certsRetry)
	i.change(func() {
		i.status = http.StatusOK
		delete(i.keys, "one")
		i.keys["one"] = signingKeys()[1]
		i.control = "no-store"
	})
	if err := ask("one", 4); err != nil {
		t.Error("a key that changed:", err)
	}
	if err := ask("one", 4); err != nil {
		t.Error("a key that is not to be kept:", err)
	}
}

// TestKeysOnce: however many pushes want the keys, they are asked for once, and
// one that gives up lets nobody down.
func TestKeysOnce(t *testing.T) {
	i := newIssuer(t)
	hold := make(chan struct{})
	i.hold = hold
	v := i.verifier(time.Now)
	token := i.token("one", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := make(chan error, 21)
	go func() { results <- v.verify(ctx, token) }()
	for range 20 {
		go func() { results <- v.verify(t.Context(), token) }()
	}
	for i.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	failed := 0
	for range 21 {
		if err := <-results; err != nil {
			if failed++; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	if n := i.asked.Load(); n != 1 || failed > 1 {
		t.Errorf("the keys were asked for %d times, %d failed", n, failed)
	}
}

func TestCacheLife(t *testing.T) {
	for control, want := range map[string]time.Duration{
		"": certsLife, "public": certsLife, "public, max-age=21599, must-revalidate": 21599 * time.Second, "Max-Age=60": time.Minute,
		"max-age=99999999999999": certsMax, "no-store": 0, "max-age=soon": certsLife, "max-age=-5": certsLife, `max-age="7"`: 7 * time.Second,
	} {
		if got := cacheLife(control); got != want {
			t.Errorf("%q: %v, want %v", control, got, want)
		}
	}
}

func TestWeakKeys(t *testing.T) {
	weak := new(big.Int).Lsh(big.NewInt(1), 1023)
	enc := base64.RawURLEncoding.EncodeToString
	strong := enc(signingKeys()[0].N.Bytes())
	for name, k := range map[string][2]string{
		"short": {enc(weak.Bytes()), "AQAB"}, "no exponent": {strong, ""}, "even": {strong, "Ag"}, "one": {strong, "AQ"}, "huge": {strong, "AQABAQABAQ"}, "rubbish": {"*", "AQAB"},
	} {
		if rsaKey(k[0], k[1]) != nil {
			t.Errorf("%s: taken", name)
		}
	}
	if rsaKey(strong, "AQAB") == nil {
		t.Error("a good key is not taken")
	}
}

func TestParsePush(t *testing.T) {
	envelope := func(data string) string {
		return fmt.Sprintf(`{"message":{"data":%q,"messageId":"1","message_id":"1","publishTime":"2026-11-22T00:00:00Z","attributes":{}},"subscription":"projects/p/subscriptions/s"}`, data)
	}
	payload := []byte(`{"emailAddress":"Ann+~~~???>>>@gmail.example","historyId":9876543210}`)
	std, raw := base64.StdEncoding.EncodeToString(payload), base64.RawURLEncoding.EncodeToString(payload)
	if !strings.ContainsAny(std, "+/") || !strings.ContainsAny(raw, "-_") {
		t.Fatal("the alphabets do not differ")
	}
	for name, body := range map[string]string{
		"standard, padded": envelope(std), "url, not padded": envelope(raw), "standard, not padded": envelope(strings.TrimRight(std, "=")),
		"url, padded": envelope(base64.URLEncoding.EncodeToString(payload)), "unwrapped": string(payload),
		"history id in quotes": envelope(base64.StdEncoding.EncodeToString([]byte(`{"emailAddress":"Ann+~~~???>>>@gmail.example","historyId":"9876543210"}`))),
	} {
		if got, err := parsePush([]byte(body)); err != nil || got != "Ann+~~~???>>>@gmail.example" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "\x00\xff{]", "empty": "{}", "no data": `{"message":{}}`, "a list": "[]", "null": "null",
		"no base64": envelope("*"), "no payload": envelope("aGVsbG8="), "no address": envelope(base64.StdEncoding.EncodeToString([]byte(`{"historyId":1}`))),
		"no history": `{"emailAddress":"a@b.example"}`, "a fraction": `{"emailAddress":"a@b.example","historyId":1.5}`,
		"an address of another kind": `{"emailAddress":{"x":1},"historyId":1}`, "too long": `{"emailAddress":"` + strings.Repeat("a", 600) + `@b.example","historyId":1}`,
	} {
		if got, err := parsePush([]byte(body)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}
