package microsoft

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/push"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// An exchange is what the links of the chain tell each other of one request.
type exchange struct {
	user   cloud.User
	app    string
	scopes []string
	batch  *exchange   // the batch around an item
	cut    atomic.Bool // the connection ends without an answer
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*exchange)
	return ex
}

func callerOf(ctx context.Context) (push.Caller, bool) {
	ex := exchangeOf(ctx)
	if ex == nil || ex.user.ID == "" {
		return push.Caller{}, false
	}
	return push.Caller{User: ex.user, App: ex.app, Scopes: ex.scopes}, true
}

// graphChain is everything under /v1.0.
func (s *Server) graphChain() http.Handler {
	mail := s.throttled(s.spoiled(s.graph.Handler()))
	subscriptions := s.spoiled(http.StripPrefix("/v1.0", s.push.Handler()))
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := strings.TrimPrefix(r.URL.Path, "/v1.0"); p == "/subscriptions" || strings.HasPrefix(p, "/subscriptions/") {
			// Not throttled by mailbox: its validation handshake may last
			// seconds, and the real limits are other ones.
			subscriptions.ServeHTTP(w, r)
			return
		}
		mail.ServeHTTP(w, r)
	})
	batch := s.graph.BatchHandler(s.counted(serve))
	spoiledBatch := s.spoiled(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answerBatch(batch, w, r) }))
	return s.graph.Envelope(s.counted(s.authenticated(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1.0/$batch" {
			spoiledBatch.ServeHTTP(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	}))))
}

// counted counts a request once it is answered, under the user it turned out
// to be for.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := &exchange{batch: exchangeOf(r.Context())}
		if ex.batch != nil {
			ex.user, ex.app, ex.scopes = ex.batch.user, ex.batch.app, ex.batch.scopes
		}
		rec := &statusWriter{ResponseWriter: w}
		defer func() {
			status := rec.status
			if ex.cut.Load() {
				status = 0
			}
			s.opts.Counters.Request(Name, ex.user.Address, r.Method, r.URL.Path, status)
		}()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, ex)))
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
	})
}

// authenticated finds the user of the bearer token.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := s.identity.Bearer(r.Header.Get("Authorization"))
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://`+r.Host+`/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
			s.writeError(w, r, http.StatusUnauthorized, "InvalidAuthenticationToken", err.Error())
			return
		}
		ex := exchangeOf(r.Context())
		ex.user, ex.app, ex.scopes = b.User, b.Client, b.Scopes
		next.ServeHTTP(w, r.WithContext(graph.WithUser(r.Context(), b.User, b.Scopes)))
	})
}

// spoiled applies the fault that a request meets, if any.
func (s *Server) spoiled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		fault, met := s.opts.Faults.Request(Name, ex.user.Address, r.Method, r.URL.Path)
		if !met {
			next.ServeHTTP(w, r)
			return
		}
		s.opts.Counters.Fault(Name, ex.user.Address, fault.Match)
		s.opts.Log.Info("fault met", "method", r.Method, "path", traffic.Pattern(r.URL.Path), "user", ex.user.Address)
		s.spoil(fault, next, w, r)
	})
}

