package gmail

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const (
	pubsubScope = "https://www.googleapis.com/auth/pubsub"
	// pullBatch is how many messages one pull asks for.
	pullBatch = 100
	// pullTimeout is longer than Pub/Sub holds a pull that has nothing to tell,
	// and shorter than the client waits for a header.
	pullTimeout = 100 * time.Second
	// ackTimeout bounds an acknowledgement: one that is not answered comes to
	// nothing, and the messages again.
	ackTimeout = 30 * time.Second
	// maxPull bounds the answer to a pull, in bytes.
	maxPull = 16 << 20
)

// serviceAccount is a service account with its key, which gets tokens by signing
// for itself (RFC 7523).
type serviceAccount = jwt.Config

// parseServiceAccount reads the JSON key file that Google Cloud makes for a
// service account. What the file holds is in no error: it is a key.
func parseServiceAccount(data []byte) (*serviceAccount, error) {
	var a struct {
		Type       string `json:"type"`
		Email      string `json:"client_email"`
		KeyID      string `json:"private_key_id"`
		PrivateKey string `json:"private_key"`
		TokenURL   string `json:"token_uri"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, errors.New("no JSON key file")
	}
	if a.Type != "service_account" || a.Email == "" {
		return nil, errors.New("not the key file of a service account")
	}
	block, _ := pem.Decode([]byte(a.PrivateKey))
	if block == nil {
		return nil, errors.New("it holds no private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if _, ok := key.(*rsa.PrivateKey); err != nil || !ok {
		return nil, errors.New("it holds no RSA private key that can be read")
	}
	return &serviceAccount{Email: a.Email, PrivateKey: []byte(a.PrivateKey), PrivateKeyID: a.KeyID, TokenURL: a.TokenURL, Scopes: []string{pubsubScope}}, nil
}

// makePush makes what the settings give to be told of changes: who verifies
// pushes, and what is pulled from.
func (p *Provider) makePush(c *config) {
	if c.pushAccount != "" && c.pushAudience != "" {
		c.push = &pushVerifier{keys: newKeySet(c.certsURL, c.authHTTP, p.now), audience: c.pushAudience, account: c.pushAccount, now: p.now}
	}
	if c.subscription != "" && c.serviceAccount != nil {
		account := *c.serviceAccount
		if account.TokenURL == "" {
			account.TokenURL = c.oauth.Endpoint.TokenURL
		}
		c.pull = &subscription{base: c.pubsubURL, name: c.subscription, topic: c.topic, account: &account, http: c.http}
	}
}

// subscription is a pull subscription of the topic that Gmail publishes to.
type subscription struct {
	base    string // ends in a slash
	name    string // projects/P/subscriptions/S
	topic   string
	account *serviceAccount
	http    *http.Client
}

// puller reads a subscription, in the name of the service account. The token is
// asked for once, however many requests want it, and anew before it runs out.
type puller struct {
	*subscription
	ctx    context.Context
	mu     sync.Mutex
	tokens oauth2.TokenSource
}

// puller makes one whose requests for tokens end with ctx.
func (s *subscription) puller(ctx context.Context) *puller {
	client := &http.Client{Transport: during{ctx, s.http.Transport}, CheckRedirect: s.http.CheckRedirect, Timeout: time.Minute}
	p := &puller{subscription: s, ctx: context.WithValue(ctx, oauth2.HTTPClient, client)}
	p.renew()
	return p
}

// renew forgets the token: it was refused.
func (p *puller) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = p.account.TokenSource(p.ctx)
}

func (p *puller) token() (*oauth2.Token, error) {
	p.mu.Lock()
	source := p.tokens
	p.mu.Unlock()
	return source.Token()
}

// during gives every request the life of ctx: the token source takes none.
type during struct {
	ctx  context.Context
	next http.RoundTripper
}

func (d during) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.next.RoundTrip(r.WithContext(d.ctx))
}

// received is one message of a pull.
type received struct {
	AckID   string        `json:"ackId"`
	Message pubsubMessage `json:"message"`
}

// pull waits for messages. None is no error: Pub/Sub answers empty after a
// while, and a connection may be cut by anybody who finds it too quiet.
func (p *puller) pull(ctx context.Context) ([]received, error) {
	limited, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	var answer struct {
		Received []received `json:"receivedMessages"`
	}
	err := p.call(limited, "pull", map[string]any{"maxMessages": pullBatch}, &answer)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, nil
	}
	return answer.Received, err
}

func (p *puller) acknowledge(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	return p.call(ctx, "acknowledge", map[string]any{"ackIds": ids}, nil)
}

const opListen = "listen to the subscription"

// call does one request. A token that is refused is asked for once more.
func (p *puller) call(ctx context.Context, verb string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: opListen, Message: "encode request", Err: err}
	}
	for try := 1; ; try++ {
		err := p.once(ctx, verb, data, into)
		var e *pubsubError
		if try > 1 || !errors.As(err, &e) || e.code != http.StatusUnauthorized {
			return p.explain(ctx, err)
		}
		p.renew()
	}
}

func (p *puller) once(ctx context.Context, verb string, body []byte, into any) error {
	token, err := p.token()
	if err != nil {
		return &tokenError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"v1/"+p.name+":"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(req)
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxPull))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return newPubsubError(resp.StatusCode, answer)
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}

// tokenError is a failure at the token endpoint.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "token of the service account: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// pubsubError is an answer but 200.
type pubsubError struct {
	code    int
	status  string
	message string
}

func newPubsubError(code int, body []byte) *pubsubError {
	var doc struct {
		Error struct{ Message, Status string } `json:"error"`
	}
	_ = json.Unmarshal(body, &doc) // what cannot be read leaves the code alone
	return &pubsubError{code: code, status: doc.Error.Status, message: doc.Error.Message}
}

func (e *pubsubError) Error() string { return fmt.Sprintf("%d %s %s", e.code, e.status, e.message) }

// explain says what a failure asks for: the operator, or time.
func (p *puller) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: opListen, Message: "the call was cancelled", Err: ctx.Err()}
	}
	wrong := func(code, format string, args ...any) error {
		return &mail.Error{Kind: mail.KindMisconfigured, Op: opListen, Code: code, Message: fmt.Sprintf(format, args...), Err: err}
	}
	var t *tokenError
	if errors.As(err, &t) {
		return p.explainToken(t, wrong)
	}
	var e *pubsubError
	if !errors.As(err, &e) {
		return &mail.Error{Kind: mail.KindUnavailable, Op: opListen, Message: "Pub/Sub could not be reached", Err: err}
	}
	switch {
	case e.code == http.StatusUnauthorized:
		return wrong("UNAUTHENTICATED", "Pub/Sub refuses the token of %s: make a new key for the service account", p.account.Email)
	case e.code == http.StatusForbidden && strings.Contains(e.message, "has not been used in project"):
		return wrong(e.status, "the Pub/Sub API is not enabled in the project of the subscription: enable it at Google Cloud, APIs & Services")
	case e.code == http.StatusForbidden:
		return wrong(e.status, "%s may not read %s: grant it the role roles/pubsub.subscriber on the subscription", p.account.Email, p.name)
	case e.code == http.StatusNotFound:
		return wrong(e.status, "%s does not exist: create it as a pull subscription of %s", p.name, p.topic)
	case e.code == http.StatusBadRequest:
		return wrong(e.status, "%s cannot be pulled: it must be a pull subscription, without a push endpoint (%s)", p.name, e.message)
	case e.code == http.StatusTooManyRequests:
		return &mail.Error{Kind: mail.KindThrottled, Op: opListen, Code: e.status, Message: "Pub/Sub asks for a pause", Err: err}
	}
	return &mail.Error{Kind: mail.KindUnavailable, Op: opListen, Code: e.status, Message: fmt.Sprintf("Pub/Sub answered %d", e.code), Err: err}
}

func (p *puller) explainToken(t *tokenError, wrong func(code, format string, args ...any) error) error {
	var r *oauth2.RetrieveError
	if !errors.As(t.err, &r) {
		return &mail.Error{Kind: mail.KindUnavailable, Op: opListen, Message: "the token endpoint could not be reached", Err: t}
	}
	if r.Response != nil && (r.Response.StatusCode == http.StatusBadRequest || r.Response.StatusCode == http.StatusUnauthorized || r.Response.StatusCode == http.StatusForbidden) {
		var doc struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(r.Body, &doc)
		return wrong(doc.Error, "Google refuses the key of %s: make a new key for the service account, and check this machine's clock (%s)", p.account.Email, doc.Description)
	}
	return &mail.Error{Kind: mail.KindUnavailable, Op: opListen, Message: "the token endpoint failed", Err: t}
}
