package identity

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCodeIsRedeemed(t *testing.T) {
	w := newWorld(t, Settings{})
	status, a, e := w.redeem(w.code(ada.Address), "client_info", "1")
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, e)
	}
	if a.TokenType != "Bearer" || a.ExpiresIn != 3600 || a.RefreshToken == "" || a.IDToken == "" {
		t.Errorf("answer %+v", a)
	}
	if a.Scope != "openid profile Mail.ReadWrite Mail.Send User.Read" {
		t.Errorf("scope %q", a.Scope)
	}
	info, err := base64.RawURLEncoding.DecodeString(a.ClientInfo)
	if err != nil || string(info) != `{"uid":"`+ada.ID+`","utid":"`+DefaultTenant+`"}` {
		t.Errorf("client_info %s, %v", info, err)
	}
	var claims map[string]any
	if err := w.p.signer.Verify(a.IDToken, &claims); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"oid": ada.ID, "tid": DefaultTenant, "nonce": "n0nce", "aud": DefaultAppID, "ver": "2.0",
		"preferred_username": ada.Address, "name": ada.Name, "iss": w.server.URL + "/" + DefaultTenant + "/v2.0",
	} {
		if claims[k] != want {
			t.Errorf("claim %s = %v, want %v", k, claims[k], want)
		}
	}
	if _, has := claims["email"]; has {
		t.Error("an email claim without the email scope")
	}
	b, err := w.p.Bearer("Bearer " + a.AccessToken)
	if err != nil || b.User != ada || b.Client != DefaultAppID || !slices.Equal(b.Scopes, []string{"Mail.ReadWrite", "Mail.Send", "User.Read"}) {
		t.Errorf("bearer %+v, %v", b, err)
	}
	if got := w.counters.Report("microsoft", ada.Address).Tokens["authorization_code"]["ok"]; got != 1 {
		t.Errorf("counted %d", got)
	}
}

func TestAnswersFollowTheScopes(t *testing.T) {
	w := newWorld(t, Settings{})
	_, a, _ := w.redeem(w.code(ada.Address, "scope", "https://graph.microsoft.com/Mail.Read"))
	if a.RefreshToken != "" || a.IDToken != "" || a.ClientInfo != "" {
		t.Errorf("more than was asked for: %+v", a)
	}
	if a.Scope != "https://graph.microsoft.com/Mail.Read" {
		t.Errorf("scope %q: must repeat the form that was asked for", a.Scope)
	}
	_, a, _ = w.redeem(w.code(ada.Address, "scope", "https://graph.microsoft.com/.default"))
	if b, err := w.p.Bearer("Bearer " + a.AccessToken); err != nil || !slices.Contains(b.Scopes, "Mail.Send") {
		t.Errorf(".default gave %+v, %v", b, err)
	}
}

func TestRefusedCodes(t *testing.T) {
	w := newWorld(t, Settings{})
	for _, c := range []struct {
		name  string
		pairs []string
		code  int
		oauth string
	}{
		{"no grant type", []string{"grant_type", "-"}, 900144, "invalid_request"},
		{"other grant type", []string{"grant_type", "password"}, 70003, "unsupported_grant_type"},
		{"no code", []string{"code", "-"}, 900144, "invalid_request"},
		{"unknown code", []string{"code", "junk"}, 9002313, "invalid_grant"},
		{"no verifier", []string{"code_verifier", "-"}, 501481, "invalid_grant"},
		{"other verifier", []string{"code_verifier", "x" + verifier}, 501481, "invalid_grant"},
		{"other redirect", []string{"redirect_uri", "http://127.0.0.1:8080/oauth/outlook/callback"}, 500112, "invalid_client"},
		{"no redirect", []string{"redirect_uri", "-"}, 900144, "invalid_request"},
		{"scope without consent", []string{"scope", "MailboxSettings.ReadWrite"}, 65001, "invalid_grant"},
		{"unknown scope", []string{"scope", "Mail.Burn"}, 70011, "invalid_scope"},
		{"two resources", []string{"scope", "https://graph.microsoft.com/Mail.Read https://outlook.office.com/SMTP.Send"}, 28000, "invalid_scope"},
		{"no client", []string{"client_id", "-"}, 900144, "invalid_request"},
		{"unknown client", []string{"client_id", "nobody"}, 700016, "unauthorized_client"},
		{"no secret", []string{"client_secret", "-"}, 7000218, "invalid_client"},
		{"wrong secret", []string{"client_secret", "guess"}, 7000215, "invalid_client"},
		{"malformed assertion", []string{"client_secret", "-", "client_assertion_type", assertionType, "client_assertion", "a.b"}, 700027, "invalid_client"},
		{"no assertion type", []string{"client_secret", "-", "client_assertion", "a.b.c"}, 900144, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			status, _, e := w.redeem(w.code(ada.Address), c.pairs...)
			want := http.StatusBadRequest
			if c.oauth == "invalid_client" {
				want = http.StatusUnauthorized
			}
			if status != want || e.Error != c.oauth || !slices.Equal(e.Codes, []int{c.code}) {
				t.Fatalf("%d %+v", status, e)
			}
			prefix := "AADSTS" + e.URI[strings.LastIndex(e.URI, "=")+1:] + ": "
			if !strings.HasPrefix(e.Description, prefix) || !strings.Contains(e.Description, "\r\nTrace ID: "+e.TraceID+"\r\nCorrelation ID: "+e.CorrelationID+"\r\nTimestamp: "+e.Timestamp) {
				t.Errorf("description %q", e.Description)
			}
		})
	}
}

