package identity

import (
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// skew is how far a client's clock may be off.
const skew = 5 * time.Minute

// authenticate finds the client of a token request and checks its credential:
// client_secret_post, HTTP Basic (RFC 6749 2.3.1) or a signed assertion
// (RFC 7523 2.2).
func (p *Provider) authenticate(r *http.Request) (*registration, *refusal) {
	form := r.PostForm
	clientID, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		// Both halves are form-encoded first (RFC 6749 2.3.1); what does not
		// decode is taken as it is.
		clientID, secret = unescaped(user), unescaped(password)
	}
	if clientID == "" {
		return nil, refuse(900144, "client_id")
	}
	app, ok := p.app(clientID)
	if !ok {
		return nil, refuse(700016, clientID)
	}
	assertion := form.Get("client_assertion")
	if app.Public {
		if secret != "" || assertion != "" {
			return nil, refuse(700025)
		}
		return app, nil
	}
	switch {
	case assertion != "":
		if form.Get("client_assertion_type") != assertionType {
			return nil, refuse(900144, "client_assertion_type")
		}
		return app, p.checkAssertion(r, app, assertion)
	case secret != "":
		return app, app.checkSecret(secret, p.now())
	}
	return nil, refuse(7000218)
}

func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// checkAssertion verifies a client assertion: signed by a registered
// certificate, made for this token endpoint, in force now.
func (p *Provider) checkAssertion(r *http.Request, app *registration, assertion string) *refusal {
	j, err := jwt.Read(assertion)
	if err != nil {
		return refuse(700027, "The assertion is malformed", "")
	}
	thumb := j.Header.X5tS256
	if thumb == "" {
		thumb = j.Header.X5t
	}
	cert := app.certificate(j.Header.X5t, j.Header.X5tS256)
	if cert == nil {
		return refuse(700027, "The key was not found", hex.EncodeToString([]byte(thumb)))
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || j.VerifiedBy(key) != nil {
		return refuse(700027, "The key used is known, but the signature does not match", hex.EncodeToString([]byte(thumb)))
	}
	var claims struct {
		Aud string `json:"aud"`
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		Nbf int64  `json:"nbf"`
		Exp int64  `json:"exp"`
	}
	if err := json.Unmarshal(j.Payload, &claims); err != nil {
		return refuse(700027, "The claims are malformed", "")
	}
	if !strings.EqualFold(claims.Iss, app.ClientID) || !strings.EqualFold(claims.Sub, app.ClientID) {
		return refuse(700027, "Issuer and subject are not the application", "")
	}
	if !ownAudience(claims.Aud, r) {
		return refuse(700023)
	}
	now, from, until := p.now(), time.Unix(claims.Nbf, 0), time.Unix(claims.Exp, 0)
	if claims.Exp == 0 || now.After(until.Add(skew)) || now.Before(from.Add(-skew)) {
		const layout = "2006-01-02T15:04:05.0000000Z"
		return refuse(700024, now.UTC().Format(layout), from.UTC().Format(layout), until.UTC().Format(layout))
	}
	return nil
}

// ownAudience: the token endpoint, or the issuer, of any tenant at this host.
func ownAudience(aud string, r *http.Request) bool {
	u, err := url.Parse(aud)
	if err != nil || u.Scheme != "https" || u.Host != r.Host {
		return false
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return rest == "oauth2/v2.0/token" || rest == "v2.0"
}
