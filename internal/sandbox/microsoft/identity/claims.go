package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// idClaims are the claims of an id token (id token claims reference, v2.0).
// Users are keyed on (tid, oid); sub differs from app to app.
func (p *Provider) idClaims(user cloud.User, client, host string, g grant) map[string]any {
	now := p.now()
	claims := map[string]any{
		"ver": "2.0", "iss": "https://" + host + "/" + p.TenantOf(user) + "/v2.0", "aud": client,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"sub": pairwise(user.ID, client), "oid": user.ID, "tid": p.TenantOf(user),
		"uti": uuid.NewString(),
	}
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if slices.Contains(g.Scopes, "profile") {
		claims["preferred_username"], claims["name"] = user.Address, user.Name
	}
	if slices.Contains(g.Scopes, "email") {
		claims["email"] = user.Address
	}
	return claims
}

// accessClaims are those of a work account's access token for Graph. A client
// must not look at them.
func (p *Provider) accessClaims(user cloud.User, client string, names []string, now, expires time.Time) map[string]any {
	return map[string]any{
		"aud": "https://graph.microsoft.com", "iss": "https://sts.windows.net/" + p.TenantOf(user) + "/",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(), "ver": "1.0", "appid": client, "appidacr": "1",
		"idtyp": "user", "name": user.Name, "oid": user.ID, "scp": strings.Join(permissions(names), " "),
		"sub": pairwise(user.ID, client), "tid": p.TenantOf(user), "unique_name": user.Address, "upn": user.Address,
		"uti": uuid.NewString(),
	}
}

func pairwise(userID, client string) string {
	sum := sha256.Sum256([]byte(userID + "\x00" + strings.ToLower(client)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// A Bearer is who and what an access token stands for.
type Bearer struct {
	User   cloud.User
	Client string
	Scopes []string
}

// A TokenProblem is why an access token is refused, as Graph words it.
type TokenProblem string

func (t TokenProblem) Error() string { return string(t) }

// The reasons that Bearer gives.
const (
	ErrTokenMissing   TokenProblem = "Access token is empty."
	ErrTokenMalformed TokenProblem = "CompactToken parsing failed with error code: 80049217"
	ErrTokenInvalid   TokenProblem = "Access token validation failure."
	ErrTokenExpired   TokenProblem = "Lifetime validation failed, the token is expired."
)

// Bearer looks an Authorization header up.
func (p *Provider) Bearer(header string) (Bearer, error) {
	kind, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return Bearer{}, ErrTokenMissing
	}
	now := p.now()
	p.mu.Lock()
	a, ok := p.access[signin.Hash(token)]
	p.mu.Unlock()
	if !ok {
		return Bearer{}, p.unknownToken(token, now)
	}
	if !now.Before(a.expires) {
		return Bearer{}, ErrTokenExpired
	}
	user, ok := p.users.UserByID(a.user)
	if !ok {
		return Bearer{}, ErrTokenInvalid
	}
	return Bearer{User: user, Client: a.client, Scopes: slices.Clone(a.scopes)}, nil
}

// unknownToken says why a token is not known: one of our own that ran out long
// ago, one that was revoked or made by somebody else, or no token at all.
func (p *Provider) unknownToken(token string, now time.Time) error {
	j, err := jwt.Read(token)
	if err != nil {
		return ErrTokenMalformed
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(j.Payload, &claims) == nil && claims.Exp != 0 && now.Unix() >= claims.Exp {
		return ErrTokenExpired
	}
	return ErrTokenInvalid
}

// userinfo answers OpenID Connect Core 5.3; the discovery document names it.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	b, err := p.Bearer(r.Header.Get("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"code": "InvalidAuthenticationToken", "message": err.Error()}})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{
		"sub": pairwise(b.User.ID, b.Client), "name": b.User.Name, "email": b.User.Address,
	})
}