func TestCodeIsSingleUseAndShortLived(t *testing.T) {
	w := newWorld(t, Settings{})
	code := w.code(ada.Address)
	if status, _, _ := w.redeem(code); status != http.StatusOK {
		t.Fatal(status)
	}
	if _, _, e := w.redeem(code); !slices.Equal(e.Codes, []int{54005}) {
		t.Errorf("second use: %+v", e)
	}
	code = w.code(ada.Address)
	w.clock.Advance(10 * time.Minute)
	if _, _, e := w.redeem(code); !slices.Equal(e.Codes, []int{70008}) {
		t.Errorf("after ten minutes: %+v", e)
	}
}

func TestPlainChallenge(t *testing.T) {
	w := newWorld(t, Settings{})
	if status, _, e := w.redeem(w.code(ada.Address, "code_challenge", verifier, "code_challenge_method", "-")); status != http.StatusOK {
		t.Errorf("plain by default: %d %+v", status, e)
	}
	if status, _, e := w.redeem(w.code(ada.Address, "code_challenge", "-", "code_challenge_method", "-"), "code_verifier", "-"); status != http.StatusOK {
		t.Errorf("without PKCE: %d %+v", status, e)
	}
}

func TestRefreshRotates(t *testing.T) {
	for _, strict := range []bool{false, true} {
		w := newWorld(t, Settings{StrictRotation: strict})
		first := w.connect(ada.Address).RefreshToken
		status, a, e := w.refresh(first)
		if status != http.StatusOK {
			t.Fatalf("%d %+v", status, e)
		}
		if a.RefreshToken == first || a.RefreshToken == "" || a.IDToken == "" {
			t.Errorf("answer %+v", a)
		}
		status, _, e = w.refresh(first)
		if strict && !slices.Equal(e.Codes, []int{70000}) || !strict && status != http.StatusOK {
			t.Errorf("strict %v: the old token again: %d %+v", strict, status, e)
		}
		if status, _, e := w.refresh(a.RefreshToken); status != http.StatusOK {
			t.Errorf("strict %v: the new token: %d %+v", strict, status, e)
		}
	}
}

