package oauth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// A ServiceAccount is a program's own account in a project.
type ServiceAccount struct {
	Email   string
	ID      string // unique id, 21 digits
	Project string
	KeyID   string
	key     *rsa.PrivateKey
}

// maxAssertion is how long an assertion may be good, clockSkew what clocks may
// differ.
const (
	maxAssertion = time.Hour
	clockSkew    = 5 * time.Minute
)

// AddServiceAccount makes an account name@project.iam.gserviceaccount.com with
// a key, or gives the one that there is.
func (p *Provider) AddServiceAccount(name, project string) (ServiceAccount, error) {
	email := name + "@" + project + ".iam.gserviceaccount.com"
	p.mu.Lock()
	have, ok := p.services[email]
	p.mu.Unlock()
	if ok {
		return *have, nil
	}
	key := p.key
	if key == nil {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return ServiceAccount{}, fmt.Errorf("make the key of a service account: %w", err)
		}
	}
	var id [20]byte
	rand.Read(id[:]) // never fails
	a := &ServiceAccount{Email: email, ID: AccountID(email), Project: project, KeyID: hex.EncodeToString(id[:]), key: key}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services[email] = a
	return *a, nil
}

// ServiceAccount finds one by its address.
func (p *Provider) ServiceAccount(email string) (ServiceAccount, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.services[email]
	if !ok {
		return ServiceAccount{}, false
	}
	return *a, true
}

// KeyFile is the account's key as the console hands it out, with the token
// endpoint under base.
func (a ServiceAccount) KeyFile(base string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of a service account: %w", err)
	}
	return json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": a.Project, "private_key_id": a.KeyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": a.Email, "client_id": a.ID,
		"auth_uri": base + "/o/oauth2/v2/auth", "token_uri": base + "/token",
		"universe_domain": "googleapis.com",
	}, "", "  ")
}

// redeemAssertion takes a service account's signed assertion (RFC 7523 3).
func (p *Provider) redeemAssertion(r *http.Request) (*tokenAnswer, error) {
	j, err := jwt.Read(r.PostForm.Get("assertion"))
	if err != nil {
		return nil, badGrant("Invalid JWT: " + err.Error())
	}
	var claims struct {
		Iss   string `json:"iss"`
		Sub   string `json:"sub"`
		Aud   string `json:"aud"`
		Scope string `json:"scope"`
		Iat   int64  `json:"iat"`
		Exp   int64  `json:"exp"`
	}
	if err := json.Unmarshal(j.Payload, &claims); err != nil {
		return nil, badGrant("Invalid JWT: the claims are no JSON object.")
	}
	account, ok := p.ServiceAccount(claims.Iss)
	switch {
	case !ok:
		return nil, badGrant("Invalid grant: account not found")
	case j.Header.Alg != "RS256" || j.Header.Kid != "" && j.Header.Kid != account.KeyID || j.VerifiedBy(&account.key.PublicKey) != nil:
		return nil, badGrant("Invalid JWT Signature.")
	case claims.Sub != "" && claims.Sub != claims.Iss:
		return nil, &refusal{http.StatusUnauthorized, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.", ""}
	case !slices.Contains([]string{"http://" + r.Host + r.URL.Path, "https://" + r.Host + r.URL.Path, "https://oauth2.googleapis.com/token", "https://www.googleapis.com/oauth2/v4/token"}, claims.Aud):
		return nil, badGrant("Invalid JWT: Failed audience check.")
	}
	now, issued, expires := p.now(), time.Unix(claims.Iat, 0), time.Unix(claims.Exp, 0)
	if issued.After(now.Add(clockSkew)) || !now.Before(expires.Add(clockSkew)) || expires.Sub(issued) > maxAssertion {
		return nil, badGrant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	}
	scopes, bad := p.settings.parseScopes(claims.Scope)
	if len(bad) > 0 || len(scopes) == 0 {
		return nil, &refusal{http.StatusBadRequest, "invalid_scope", "Invalid OAuth scope or ID token audience provided.", ""}
	}
	return &tokenAnswer{
		AccessToken: p.mintAccess(access{service: account.Email, client: account.ID, scopes: scopes}),
		ExpiresIn:   int(p.settings.AccessTokenLifetime / time.Second), TokenType: "Bearer",
	}, nil
}

// AccountID is the id of 21 digits of the account at an address: the sub of its
// tokens.
func AccountID(address string) string {
	n := 0
	digits := []byte("1")
	for _, c := range signin.Hash(strings.ToLower(address)) {
		if n++; n > 20 {
			break
		}
		digits = append(digits, '0'+byte(c)%10)
	}
	return string(digits)
}
