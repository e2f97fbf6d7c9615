package msgraph

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

// DefaultConcurrency is what Exchange allows one application on one mailbox:
// "ApplicationThrottled: Application is over its MailboxConcurrency limit"
// comes back above it.
const DefaultConcurrency = 4

const (
	// maxJSON is the largest JSON answer that is read. A batch of twenty full
	// messages with bodies stays below it.
	maxJSON = 64 << 20
	// smallJSON is what an answer may have without waiting for Options.Large.
	smallJSON = 4 << 20
	// maxAttempts is how often a request is sent at most. Waits in between are
	// bounded by the call's context as well.
	maxAttempts = 8
	// maxFaults is the same for faults of network and service.
	maxFaults = 5
	// maxWait is the longest pause that is sat out here; a longer one goes to
	// the caller, as RetryAfter of the error.
	maxWait = 2 * time.Minute
)

// TokenSource gives access tokens.
type TokenSource interface {
	// Token gives the current token, renewing it where it has expired.
	Token(ctx context.Context) (string, error)
	// Renew gives a token other than the one that Graph has just refused.
	Renew(ctx context.Context, refused string) (string, error)
}

// Options of a Client. Base, HTTP and Tokens are needed.
type Options struct {
	// Base is the service's address with its version: https://graph.microsoft.com/v1.0
	Base    *url.URL
	HTTP    *http.Client
	Tokens  TokenSource
	Limiter *pace.Limiter
	// Large, where given, bounds how many large answers are held at once by all
	// clients that share it.
	Large chan struct{}
	// MaxAnswer is the largest JSON answer that is read, in bytes, 64 MiB where
	// it is 0.
	MaxAnswer int64
	// Stall is how long an answer may be silent in its middle, 2 minutes where
	// it is 0.
	Stall time.Duration
	// Sleep waits; replaced in tests.
	Sleep func(context.Context, time.Duration) error
	Log   *slog.Logger
}

// Client calls Graph for one account. It may be used by many goroutines.
type Client struct {
	o Options
}