func TestRefusedRefreshTokens(t *testing.T) {
	other := App{ClientID: "11111111-2222-4333-8444-555555555555", RedirectURIs: []string{callback}, Secrets: []Secret{{Value: "other"}}}
	w := newWorld(t, Settings{}, DefaultApp(), other)
	token := w.connect(ada.Address).RefreshToken
	if _, _, e := w.refresh(""); !slices.Equal(e.Codes, []int{9002313}) || e.Error != "invalid_grant" {
		t.Errorf("empty: %+v", e)
	}
	if _, _, e := w.refresh("junk"); !slices.Equal(e.Codes, []int{70000}) {
		t.Errorf("junk: %+v", e)
	}
	if _, _, e := w.refresh(token, "client_id", other.ClientID, "client_secret", "other"); !slices.Equal(e.Codes, []int{70000}) {
		t.Errorf("another client's: %+v", e)
	}
	if _, _, e := w.refresh(token, "scope", "MailboxSettings.ReadWrite"); !slices.Equal(e.Codes, []int{65001}) || e.Suberror != "consent_required" {
		t.Errorf("wider than consented: %+v", e)
	}
	if status, a, e := w.refresh(token, "scope", "Mail.Read"); status != http.StatusOK || a.Scope != "Mail.Read" {
		t.Errorf("narrower: %d %+v %+v", status, a, e)
	}
	w.clock.Advance(90 * 24 * time.Hour)
	_, _, e := w.refresh(token)
	if !slices.Equal(e.Codes, []int{700082}) || !strings.Contains(e.Description, "was inactive for 90.00:00:00.") {
		t.Errorf("after 90 days: %+v", e)
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t, Settings{})
	mine, others := w.connect(ada.Address), w.connect(grace.Address)
	w.p.Revoke(ada, true)
	if _, err := w.p.Bearer("Bearer " + mine.AccessToken); err != nil {
		t.Errorf("an access token that was to live on: %v", err)
	}
	w.p.Revoke(ada, false)
	if _, err := w.p.Bearer("Bearer " + mine.AccessToken); err != ErrTokenInvalid {
		t.Errorf("access token after revoke: %v", err)
	}
	if _, _, e := w.refresh(mine.RefreshToken); !slices.Equal(e.Codes, []int{50173}) || e.Error != "invalid_grant" {
		t.Errorf("refresh after revoke: %+v", e)
	}
	if status, _, _ := w.refresh(others.RefreshToken); status != http.StatusOK {
		t.Error("another user's grant was revoked too")
	}
	if _, err := w.p.Bearer("Bearer " + w.connect(ada.Address).AccessToken); err != nil {
		t.Errorf("connecting again after revoke: %v", err)
	}
}

func TestBlockedUserCannotRefresh(t *testing.T) {
	w := newWorld(t, Settings{})
	token := w.connect(ada.Address).RefreshToken
	for code, want := range map[int]struct{ oauth, sub string }{
		50057: {"invalid_grant", ""}, 50078: {"invalid_grant", "basic_action"}, 50076: {"interaction_required", "basic_action"},
		50173: {"invalid_grant", ""}, 70043: {"invalid_grant", "bad_token"}, 65001: {"invalid_grant", "consent_required"},
	} {
		if err := w.p.Block(ada, code); err != nil {
			t.Fatal(err)
		}
		if _, _, e := w.refresh(token); e.Error != want.oauth || e.Suberror != want.sub || !slices.Equal(e.Codes, []int{code}) || strings.Contains(e.Description, "%!") {
			t.Errorf("%d: %+v", code, e)
		}
	}
}

func TestEveryTextIsFilled(t *testing.T) {
	w := newWorld(t, Settings{})
	for code := range aadsts {
		if text := w.p.fill(code, ada).text; strings.Contains(text, "%!") {
			t.Errorf("%d: %s", code, text)
		}
	}
}

