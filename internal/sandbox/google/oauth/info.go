package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// idLifetime is how long an id token is good.
const idLifetime = time.Hour

// hosted is the domain of an organisation's user; "" for Google's own.
func hosted(address string) string {
	_, domain, _ := strings.Cut(strings.ToLower(address), "@")
	if strings.HasPrefix(domain, "gmail.") || strings.HasPrefix(domain, "googlemail.") {
		return ""
	}
	return domain
}

// idClaims are an id token's (OpenID Connect Core 2, 3.1.3.6).
func (p *Provider) idClaims(user cloud.User, client string, scopes []string, nonce, token string) map[string]any {
	now := p.now()
	sum := sha256.Sum256([]byte(token))
	claims := p.profile(user, scopes)
	claims["iss"], claims["azp"], claims["aud"] = Issuer, client, client
	claims["iat"], claims["exp"] = now.Unix(), now.Add(idLifetime).Unix()
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16])
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return claims
}

// profile is what the scopes show of a user.
func (p *Provider) profile(user cloud.User, scopes []string) map[string]any {
	out := map[string]any{"sub": user.ID}
	if slices.Contains(scopes, scopeEmail) {
		out["email"], out["email_verified"] = user.Address, true
	}
	if slices.Contains(scopes, scopeProfile) {
		given, family, _ := strings.Cut(user.Name, " ")
		out["name"], out["given_name"], out["family_name"] = user.Name, given, family
	}
	if hd := hosted(user.Address); hd != "" {
		out["hd"] = hd
	}
	return out
}

// userinfo answers OpenID Connect Core 5.3.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	b, ok := p.Bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_request"`)
		writeRefusal(w, &refusal{http.StatusUnauthorized, "invalid_request", "Invalid Credentials", ""})
		return
	}
	if b.ServiceAccount != "" {
		writeJSON(w, http.StatusOK, map[string]any{"sub": b.Client, "email": b.ServiceAccount, "email_verified": true})
		return
	}
	if !slices.ContainsFunc(b.Scopes, isIdentity) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="openid `+scopeEmail+`"`)
		writeRefusal(w, &refusal{http.StatusForbidden, "insufficient_scope", "Request had insufficient authentication scopes.", ""})
		return
	}
	writeJSON(w, http.StatusOK, p.profile(b.User, b.Scopes))
}

// tokeninfo says what an access token or an id token is. All values are
// strings.
func (p *Provider) tokeninfo(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	invalid := &refusal{http.StatusBadRequest, "invalid_token", "Invalid Value", ""}
	if err := r.ParseForm(); err != nil {
		writeRefusal(w, invalid)
		return
	}
	out := map[string]string{}
	if id := r.Form.Get("id_token"); id != "" {
		claims, err := p.verify(id)
		if err != nil {
			writeRefusal(w, invalid)
			return
		}
		for k, v := range claims {
			if n, ok := v.(float64); ok {
				v = int64(n)
			}
			out[k] = fmt.Sprint(v)
		}
		writeJSON(w, http.StatusOK, out)
		return
	}
	b, ok := p.bearer(r.Form.Get("access_token"))
	if !ok {
		writeRefusal(w, invalid)
		return
	}
	out["azp"], out["aud"], out["scope"] = b.Client, b.Client, strings.Join(b.Scopes, " ")
	out["exp"] = strconv.FormatInt(b.expires.Unix(), 10)
	out["expires_in"] = strconv.Itoa(int(b.expires.Sub(p.now()) / time.Second))
	out["access_type"] = "online"
	if b.ServiceAccount == "" {
		for k, v := range p.profile(b.User, b.Scopes) {
			out[k] = fmt.Sprint(v)
		}
	}
	writeJSON(w, http.StatusOK, out)
}

// discovery answers OpenID Connect Discovery 1.0, section 4. The issuer is
// Google's, whatever the host: that is what the tokens say.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host
	w.Header().Set("Cache-Control", "public, max-age=3600")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                Issuer,
		"authorization_endpoint":                base + "/o/oauth2/v2/auth",
		"token_endpoint":                        base + "/token",
		"userinfo_endpoint":                     base + "/v1/userinfo",
		"revocation_endpoint":                   base + "/revoke",
		"jwks_uri":                              base + "/oauth2/v3/certs",
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "email", "profile"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"claims_supported":                      []string{"aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss", "name", "sub"},
		"code_challenge_methods_supported":      []string{"plain", "S256"},
		"grant_types_supported":                 []string{"authorization_code", "refresh_token", grantAssertion},
	})
}
