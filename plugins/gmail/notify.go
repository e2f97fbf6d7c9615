package gmail

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// maxNotification bounds the body of a push; Pub/Sub sends some hundred
	// bytes for Gmail.
	maxNotification = 1 << 20
	// maxAddress is what RFC 5321, 4.5.3.1 allows, and some more.
	maxAddress = 512
)

// Notify answers a push of Pub/Sub. Its only proof is the token that it comes
// with: signed by Google, for this URL, in the name of the service account that
// the settings name. Whatever is wrong is refused without a word of why.
//
// What is authentic is acknowledged, also where nothing can be made of it:
// Pub/Sub would bring it again for days. Messages are late, doubled and out of
// order; Changes says what happened.
func (p *Provider) Notify(ctx context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	conf := p.conf.Load()
	switch {
	case conf == nil:
		return status(http.StatusServiceUnavailable), nil
	case conf.push == nil:
		return status(http.StatusForbidden), nil
	case req.Method != http.MethodPost:
		return status(http.StatusMethodNotAllowed), nil
	case req.Path != "" && req.Path != "/":
		return status(http.StatusNotFound), nil
	case len(req.Body) > maxNotification:
		return status(http.StatusRequestEntityTooLarge), nil
	}
	token := bearer(req.Header)
	if token == "" {
		return status(http.StatusUnauthorized), nil
	}
	if err := conf.push.verify(ctx, token); err != nil {
		var refused errToken
		if !errors.As(err, &refused) {
			// The keys could not be had: it may be right, and shall come again.
			p.log().WarnContext(ctx, "a push could not be verified", "error", err)
			return status(http.StatusServiceUnavailable), nil
		}
		p.log().InfoContext(ctx, "a push was refused", "error", err)
		return status(http.StatusForbidden), nil
	}
	address, err := parsePush(req.Body)
	if err != nil {
		p.log().WarnContext(ctx, "a push says nothing that can be read", "error", err, "bytes", len(req.Body))
		return status(http.StatusNoContent), nil
	}
	resp := status(http.StatusOK)
	resp.Hints = []provider.Hint{changed(address)}
	p.echo(resp.Hints[0])
	return resp, nil
}

func status(code int) *provider.NotifyResponse { return &provider.NotifyResponse{Status: code} }

// changed is the hint of a notification. Addresses are compared in lower case:
// Gmail tells them in the spelling of the account.
func changed(address string) provider.Hint {
	return provider.Hint{Kind: provider.HintChanged, LookupKey: lookupKey(address)}
}

func lookupKey(address string) string { return strings.ToLower(address) }

// bearer gives the token of an Authorization header (RFC 6750, 2.1).
func bearer(header map[string][]string) string {
	for name, values := range header {
		if !strings.EqualFold(name, "Authorization") || len(values) != 1 {
			continue
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

// pushVerifier knows who may push: one service account, to one audience.
type pushVerifier struct {
	keys     *keySet
	audience string
	account  string
	now      func() time.Time
}

// issuers are Google's two names of itself (OpenID Connect Core, 15.6.2).
var issuers = []string{"https://accounts.google.com", "accounts.google.com"}

// verify holds a token against all that it must say. What needs no key comes
// first, so that rubbish leads to no request.
func (v *pushVerifier) verify(ctx context.Context, token string) error {
	t, err := parseToken(token)
	if err != nil {
		return err
	}
	c := &t.claims
	switch {
	case !slices.Contains(issuers, c.Issuer):
		return errToken("another issuer")
	case !slices.Contains(c.Audience, v.audience):
		return errToken("another audience")
	case !bool(c.EmailVerified) || subtle.ConstantTimeCompare([]byte(strings.ToLower(c.Email)), []byte(strings.ToLower(v.account))) != 1:
		return errToken("another service account")
	}
	if err := c.timely(v.now()); err != nil {
		return err
	}
	key, err := v.keys.key(ctx, t.kid)
	if err != nil {
		return err
	}
	return t.verify(key)
}

// pubsubMessage is a message of Pub/Sub. Pushes write some names twice, in two
// spellings; a pull writes one.
type pubsubMessage struct {
	Data      string `json:"data"`
	MessageID string `json:"messageId"`
}

// mailboxEvent is what Gmail publishes. historyId is a number, or a string as
// Google's documents have it; it is not used: the cursor alone says how far an
// account has been read.
type mailboxEvent struct {
	EmailAddress string          `json:"emailAddress"`
	HistoryID    json.RawMessage `json:"historyId"`
}

var errPayload = errors.New("not a notification of Gmail")

// parsePush reads a push: wrapped in an envelope, or the payload alone where
// the subscription unwraps it.
func parsePush(body []byte) (address string, err error) {
	var doc struct {
		Message *pubsubMessage `json:"message"`
		mailboxEvent
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", errPayload
	}
	if doc.Message == nil {
		return doc.address()
	}
	return doc.Message.address()
}

// address reads the payload of a message, in either alphabet of RFC 4648, with
// or without padding.
func (m *pubsubMessage) address() (string, error) {
	plain := strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(strings.TrimRight(m.Data, "="))
	data, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		return "", errPayload
	}
	var e mailboxEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return "", errPayload
	}
	return e.address()
}

func (e *mailboxEvent) address() (string, error) {
	id := string(bytes.Trim(e.HistoryID, `"`))
	if e.EmailAddress == "" || len(e.EmailAddress) > maxAddress || !strings.Contains(e.EmailAddress, "@") ||
		id == "" || strings.Trim(id, "0123456789") != "" {
		return "", errPayload
	}
	return e.EmailAddress, nil
}
