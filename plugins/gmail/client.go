package gmail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
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
	// maxRaw is Options.MaxRaw by default: the largest message in base64 with
	// what is around it.
	maxRaw = 256 << 20
	// smallAnswer is what an answer may have without waiting for its turn among
	// those that are large.
	smallAnswer = 4 << 20
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
	return c.retry(ctx, job{units: c.conf.cost(m), weight: 1, once: m.once, mails: m.mails, run: func(ctx context.Context) error { return fn(ctx, c.gmail) }})
}

// job is what is tried.
type job struct {
	units, weight int
	once          bool
	mails         bool
	// limit is the largest answer that is read, Options.MaxAnswer where it is 0.
	limit int64
	run   func(ctx context.Context) error
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
			c.hush(j.mails, merr, wait)
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

// hush lets all calls of the account wait: what is sent while Gmail wants silence
// counts against the quota.
func (c *call) hush(mails bool, err *mail.Error, wait time.Duration) {
	if wait > maxWait {
		c.acct.silences.begin(mails, err, c.p.now(), wait)
		return
	}
	c.acct.limiter.Pause(wait)
}

// try sends a request one time. sent tells whether any of it may have reached
// Gmail.
func (c *call) try(ctx context.Context, j job) (token string, sent bool, err error) {
	if err := c.acct.silences.refusal(j.mails, c.p.now()); err != nil {
		return "", false, err
	}
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
	if err := c.acct.silences.refusal(j.mails, c.p.now()); err != nil {
		return "", false, err // others have met it meanwhile
	}
	token, err = c.acct.tokens.Token(ctx)
	if err != nil {
		return "", false, err
	}
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	limit := j.limit
	if limit == 0 {
		limit = c.p.largest
	}
	var whole atomic.Bool
	ctx, cancel := context.WithCancel(signed(ctx, pass{token: token, limit: limit, large: c.p.answers, whole: &whole}))
	defer cancel()
	err = j.run(ctx)
	if whole.Load() && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = &badBody{} // it was not cut off: there is no more of it
	}
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
		if bad := (*badBody)(nil); errors.As(err, &bad) {
			msg += bad.words
		}
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

// passKey is where a context carries what a request of the API goes out with.
type passKey struct{}

// pass is the access token, and what may come back for it.
type pass struct {
	token string
	limit int64
	// large is where large answers take turns.
	large chan struct{}
	// whole is set when all of the answer is there.
	whole *atomic.Bool
}

// signed is a context with which the API may be asked.
func signed(ctx context.Context, p pass) context.Context {
	return context.WithValue(ctx, passKey{}, p)
}

// signer sends requests with the token of their context, and bounds the answers
// in size and in silence: the client of the API reads whatever comes.
type signer struct{ next http.RoundTripper }

// RoundTrip refuses what has no token: it did not come through do.
func (s *signer) RoundTrip(req *http.Request) (*http.Response, error) {
	p, ok := req.Context().Value(passKey{}).(pass)
	if !ok {
		return nil, errors.New("a request without a token")
	}
	ctx, cancel := context.WithCancel(req.Context())
	req = req.Clone(ctx)
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "text/html" && resp.StatusCode == http.StatusOK {
		_ = resp.Body.Close()
		cancel()
		return nil, &badBody{": it is text/html in place of JSON; perhaps something on the way answers instead"}
	}
	body := pace.NewBody(resp.Body, stall, cancel)
	resp.Body = &boundedBody{Body: body, ctx: ctx, pass: p, untold: resp.StatusCode == http.StatusOK}
	return resp, nil
}

// badBody is an answer that is not what it should be; words say what it is.
type badBody struct{ words string }

func (b *badBody) Error() string { return "answer cannot be read" + b.words }

// boundedBody ends an answer that is too large, lets few large ones be read at
// once, and makes an empty object of one that says nothing: that is how Gmail
// answers where there is nothing of what the parameter fields has asked for.
type boundedBody struct {
	*pace.Body
	ctx    context.Context
	pass   pass
	read   int64
	turn   bool // it is one of the large ones
	untold bool
}

// Read reads on, within the bounds.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if n == 0 && err == io.EOF && b.untold && len(p) > 1 {
		b.untold = false
		return copy(p, "{}"), nil
	}
	b.untold = b.untold && n == 0
	if err == io.EOF {
		b.pass.whole.Store(true)
	}
	b.read += int64(n)
	if b.read > b.pass.limit {
		return n, &badBody{": it has more than " + strconv.FormatInt(b.pass.limit>>20, 10) + " MiB"}
	}
	if b.read > smallAnswer && !b.turn {
		select {
		case b.pass.large <- struct{}{}:
			b.turn = true
		case <-b.ctx.Done():
			return n, b.ctx.Err()
		}
	}
	return n, err
}

// Close gives the turn back.
func (b *boundedBody) Close() error {
	if b.turn {
		b.turn = false
		<-b.pass.large
	}
	return b.Body.Close()
}
