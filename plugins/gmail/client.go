package gmail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

const (
	// maxAttempts is how often a request is sent at most. Waits in between are
	// bounded by the call's context as well.
	maxAttempts = 8
	// maxFaults is the same for faults of network and service.
	maxFaults = 5
	// maxWait is the longest wait that is sat out here; the core comes back
	// after a longer one.
	maxWait = 2 * time.Minute
	// stall is how long an answer may be silent in its middle.
	stall = 2 * time.Minute
	// maxAnswer is more than any answer has: the largest message in base64 with
	// what is around it.
	maxAnswer = 256 << 20
)

// do sends one request, as often as it takes: it waits for its turn by
// priority, slots and quota units, and again where Gmail asks to come back
// later; a token that is refused is renewed once. fn makes the request with the
// context that it is given (Context(ctx)), which carries the token, and must be
// fit to be called again.
//
// The error is a *mail.Error. A method that must not be repeated ends with
// mail.KindOutcomeUnknown where it may have been carried out.
func (c *call) do(ctx context.Context, m method, fn func(ctx context.Context, s *gmailapi.Service) error) error {
	return c.retry(ctx, job{units: c.conf.cost(m), weight: 1, once: m.once, run: func(ctx context.Context) error { return fn(ctx, c.gmail) }})
}

// job is what is tried.
type job struct {
	units, weight int
	once          bool
	run           func(ctx context.Context) error
}

func (c *call) retry(ctx context.Context, j job) error {
	renewed := false
	for attempt := 1; ; attempt++ {
		token, sent, err := c.try(ctx, j)
		if err == nil {
			return nil
		}
		var known *mail.Error
		if errors.As(err, &known) {
			return withOp(err, c.op) // no token, or what fn itself found out
		}
		r := refusalOf(err, c.p.now())
		if r == nil {
			// The connection failed, before or after the request was out.
			err = c.transportError(ctx, err, sent && j.once)
			if mail.KindOf(err) != mail.KindUnavailable || attempt >= maxFaults || ctx.Err() != nil || codeOf(err) == codeBadAnswer {
				return err
			}
			if pace.Wait(ctx, pace.Backoff(attempt)) != nil {
				return err
			}
			continue
		}
		if r.status == http.StatusUnauthorized && !renewed {
			// 401 means that nothing was done: repeating is safe.
			renewed = true
			if _, err := c.acct.tokens.Renew(ctx, token); err != nil {
				return withOp(err, c.op)
			}
			continue
		}
		merr := r.mailError(c.op, j.once)
		wait, again := r.again(j.once, attempt)
		if !again {
			return merr
		}
		merr.RetryAfter = max(merr.RetryAfter, wait)
		if r.kind == mail.KindThrottled {
			// What is sent while Gmail wants silence counts against the quota:
			// all calls of the account wait.
			c.acct.limiter.Pause(wait)
		}
		if attempt >= maxAttempts || wait > maxWait || attempt >= maxFaults && r.kind == mail.KindUnavailable {
			return merr
		}
		c.p.log().Debug("gmail asks to wait", "account", c.acct.id, "op", c.op, "status", r.status, "code", r.code, "wait", wait)
		if pace.Wait(ctx, wait) != nil {
			return merr
		}
	}
}

// try sends a request one time. sent tells whether any of it may have reached
// Gmail.
func (c *call) try(ctx context.Context, j job) (token string, sent bool, err error) {
	// Who waits for a token does so before taking a slot, so that all who wait
	// share one renewal and its outcome. By the time the slot is there the
	// token may be another one.
	if _, err := c.acct.tokens.Token(ctx); err != nil {
		return "", false, err
	}
	release, err := c.acct.limiter.AcquireUnits(ctx, c.prio, j.weight, j.units)
	if err != nil {
		return "", false, cancelled(c.op, ctx)
	}
	defer release()
	token, err = c.acct.tokens.Token(ctx)
	if err != nil {
		return "", false, err
	}
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	ctx, cancel := context.WithCancel(context.WithValue(ctx, tokenKey{}, token))
	defer cancel()
	err = j.run(ctx)
	return token, wrote.Load(), err
}

// transportError is what a request ended with that has no answer.
func (c *call) transportError(ctx context.Context, err error, mayHaveActed bool) error {
	// The address in a url.Error carries ids.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	kind, code, msg := mail.KindUnavailable, "", "the connection to Gmail failed: "+err.Error()
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		kind, code, msg = mail.KindMisconfigured, "untrusted_certificate", "Gmail's certificate is not trusted; the setting ca_file names authorities to trust beside the system's"
	case mayHaveActed:
		kind, msg = mail.KindOutcomeUnknown, "the connection failed after the request was sent"
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		msg, err = "Gmail did not answer in time", ctx.Err()
	case ctx.Err() != nil:
		msg, err = "the call was cancelled", ctx.Err()
	case unreadable(err):
		// The decoder's text may quote the answer.
		code, msg = codeBadAnswer, "Gmail's answer cannot be read"
	}
	return &mail.Error{Kind: kind, Op: c.op, Code: code, Message: msg, Err: err}
}

func withOp(err error, op string) error {
	var e *mail.Error
	if errors.As(err, &e) && e.Op == "" {
		named := *e
		named.Op = op
		return &named
	}
	return err
}

// tokenKey is where a context carries the access token.
type tokenKey struct{}

// signer sends requests with the token of their context, and bounds the answers
// in size and in silence: the client of the API reads whatever comes.
type signer struct{ next http.RoundTripper }

// RoundTrip refuses what has no token: it did not come through do.
func (s *signer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, _ := req.Context().Value(tokenKey{}).(string)
	if token == "" {
		return nil, errors.New("a request without a token")
	}
	ctx, cancel := context.WithCancel(req.Context())
	req = req.Clone(ctx)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	body := pace.NewBody(resp.Body, stall, cancel)
	resp.Body = &boundedBody{Body: body, left: maxAnswer, untold: resp.StatusCode == http.StatusOK}
	return resp, nil
}

var errTooLarge = errors.New("answer over the size limit")

// boundedBody ends an answer that is too large, and makes an empty object of one
// that says nothing: that is how Gmail answers where there is nothing of what the
// parameter fields has asked for.
type boundedBody struct {
	*pace.Body
	left   int64
	untold bool
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if n == 0 && err == io.EOF && b.untold && len(p) > 1 {
		b.untold = false
		return copy(p, "{}"), nil
	}
	b.untold = b.untold && n == 0
	b.left -= int64(n)
	if b.left < 0 && (err == nil || err == io.EOF) {
		return n, errTooLarge
	}
	return n, err
}
