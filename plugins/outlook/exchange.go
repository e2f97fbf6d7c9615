package outlook

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxTokenAnswer bounds what is read from the identity platform.
const maxTokenAnswer = 1 << 20

// exchange carries one token request for the sign-in library and notes what
// the library does not tell: the status and body of a refusal, Retry-After,
// how long the token lives, and the scopes that were really granted.
type exchange struct {
	http *http.Client
	now  func() time.Time

	sentAt     time.Time
	status     int
	retryAfter time.Duration
	refused    []byte
	err        error
	scopes     []string
	lifetime   time.Duration
}

// Do sends a request of the library.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	x.sentAt, x.status, x.refused, x.err = x.now(), 0, nil, nil
	resp, err := x.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		x.err = err
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	_ = resp.Body.Close()
	if err != nil {
		x.err = err
		return nil, err
	}
	x.status = resp.StatusCode
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		x.refused = body
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 3600 {
			x.retryAfter = time.Duration(s) * time.Second
		}
	} else if req.Method == http.MethodPost {
		body = x.note(body)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

// CloseIdleConnections does nothing: the connections are shared.
func (x *exchange) CloseIdleConnections() {}

// note reads the scopes and the lifetime, and takes the scopes out: the
// library refuses a token whose scopes are spelled otherwise than they were
// asked for (with the resource in front, say), and throws the refresh token
// away with it. FinishConnect judges them itself.
func (x *exchange) note(body []byte) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return body
	}
	var scope string
	if json.Unmarshal(fields["scope"], &scope) == nil {
		x.scopes = strings.Fields(scope)
	}
	if s, err := strconv.ParseFloat(strings.Trim(string(fields["expires_in"]), `"`), 64); err == nil && s > 0 {
		x.lifetime = time.Duration(s * float64(time.Second))
	}
	delete(fields, "scope")
	stripped, err := json.Marshal(fields)
	if err != nil {
		return body
	}
	return stripped
}

// failure says what an exchange that failed means.
func (x *exchange) failure(op string, err error) *mail.Error {
	switch {
	case x.err != nil:
		var cert *tls.CertificateVerificationError
		if errors.As(x.err, &cert) {
			return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "untrusted_certificate",
				Message: "the sign-in service's certificate is not trusted (" + setCAFile + " names authorities to trust beside the system's): " + cert.Err.Error(), Err: x.err}
		}
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the sign-in service cannot be reached: " + x.err.Error(), Err: x.err}
	case x.refused != nil:
		return refusedToken(op, x.status, x.refused, x.retryAfter)
	case err != nil && strings.Contains(err.Error(), "does not match authority"):
		return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "issuer_mismatch", Message: "the sign-in service names another issuer than the configured authority"}
	}
	// The library's text may quote the answer, tokens included.
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "bad_answer", Message: "the sign-in service's answer cannot be used"}
}

// discoveryMemo remembers the OpenID configuration, which the library fetches
// for each of its clients, that is for each account. One goes out at a time;
// failures are not remembered.
type discoveryMemo struct {
	next http.RoundTripper
	mu   sync.Mutex
	docs map[string]*memoDoc
}

type memoDoc struct {
	mu     sync.Mutex
	header http.Header
	body   []byte
}

func newDiscoveryMemo(next http.RoundTripper) *discoveryMemo {
	return &discoveryMemo{next: next, docs: make(map[string]*memoDoc)}
}

// RoundTrip answers from memory where it can.
func (m *discoveryMemo) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
		return m.next.RoundTrip(req)
	}
	m.mu.Lock()
	doc := m.docs[req.URL.String()]
	if doc == nil {
		doc = &memoDoc{}
		m.docs[req.URL.String()] = doc
	}
	m.mu.Unlock()
	doc.mu.Lock()
	defer doc.mu.Unlock()
	if doc.body == nil {
		resp, err := m.next.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		doc.header, doc.body = resp.Header, body
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: doc.header.Clone(), Body: io.NopCloser(bytes.NewReader(doc.body)),
		ContentLength: int64(len(doc.body)), Request: req,
	}, nil
}