func TestSecrets(t *testing.T) {
	app := DefaultApp()
	now := time.Now()
	app.Secrets = []Secret{{Value: "old", Expires: now.Add(-time.Hour)}, {Value: "new", Expires: now.Add(time.Hour)}, {Value: "a b+c%"}}
	w := newWorld(t, Settings{InvalidClientStatus: http.StatusBadRequest}, app)
	if status, _, e := w.redeem(w.code(ada.Address), "client_secret", "old"); status != http.StatusBadRequest || !slices.Equal(e.Codes, []int{7000222}) {
		t.Errorf("expired: %d %+v", status, e)
	}
	if status, _, e := w.redeem(w.code(ada.Address), "client_secret", "new"); status != http.StatusOK {
		t.Errorf("second secret: %+v", e)
	}
	v := url.Values{"grant_type": {"authorization_code"}, "code": {w.code(ada.Address)}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/common/oauth2/v2.0/token", strings.NewReader(v.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(DefaultAppID, url.QueryEscape("a b+c%"))
	if r := w.do(req); r.status != http.StatusOK {
		t.Errorf("basic: %d %s", r.status, r.body)
	}
}

func TestPublicAppMustNotShowACredential(t *testing.T) {
	app := App{ClientID: DefaultAppID, RedirectURIs: []string{callback}, Public: true}
	w := newWorld(t, Settings{}, app)
	if _, _, e := w.redeem(w.code(ada.Address)); !slices.Equal(e.Codes, []int{700025}) {
		t.Errorf("with a secret: %+v", e)
	}
	if status, _, e := w.redeem(w.code(ada.Address), "client_secret", "-"); status != http.StatusOK {
		t.Errorf("without: %+v", e)
	}
}

func TestAccessTokens(t *testing.T) {
	w := newWorld(t, Settings{})
	a := w.connect(ada.Address)
	if strings.Count(a.AccessToken, ".") != 2 {
		t.Error("a work account's token is no JWT")
	}
	if m := w.connect(mary.Address); strings.Contains(m.AccessToken, ".") {
		t.Error("a personal account's token is a JWT")
	}
	for header, want := range map[string]error{
		"": ErrTokenMissing, "Bearer ": ErrTokenMissing, "Basic abc": ErrTokenMissing, "Bearer junk": ErrTokenMalformed,
		"Bearer " + a.AccessToken[:len(a.AccessToken)-8] + "AAAAAAAA": ErrTokenInvalid,
	} {
		if _, err := w.p.Bearer(header); err != want {
			t.Errorf("%q: %v, want %v", header, err, want)
		}
	}
	w.clock.Advance(time.Hour)
	if _, err := w.p.Bearer("Bearer " + a.AccessToken); err != ErrTokenExpired {
		t.Errorf("after an hour: %v", err)
	}
}

func TestUserinfo(t *testing.T) {
	w := newWorld(t, Settings{})
	a := w.connect(ada.Address)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/oidc/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.do(req); r.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", r.status)
	}
	req.Header.Set("Authorization", "Bearer "+a.AccessToken)
	if r := w.do(req); r.status != http.StatusOK || !strings.Contains(r.body, ada.Address) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestDiscoveryAndKeys(t *testing.T) {
	w := newWorld(t, Settings{})
	doc := decode[map[string]any](t, w.get(w.server.URL+"/common/v2.0/.well-known/openid-configuration").body)
	if doc["issuer"] != w.server.URL+"/{tenantid}/v2.0" || doc["token_endpoint"] != w.server.URL+"/common/oauth2/v2.0/token" {
		t.Errorf("common: %v", doc)
	}
	doc = decode[map[string]any](t, w.get(w.server.URL+"/contoso.example/v2.0/.well-known/openid-configuration").body)
	if doc["issuer"] != w.server.URL+"/"+DefaultTenant+"/v2.0" {
		t.Errorf("tenant: %v", doc["issuer"])
	}
	if r := w.get(w.server.URL + "/fabrikam.example/v2.0/.well-known/openid-configuration"); r.status != http.StatusBadRequest || !strings.Contains(r.body, "AADSTS90002") {
		t.Errorf("unknown tenant: %d %s", r.status, r.body)
	}
	keys := decode[struct{ Keys []map[string]any }](t, w.get(w.server.URL+"/common/discovery/v2.0/keys").body)
	if len(keys.Keys) != 1 || keys.Keys[0]["kid"] != w.p.signer.Kid || keys.Keys[0]["e"] != "AQAB" {
		t.Errorf("keys: %v", keys)
	}
}

func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Settings{})
	extra, err := w.p.Register(App{RedirectURIs: []string{callback}, Secrets: []Secret{{Value: "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	adas, graces := w.connect(ada.Address), w.connect(grace.Address)
	w.p.Revoke(grace, false)
	if err := w.p.Save(dir); err != nil {
		t.Fatal(err)
	}
	next := newWorld(t, Settings{})
	if err := next.p.Load(dir); err != nil {
		t.Fatal(err)
	}
	if status, _, e := next.refresh(adas.RefreshToken); status != http.StatusOK {
		t.Errorf("a refresh token after a restart: %+v", e)
	}
	if _, _, e := next.refresh(graces.RefreshToken); !slices.Equal(e.Codes, []int{50173}) {
		t.Errorf("a revoked one after a restart: %+v", e)
	}
	if next.p.signer.Kid == "" || !slices.ContainsFunc(next.p.Apps(), func(a App) bool { return a.ClientID == extra.ClientID }) {
		t.Error("the app is gone")
	}
	if err := next.p.Load(t.TempDir()); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

// What lies in a state folder is of no use to who finds it.
func TestStateHoldsNoToken(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Settings{})
	a := w.connect(ada.Address)
	if err := w.p.Save(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/" + stateFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), a.RefreshToken) || strings.Contains(string(text), a.AccessToken) {
		t.Error("a token in the state folder")
	}
}
