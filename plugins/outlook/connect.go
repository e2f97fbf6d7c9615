package outlook

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// pending is what BeginConnect must know again in FinishConnect.
type pending struct {
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	State    string `json:"state"`
	ClientID string `json:"client_id"`
}

// oidcScopes are asked for at the sign-in page and added to token requests by
// the library itself, which refuses to be given them.
var oidcScopes = []string{"openid", "profile", "email", "offline_access"}

func resourceScopes(scopes []string) []string {
	var out []string
	for _, s := range scopes {
		if !slices.Contains(oidcScopes, strings.ToLower(s)) {
			out = append(out, s)
		}
	}
	return out
}

// BeginConnect makes the authorize URL (RFC 6749, 4.1.1; PKCE, RFC 7636; nonce,
// OpenID Connect Core 3.1.2.1). The library's own URL has neither state nor
// nonce nor PKCE nor the scopes of OpenID.
func (p *Provider) BeginConnect(_ context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
	const op = "begin connect"
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(op)
	}
	redirect := req.RedirectURL
	if redirect == "" {
		redirect = conf.redirectURL
	}
	if redirect == "" || req.State == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: op, Message: "a redirect URL and a state are needed"}
	}
	pend := pending{Verifier: oauth.Secret(), Nonce: oauth.Secret(), State: req.State, ClientID: conf.clientID}
	data, err := json.Marshal(pend)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: op, Message: "encode pending state"}
	}
	q := url.Values{
		"client_id":             {conf.clientID},
		"response_type":         {"code"},
		"response_mode":         {"query"},
		"redirect_uri":          {redirect},
		"scope":                 {strings.Join(conf.scopes, " ")},
		"state":                 {req.State},
		"nonce":                 {pend.Nonce},
		"code_challenge":        {oauth.Challenge(pend.Verifier)},
		"code_challenge_method": {"S256"},
	}
	if conf.prompt != "" {
		q.Set("prompt", conf.prompt)
	}
	if req.LoginHint != "" {
		q.Set("login_hint", req.LoginHint)
	}
	return &provider.BeginConnectResponse{URL: conf.authorizeURL + "?" + msgraph.EncodeQuery(q), Pending: data}, nil
}

const opFinish = "finish connect"

// FinishConnect redeems the code and finds out whose mailbox it opens.
func (p *Provider) FinishConnect(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(opFinish)
	}
	ctx, done := p.calls.Add(ctx)
	defer done()
	if req.Approval {
		return &provider.FinishConnectResponse{}, approval(req.Params)
	}
	redirect := req.RedirectURL
	if redirect == "" {
		redirect = conf.redirectURL
	}
	var pend pending
	if err := json.Unmarshal(req.Pending, &pend); err != nil || pend.Verifier == "" || pend.Nonce == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Message: "the connection attempt cannot be read"}
	}
	if pend.ClientID != conf.clientID {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "other_application", Message: "the settings changed during the sign-in; start again"}
	}
	params := url.Values(req.Params)
	if s := params.Get("state"); s != "" && subtle.ConstantTimeCompare([]byte(s), []byte(pend.State)) != 1 {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "state_mismatch", Message: "the answer belongs to another connection attempt"}
	}
	if params.Get("error") != "" {
		return nil, conf.withLink(refusedConsent(params), req, redirect)
	}
	code := params.Get("code")
	if code == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Message: "the answer of the sign-in page carries no code"}
	}
	g, claims, x, err := p.redeem(ctx, conf, code, redirect, &pend)
	if err != nil {
		return nil, conf.withLink(err, req, redirect)
	}
	who, err := p.whoami(ctx, conf, x.token, claims)
	if err != nil {
		return nil, err
	}
	data, err := g.bytes()
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: opFinish, Message: "encode grant"}
	}
	who.Subject = g.subject()
	return &provider.FinishConnectResponse{Accounts: []provider.ConnectedAccount{*who}, Granted: g.Scopes, Grant: data}, nil
}

// refusedConsent reads the error that the sign-in page came back with.
func refusedConsent(params url.Values) error {
	r := tokenRefusal{Error: params.Get("error"), SubError: params.Get("error_subcode"), Description: params.Get("error_description")}
	code := r.code()
	e := &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: code, Message: "the sign-in was not completed"}
	switch {
	case needsAdmin(&r):
		e.Code, e.Message = codeAdminConsent, "an administrator must allow this application first ("+code+")"
	case r.Error == "access_denied":
		e.Code, e.Message = codeAccessDenied, "access was declined at the sign-in page"
	case r.verdict() == configure:
		e.Kind, e.Message = mail.KindMisconfigured, r.fault()
	case r.verdict() == retry:
		e.Kind, e.Message = mail.KindUnavailable, "the sign-in service is not available"
	}
	return e
}

// needsAdmin: which of the two codes comes depends on the tenant's policy.
func needsAdmin(r *tokenRefusal) bool {
	return slices.Contains(r.Codes, 90094) || slices.Contains(r.Codes, 65001) || r.Error == "consent_required"
}