// New makes a Client.
func New(o Options) *Client {
	if o.Limiter == nil {
		o.Limiter = pace.NewLimiter(DefaultConcurrency)
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = maxJSON
	}
	if o.Stall == 0 {
		o.Stall = 2 * time.Minute
	}
	if o.Sleep == nil {
		o.Sleep = pace.Sleep
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{o: o}
}

// Request is one call.
type Request struct {
	// Op is what is tried, in words, for errors: "list mailboxes".
	Op     string
	Method string
	// Path is below the base: "/me/messages". Link, where set, is an absolute
	// address that Graph gave (nextLink, deltaLink) and goes out verbatim.
	Path  string
	Query url.Values
	Link  string
	// Prefer values beside the immutable ids: "odata.maxpagesize=50".
	Prefer []string
	// IfMatch is an etag.
	IfMatch string
	// Body is marshalled as JSON; a []byte goes out as it is, with
	// ContentType.
	Body        any
	ContentType string
	Priority    pace.Priority
	// Once marks a request that must not be repeated when it may have been
	// carried out already.
	Once bool
	// Weight is how many of the mailbox's slots it takes, at least one.
	Weight int
}

// Do sends a request and decodes the JSON answer into out, where out is not
// nil and there is one.
func (c *Client) Do(ctx context.Context, r *Request, out any) error {
	resp, err := c.run(ctx, r, func(resp *http.Response) error {
		if b, ok := resp.Body.(*pace.Body); ok {
			b.Within(2 * c.o.Stall)
		}
		data, err := c.readJSON(ctx, resp.Body)
		if errors.Is(err, errTooLarge) {
			return &badAnswer{err: err}
		}
		if err != nil {
			return err
		}
		if out == nil || len(data) == 0 {
			return nil
		}
		if err := decode(data, out); err != nil {
			return &badAnswer{err: err, kind: resp.Header.Get("Content-Type")}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Stream sends a GET and gives the answer's bytes. The slot at Graph is held
// until the reader is closed.
func (c *Client) Stream(ctx context.Context, r *Request) (io.ReadCloser, error) {
	resp, err := c.run(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// run sends a request, as often as it takes, and consumes the answer inside
// the retries where consume is given: an answer cut off in the middle is no
// answer.
func (c *Client) run(ctx context.Context, r *Request, consume func(*http.Response) error) (*http.Response, error) {
	body, ctype, err := encodeBody(r)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: r.Op, Message: "encode request", Err: err}
	}
	target, err := c.target(r)
	if err != nil {
		return nil, err
	}
	renewed := false
	for attempt := 1; ; attempt++ {
		resp, token, sent, err := c.once(ctx, r, target, body, ctype)
		var failure *Error
		if err == nil {
			if resp.StatusCode < 300 {
				if consume == nil {
					return resp, nil
				}
				err = consume(resp)
				if err == nil {
					return resp, nil
				}
				_ = resp.Body.Close()
				var bad *badAnswer
				if errors.As(err, &bad) {
					return nil, c.undecodable(r, bad)
				}
			} else {
				failure = readError(resp)
				_ = resp.Body.Close()
			}
		}
		if failure == nil {
			var known *mail.Error
			if errors.As(err, &known) {
				// No token: whoever gives them knows when to ask again.
				return nil, withOp(err, r.Op)
			}
			// The connection failed, before or after the request was out.
			err = c.transportError(ctx, r, err, sent)
			if mail.KindOf(err) != mail.KindUnavailable || attempt >= maxFaults {
				return nil, err
			}
			if werr := c.pause(ctx, pace.Backoff(attempt)); werr != nil {
				return nil, err
			}
			continue
		}
		if failure.Status == http.StatusUnauthorized && !renewed {
			// 401 means that nothing was done: repeating is safe.
			renewed = true
			if _, err := c.o.Tokens.Renew(ctx, token); err != nil {
				return nil, withOp(err, r.Op)
			}
			continue
		}
		wait, again := failure.again(r.Once, attempt)
		merr := failure.mailError(r.Op, r.Once)
		if !again {
			return nil, merr
		}
		merr.RetryAfter = max(merr.RetryAfter, wait)
		if failure.Status == http.StatusTooManyRequests {
			// What is sent while Graph wants silence counts against the quota:
			// all calls of the account wait, unless it is so long that each had
			// better be told.
			c.o.Limiter.Pause(min(wait, maxWait))
		}
		if attempt >= maxAttempts || wait > maxWait || (attempt >= maxFaults && failure.Status >= 500) {
			return nil, merr
		}
		c.o.Log.Debug("graph asks to wait", "op", r.Op, "status", failure.Status, "code", failure.Code, "wait", wait)
		if err := c.pause(ctx, wait); err != nil {
			return nil, merr
		}
	}
}

// once sends a request one time. sent tells whether any of it may have
// reached Graph.
func (c *Client) once(ctx context.Context, r *Request, target string, body []byte, ctype string) (resp *http.Response, token string, sent bool, err error) {
	// Who waits for a token does so before taking a slot, so that all who wait
	// share one renewal and its outcome. By the time the slot is there the
	// token may be another one.
	if _, err := c.o.Tokens.Token(ctx); err != nil {
		return nil, "", false, err
	}
	release, err := c.o.Limiter.Acquire(ctx, r.Priority, max(r.Weight, 1))
	if err != nil {
		return nil, "", false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
			release()
		}
	}()
	token, err = c.o.Tokens.Token(ctx)
	if err != nil {
		return nil, "", false, err
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.Method, target, bodyReader(body))
	if err != nil {
		return nil, "", false, &mail.Error{Kind: mail.KindInternal, Op: r.Op, Message: "build request"}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Prefer", prefer(r.Prefer))
	req.Header.Set("client-request-id", uuid.NewString())
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	if r.IfMatch != "" {
		req.Header.Set("If-Match", r.IfMatch)
	}
	resp, err = c.o.HTTP.Do(req)
	if err != nil {
		return nil, token, wrote.Load(), err
	}
	resp.Body = pace.NewBody(resp.Body, c.o.Stall, func() { cancel(); release() })
	return resp, token, true, nil
}

// target is the address a request goes to. A link must lead to the service
// that is configured, for the token goes with it.
func (c *Client) target(r *Request) (string, error) {
	if r.Link == "" {
		u := strings.TrimSuffix(c.o.Base.String(), "/") + r.Path
		if q := EncodeQuery(r.Query); q != "" {
			u += "?" + q
		}
		return u, nil
	}
	u, err := url.Parse(r.Link)
	if err != nil || u.Scheme != c.o.Base.Scheme || !strings.EqualFold(u.Host, c.o.Base.Host) || u.User != nil {
		return "", &mail.Error{Kind: mail.KindInvalid, Op: r.Op, Code: "foreign_link", Message: "a link leads away from the configured service"}
	}
	return r.Link, nil
}

// CheckLink looks at a link of an answer before anybody relies on it.
func (c *Client) CheckLink(op, link string) error {
	if _, err := c.target(&Request{Op: op, Link: link}); err != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "foreign_link", Message: "a link of the provider's answer leads away from the configured service"}
	}
	return nil
}

// EncodeQuery writes a query with %20 for spaces, which OData services want,
// and with the $ of option names left readable.
func EncodeQuery(q url.Values) string {
	keys := make([]string, 0, len(q))
	for k := range q {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, k := range keys {
		for _, v := range q[k] {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(k)
			b.WriteByte('=')
			b.WriteString(strings.ReplaceAll(url.QueryEscape(v), "+", "%20"))
		}
	}
	return b.String()
}

func (c *Client) transportError(ctx context.Context, r *Request, err error, sent bool) error {
	// The address in a url.Error carries ids and tokens of the service.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	kind, msg := mail.KindUnavailable, "the connection to the provider failed"
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		kind, msg = mail.KindMisconfigured, "the provider's certificate is not trusted; the setting ca_file names authorities to trust beside the system's"
	case sent && r.Once:
		kind, msg = mail.KindOutcomeUnknown, "the connection failed after the request was sent"
	case ctx.Err() != nil:
		msg = "the call was cancelled"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			msg = "the provider did not answer in time"
		}
		return &mail.Error{Kind: kind, Op: r.Op, Message: msg, Err: ctx.Err()}
	}
	return &mail.Error{Kind: kind, Op: r.Op, Message: msg + ": " + err.Error(), Err: err}
}

func (c *Client) undecodable(r *Request, bad *badAnswer) error {
	kind := mail.KindUnavailable
	if r.Once {
		kind = mail.KindOutcomeUnknown
	}
	// The decoder's text may quote the answer.
	return &mail.Error{Kind: kind, Op: r.Op, Code: "bad_answer", Message: "the provider's answer cannot be read" + bad.words(), Err: bad}
}

// pause waits, unless the context would end before.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	return pace.WaitBy(ctx, d, c.o.Sleep)
}

func prefer(more []string) string {
	return strings.Join(append([]string{`IdType="ImmutableId"`}, more...), ", ")
}

func encodeBody(r *Request) (data []byte, ctype string, err error) {
	switch b := r.Body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return b, r.ContentType, nil
	default:
		data, err = json.Marshal(b)
		return data, "application/json", err
	}
}