func (s *Server) spoil(fault traffic.Fault, next http.Handler, w http.ResponseWriter, r *http.Request) {
	ex := exchangeOf(r.Context())
	held := &heldResponse{header: http.Header{}}
	if fault.Body != "" {
		r.Header.Del("Accept-Encoding") // what is to be changed has to be read
	}
	switch {
	case fault.CutAfter:
		next.ServeHTTP(held, r)
	case fault.AADSTS != 0 && strings.HasSuffix(r.URL.Path, "/token"):
		s.identity.RefuseToken(held, r, fault.AADSTS)
	case fault.Status != 0:
		if fault.RetryAfter > 0 {
			held.Header().Set("Retry-After", strconv.FormatFloat(fault.RetryAfter, 'f', -1, 64))
		}
		s.writeStatus(held, r, fault.Status)
	default:
		next.ServeHTTP(held, r)
	}
	if fault.DelayMS > 0 {
		t := time.NewTimer(time.Duration(fault.DelayMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done(): // the client gave up
		}
	}
	switch {
	case fault.CutAfter:
	case fault.Body != "" && fault.Status == 0 && (ex.batch == nil || fault.Body.Document()):
		s.rubbish(w, r, held, fault)
		return
	default:
		held.release(w)
		return
	}
	ex.cut.Store(true)
	if ex.batch != nil {
		// The batch is executed to its end and cut as a whole.
		ex.batch.cut.Store(true)
		s.writeStatus(w, r, http.StatusGatewayTimeout)
		return
	}
	panic(http.ErrAbortHandler)
}

// answerBatch holds a batch's answer until its items are done: one of them may
// want the connection cut.
func (s *Server) answerBatch(batch http.Handler, w http.ResponseWriter, r *http.Request) {
	held := &heldResponse{header: http.Header{}}
	batch.ServeHTTP(held, r)
	if exchangeOf(r.Context()).cut.Load() {
		panic(http.ErrAbortHandler)
	}
	held.release(w)
}

// throttled refuses what is over the limits of app and mailbox.
func (s *Server) throttled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		var upload int64
		switch r.Method {
		case http.MethodPatch, http.MethodPost, http.MethodPut:
			upload = max(0, r.ContentLength)
		}
		leave, why := s.throttle.enter(ex.app, ex.user.ID, upload)
		if why != nil {
			if !s.throttle.settings.NoRetryAfter {
				w.Header().Set("Retry-After", retryAfter(why.after, ex.batch != nil))
			}
			s.writeError(w, r, http.StatusTooManyRequests, why.code, why.message)
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}

// retryAfter is in whole seconds, but in a batch's items may have decimals.
func retryAfter(d time.Duration, item bool) string {
	if item {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	}
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}

// uploadOwner is who an upload URL was made for: its URL is its credential.
var uploadOwner = regexp.MustCompile(`(?i)^/upload/Users\('([^'@]+)`)

// uploadChain is the ranges of upload sessions. They count as their owner's
// and towards its upload bytes; which app sends them, the URL does not say.
func (s *Server) uploadChain() http.Handler {
	next := s.throttled(s.spoiled(s.graph.UploadHandler()))
	return s.graph.Envelope(s.counted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := uploadOwner.FindStringSubmatch(r.URL.Path); m != nil {
			if user, ok := s.graph.UserByID(m[1]); ok {
				exchangeOf(r.Context()).user = user
			}
		}
		next.ServeHTTP(w, r)
	})))
}

// writeError answers in Graph's form.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	s.graph.WriteError(w, r, &graph.Error{Status: status, Code: code, Message: message})
}

// writeStatus answers with what the real service says under a status that a
// fault asked for; the token endpoint speaks OAuth.
func (s *Server) writeStatus(w http.ResponseWriter, r *http.Request, status int) {
	if !strings.HasPrefix(r.URL.Path, "/v1.0/") && !strings.HasPrefix(r.URL.Path, "/upload/") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":"%s","error_description":"AADSTS90033: A transient error has occurred. Please try again.","error_codes":[90033]}`,
			map[bool]string{true: "temporarily_unavailable", false: "server_error"}[status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests])
		return
	}
	code, message := "UnknownError", http.StatusText(status)
	switch status {
	case http.StatusUnauthorized:
		code, message = "InvalidAuthenticationToken", string(identity.ErrTokenInvalid)
	case http.StatusForbidden:
		code, message = "ErrorAccessDenied", "Access is denied. Check credentials and try again."
	case http.StatusNotFound:
		code, message = "ErrorItemNotFound", "The specified object was not found in the store."
	case http.StatusGone:
		code, message = "SyncStateNotFound", "The sync state generation is not found; generation=149;[highest=157][157][155][156]."
	case http.StatusTooManyRequests:
		code, message = "ApplicationThrottled", "Application is over its MailboxConcurrency limit."
	case http.StatusServiceUnavailable:
		code, message = "ServiceUnavailable", "The service is temporarily unavailable."
	case http.StatusGatewayTimeout:
		code, message = "UnknownError", "The gateway timed out."
	}
	s.writeError(w, r, status, code, message)
}

// loginChain counts and spoils what goes to the identity platform. Token
// requests belong to the user whose code or refresh token they carry.
func (s *Server) loginChain() http.Handler {
	next := s.spoiled(s.identity.Handler())
	return s.counted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			if user, ok := s.identity.TokenUser(r); ok {
				exchangeOf(r.Context()).user = user
			}
		}
		next.ServeHTTP(w, r)
	}))
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A heldResponse keeps an answer until it is released.
type heldResponse struct {
	header http.Header
	status int
	body   []byte
}

func (h *heldResponse) Header() http.Header { return h.header }

func (h *heldResponse) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *heldResponse) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	h.body = append(h.body, b...)
	return len(b), nil
}

func (h *heldResponse) release(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
	h.WriteHeader(http.StatusOK)
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body)
}
