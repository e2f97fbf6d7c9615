package microsoft

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/push"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

func callerOf(ctx context.Context) (push.Caller, bool) {
	ex := front.ExchangeOf(ctx)
	if ex == nil || ex.User.ID == "" {
		return push.Caller{}, false
	}
	return push.Caller{User: ex.User, App: ex.App, Scopes: ex.Scopes}, true
}

// graphChain is everything under /v1.0.
func (s *Server) graphChain() http.Handler {
	mail := s.throttled(s.front.Spoiled(s.graph.Handler()))
	subscriptions := s.front.Spoiled(http.StripPrefix("/v1.0", s.push.Handler()))
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := strings.TrimPrefix(r.URL.Path, "/v1.0"); p == "/subscriptions" || strings.HasPrefix(p, "/subscriptions/") {
			// Not throttled by mailbox: its validation handshake may last
			// seconds, and the real limits are other ones.
			subscriptions.ServeHTTP(w, r)
			return
		}
		mail.ServeHTTP(w, r)
	})
	batch := s.graph.BatchHandler(s.front.Counted(serve))
	spoiledBatch := s.front.Spoiled(s.front.Batch(batch))
	return s.graph.Envelope(s.front.Counted(s.authenticated(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1.0/$batch" {
			spoiledBatch.ServeHTTP(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	}))))
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
		ex := front.ExchangeOf(r.Context())
		ex.User, ex.App, ex.Scopes = b.User, b.Client, b.Scopes
		next.ServeHTTP(w, r.WithContext(graph.WithUser(r.Context(), b.User, b.Scopes)))
	})
}

// refuse answers what a fault wants answered; the token endpoint has codes of
// its own.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f traffic.Fault) bool {
	switch {
	case f.AADSTS != 0 && strings.HasSuffix(r.URL.Path, "/token"):
		s.identity.RefuseToken(w, r, f.AADSTS)
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatFloat(f.RetryAfter, 'f', -1, 64))
		}
		s.writeStatus(w, r, f.Status)
	default:
		return false
	}
	return true
}

// throttled refuses what is over the limits of app and mailbox.
func (s *Server) throttled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := front.ExchangeOf(r.Context())
		var upload int64
		switch r.Method {
		case http.MethodPatch, http.MethodPost, http.MethodPut:
			upload = max(0, r.ContentLength)
		}
		leave, why := s.throttle.enter(ex.App, ex.User.ID, upload)
		if why != nil {
			if !s.throttle.settings.NoRetryAfter {
				w.Header().Set("Retry-After", retryAfter(why.after, ex.Batch != nil))
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
	next := s.throttled(s.front.Spoiled(s.graph.UploadHandler()))
	return s.graph.Envelope(s.front.Counted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := uploadOwner.FindStringSubmatch(r.URL.Path); m != nil {
			if user, ok := s.graph.UserByID(m[1]); ok {
				front.ExchangeOf(r.Context()).User = user
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
	next := s.front.Spoiled(s.identity.Handler())
	return s.front.Counted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			if user, ok := s.identity.TokenUser(r); ok {
				front.ExchangeOf(r.Context()).User = user
			}
		}
		next.ServeHTTP(w, r)
	}))
}