func bodyReader(data []byte) io.Reader {
	if data == nil {
		return http.NoBody
	}
	return bytes.NewReader(data)
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

var errTooLarge = errors.New("answer over the size limit")

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

// readJSON reads an answer. Nearly all are small; of those that are not, few
// are held in memory at once, however many accounts are given them.
func (c *Client) readJSON(ctx context.Context, body io.Reader) ([]byte, error) {
	data, err := readAll(body, smallJSON)
	if !errors.Is(err, errTooLarge) {
		return data, err
	}
	if c.o.Large != nil {
		select {
		case c.o.Large <- struct{}{}:
			defer func() { <-c.o.Large }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	rest, err := readAll(body, c.o.MaxAnswer)
	if errors.Is(err, errTooLarge) {
		err = &largeAnswer{c.o.MaxAnswer}
	}
	return append(data, rest...), err
}

// decode reads JSON and looks whether it can be what was asked for.
func decode(data []byte, out any) error {
	if err := json.Unmarshal(data, out); err != nil {
		return err
	}
	return check(out)
}

// largeAnswer is an answer over Options.MaxAnswer.
type largeAnswer struct{ limit int64 }

func (l *largeAnswer) Error() string { return errTooLarge.Error() }

// Is makes it errTooLarge.
func (l *largeAnswer) Is(err error) bool { return err == errTooLarge }

// badAnswer is a complete answer that is not what it should be.
type badAnswer struct {
	err  error
	kind string // what it says that it is
}

// words tells a page for people, of a proxy most often, from a fault of the
// service.
func (b *badAnswer) words() string {
	if large := (*largeAnswer)(nil); errors.As(b.err, &large) {
		return ": it has more than " + strconv.FormatInt(large.limit>>20, 10) + " MiB"
	}
	if t, _, err := mime.ParseMediaType(b.kind); err == nil && t != "application/json" {
		return ": it is " + clip(t, 60) + " in place of JSON; perhaps something on the way answers instead"
	}
	return ""
}

func (b *badAnswer) Error() string { return "answer is not the expected JSON" }
