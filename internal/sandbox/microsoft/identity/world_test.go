package identity

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

var (
	ada   = cloud.User{ID: "0d7f8e35-47a5-4c5a-8a0e-11c9dd6a0001", Address: "ada@contoso.example", Name: "Ada Lovelace"}
	grace = cloud.User{ID: "0d7f8e35-47a5-4c5a-8a0e-11c9dd6a0002", Address: "grace@contoso.example", Name: "Grace Hopper"}
	mary  = cloud.User{ID: "00000000-0000-0000-8a0e-11c9dd6a0003", Address: "mary@outlook.example", Name: "Mary Somerville"}
)

const (
	callback = "http://localhost:8080/oauth/outlook/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	s256     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	allWords = "openid profile offline_access Mail.ReadWrite Mail.Send User.Read"
)

type world struct {
	t        *testing.T
	p        *Provider
	clock    *worldtest.Clock
	server   *httptest.Server
	client   *http.Client // keeps cookies, follows no redirect
	counters *traffic.Counters
}

func newWorld(t *testing.T, settings Settings, apps ...App) *world {
	t.Helper()
	w := &world{t: t, clock: worldtest.At(time.Now()), counters: &traffic.Counters{}}
	if apps == nil {
		apps = []App{DefaultApp()}
	}
	var err error
	w.p, err = New(settings, Options{Users: worldtest.Users{ada, grace, mary}, Now: w.clock.Now, Counters: w.counters, Key: worldtest.Key(t)}, apps...)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewTLSServer(w.p.Handler())
	t.Cleanup(w.server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.client = w.server.Client()
	w.client.Jar = jar
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w
}

// authorizeURL is a good request, changed by pairs of name and value; "-"
// takes a parameter out.
func (w *world) authorizeURL(tenant string, changes ...string) string {
	v := url.Values{
		"client_id": {DefaultAppID}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {allWords},
		"state": {"s t&te"}, "nonce": {"n0nce"}, "code_challenge": {s256}, "code_challenge_method": {"S256"},
	}
	change(v, changes)
	return w.server.URL + "/" + tenant + "/oauth2/v2.0/authorize?" + v.Encode()
}

func change(v url.Values, changes []string) {
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
}

type result struct {
	status   int
	body     string
	location *url.URL
	header   http.Header
}

func (w *world) do(req *http.Request) result {
	w.t.Helper()
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := result{status: resp.StatusCode, body: string(body), header: resp.Header}
	if l := resp.Header.Get("Location"); l != "" {
		if out.location, err = url.Parse(l); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

func (w *world) get(address string) result {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(req)
}

func (w *world) post(address string, form url.Values) result {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(req)
}

func (w *world) decide(address, user, decision string) result {
	w.t.Helper()
	return w.post(address, url.Values{"user": {user}, "decision": {decision}})
}

// code signs a user in and returns the code.
func (w *world) code(user string, changes ...string) string {
	w.t.Helper()
	r := w.decide(w.authorizeURL("common", changes...), user, "approve")
	if r.status != http.StatusFound {
		w.t.Fatalf("approve: %d %s", r.status, r.body)
	}
	code := r.location.Query().Get("code")
	if code == "" {
		w.t.Fatalf("approve: no code in %s", r.location)
	}
	return code
}

// token posts to the token endpoint with the default app's secret.
func (w *world) token(tenant string, pairs ...string) (int, tokenAnswer, tokenError) {
	w.t.Helper()
	v := url.Values{"client_id": {DefaultAppID}, "client_secret": {DefaultAppSecret}}
	change(v, pairs)
	r := w.post(w.server.URL+"/"+tenant+"/oauth2/v2.0/token", v)
	return r.status, decode[tokenAnswer](w.t, r.body), decode[tokenError](w.t, r.body)
}

func (w *world) redeem(code string, pairs ...string) (int, tokenAnswer, tokenError) {
	w.t.Helper()
	return w.token("common", append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback,
		"code_verifier", verifier}, pairs...)...)
}

func (w *world) refresh(token string, pairs ...string) (int, tokenAnswer, tokenError) {
	w.t.Helper()
	return w.token("common", append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// connect goes all the way to tokens.
func (w *world) connect(user string) tokenAnswer {
	w.t.Helper()
	status, answer, e := w.redeem(w.code(user))
	if status != http.StatusOK {
		w.t.Fatalf("redeem: %d %+v", status, e)
	}
	return answer
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("decode %q: %v", body, err)
	}
	return v
}