// idClaims are the claims of the id_token that are of use. Its signature need
// not be checked: it came over TLS from the token endpoint itself (OpenID
// Connect Core, 3.1.3.7, 6).
type idClaims struct {
	Audience string `json:"aud"`
	Nonce    string `json:"nonce"`
	Tenant   string `json:"tid"`
	Object   string `json:"oid"`
	Username string `json:"preferred_username"`
	Email    string `json:"email"`
	Name     string `json:"name"`
}

// redeemed carries the first access token, which is used for one question.
type redeemed struct{ token string }

func (r redeemed) Token(context.Context) (string, error)         { return r.token, nil }
func (r redeemed) Renew(context.Context, string) (string, error) { return r.token, nil }

func (p *Provider) redeem(ctx context.Context, conf *config, code, redirect string, pend *pending) (*grant, *idClaims, redeemed, error) {
	x := &exchange{http: conf.authHTTP, now: p.now}
	var blob json.RawMessage
	store := &blobCache{export: func(b json.RawMessage) error { blob = b; return nil }}
	client, err := conf.signInClient(x, store)
	if err != nil {
		return nil, nil, redeemed{}, &mail.Error{Kind: mail.KindMisconfigured, Op: opFinish, Message: "the sign-in settings cannot be used", Err: err}
	}
	result, err := client.AcquireTokenByAuthCode(ctx, code, redirect, resourceScopes(conf.scopes), confidential.WithChallenge(pend.Verifier))
	if err != nil {
		return nil, nil, redeemed{}, redeemError(x, err)
	}
	claims, err := parseIDToken(result.IDToken.RawToken)
	if err != nil {
		return nil, nil, redeemed{}, &mail.Error{Kind: mail.KindUnavailable, Op: opFinish, Code: "bad_id_token", Message: err.Error()}
	}
	if subtle.ConstantTimeCompare([]byte(claims.Nonce), []byte(pend.Nonce)) != 1 || claims.Audience != conf.clientID {
		return nil, nil, redeemed{}, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "nonce_mismatch", Message: "the answer belongs to another sign-in"}
	}
	g := &grant{
		Version: grantVersion, ClientID: conf.clientID, HomeAccountID: result.Account.HomeAccountID,
		Tenant: claims.Tenant, Object: claims.Object, Scopes: bareScopes(x.scopes), Cache: blob,
	}
	if !slices.ContainsFunc(g.Scopes, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "mail.read") }) {
		return nil, nil, redeemed{}, &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeMissingScope, Message: "access to mail was not given"}
	}
	if !strings.Contains(string(blob), `"RefreshToken"`) {
		return nil, nil, redeemed{}, &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeMissingScope, Message: "lasting access (offline_access) was not given"}
	}
	return g, claims, redeemed{result.AccessToken}, nil
}

// redeemError: what would end a grant refuses a code that is to become one.
func redeemError(x *exchange, err error) error {
	e := x.failure(opFinish, err)
	if e.Kind == mail.KindGrantExpired {
		var r tokenRefusal
		_ = json.Unmarshal(x.refused, &r)
		e.Kind, e.Message = mail.KindForbidden, "the sign-in was refused; start again"
		if needsAdmin(&r) {
			e.Message = "an administrator must allow this application first (" + e.Code + ")"
			e.Code = codeAdminConsent
		}
	}
	return e
}

// bareScopes spells scopes without the resource that Microsoft may put in
// front of them.
func bareScopes(scopes []string) []string {
	out := make([]string, 0, len(scopes))
	for _, s := range scopes {
		if i := strings.LastIndexByte(s, '/'); i >= 0 && strings.Contains(s, "://") {
			s = s[i+1:]
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func parseIDToken(raw string) (*idClaims, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("the sign-in service gave no id_token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, errors.New("the id_token cannot be read")
	}
	var c idClaims
	if json.Unmarshal(payload, &c) != nil || c.Tenant == "" || c.Object == "" {
		return nil, errors.New("the id_token names no tenant and object")
	}
	return &c, nil
}

// whoami asks for the owner's address and name.
func (p *Provider) whoami(ctx context.Context, conf *config, token string, claims *idClaims) (*provider.ConnectedAccount, error) {
	graph := msgraph.New(msgraph.Options{Base: conf.graphURL, HTTP: conf.http, Tokens: redeemed{token}, Log: p.log()})
	var me msgraph.User
	err := graph.Do(ctx, &msgraph.Request{
		Op: opFinish, Method: http.MethodGet, Path: "/me",
		Query:    url.Values{"$select": {"id,displayName,mail,userPrincipalName"}},
		Priority: pace.Priority(provider.Interactive),
	}, &me)
	if err != nil && mail.KindOf(err) != mail.KindForbidden {
		return nil, err
	}
	// Without User.Read the id_token has to do. mail is null for some personal
	// accounts.
	who := &provider.ConnectedAccount{Name: first(me.DisplayName, claims.Name)}
	for _, a := range []string{me.Mail, claims.Email, me.UserPrincipalName, claims.Username} {
		if strings.Contains(a, "@") {
			who.Address = a
			return who, nil
		}
	}
	return nil, &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: "no_mailbox", Message: "the account has no mail address"}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
