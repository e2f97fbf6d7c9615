package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds a subscription's JSON.
const maxBody = 64 << 10

// A problem is a refusal in Graph's form.
type problem struct {
	status        int
	code, message string
}

func (p *problem) Error() string { return p.code + ": " + p.message }

func invalid(message string, args ...any) *problem {
	return &problem{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(message, args...)}
}

// notFound: unknown, expired and somebody else's are the same.
func notFound() *problem {
	return &problem{http.StatusNotFound, "ResourceNotFound", "The object was not found."}
}

// Handler serves /subscriptions and what is below, with the version taken off
// the path.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subscriptions", s.handle(s.create))
	mux.HandleFunc("GET /subscriptions", s.handle(s.list))
	mux.HandleFunc("GET /subscriptions/{id}", s.handle(s.get))
	mux.HandleFunc("PATCH /subscriptions/{id}", s.handle(s.update))
	mux.HandleFunc("DELETE /subscriptions/{id}", s.handle(s.remove))
	mux.HandleFunc("POST /subscriptions/{id}/reauthorize", s.handle(s.reauthorize))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.opts.WriteError(w, r, http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	})
	return mux
}

type handler func(r *http.Request, caller Caller) (status int, body map[string]any, err error)

func (s *Service) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller, ok := s.opts.Caller(r.Context())
		if !ok {
			s.opts.WriteError(w, r, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		status, body, err := h(r, caller)
		var p *problem
		switch {
		case errors.As(err, &p):
			s.opts.WriteError(w, r, p.status, p.code, p.message)
			return
		case err != nil:
			s.opts.Log.Error("subscription request failed", "error", err)
			s.opts.WriteError(w, r, http.StatusInternalServerError, "UnknownError", "An internal server error occurred.")
			return
		case body == nil:
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8")
		w.WriteHeader(status)
		// The client is gone when this fails; there is nobody left to tell.
		_ = json.NewEncoder(w).Encode(body)
	}
}

// posted is what a client may send.
type posted struct {
	ChangeType          *string    `json:"changeType"`
	NotificationURL     *string    `json:"notificationUrl"`
	LifecycleURL        *string    `json:"lifecycleNotificationUrl"`
	Resource            *string    `json:"resource"`
	Expires             *time.Time `json:"expirationDateTime"`
	ClientState         *string    `json:"clientState"`
	TLSVersion          *string    `json:"latestSupportedTlsVersion"`
	IncludeResourceData *bool      `json:"includeResourceData"`
}

func readPosted(r *http.Request) (posted, error) {
	var p posted
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return p, &problem{http.StatusRequestEntityTooLarge, "BadRequest", "The request is too large."}
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, invalid("Unable to deserialize the subscription: %v", err)
	}
	return p, nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// mine finds a subscription of the caller's.
func (s *Service) mine(r *http.Request, caller Caller) (*subscription, error) {
	sub := s.subs[strings.ToLower(r.PathValue("id"))]
	if sub == nil || sub.App != caller.App || sub.User.ID != caller.User.ID || !s.opts.Now().Before(sub.Expires) {
		return nil, notFound()
	}
	return sub, nil
}

func (s *Service) list(r *http.Request, caller Caller) (int, map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	values := []any{}
	for _, sub := range sorted(s.byUser[caller.User.ID], func(sub *subscription) bool {
		return sub.App == caller.App && now.Before(sub.Expires)
	}) {
		values = append(values, sub.body())
	}
	return http.StatusOK, map[string]any{"@odata.context": contextURL(r) + "#subscriptions", "value": values}, nil
}

func (s *Service) get(r *http.Request, caller Caller) (int, map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.mine(r, caller)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.entity(r, sub), nil
}

func (s *Service) update(r *http.Request, caller Caller) (int, map[string]any, error) {
	p, err := readPosted(r)
	if err != nil {
		return 0, nil, err
	}
	if p.Expires == nil && p.NotificationURL == nil {
		return 0, nil, invalid("Subscription must contain either the 'expirationDateTime' or 'notificationUrl' property and its value.")
	}
	s.mu.Lock()
	sub, err := s.mine(r, caller)
	s.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	var expires time.Time
	if p.Expires != nil {
		if expires, err = s.expiry(p.Expires, s.opts.Now()); err != nil {
			return 0, nil, err
		}
	}
	if p.NotificationURL != nil {
		if err := s.checkURL("notificationUrl", *p.NotificationURL); err != nil {
			return 0, nil, err
		}
		if err := s.validate(r.Context(), *p.NotificationURL); err != nil {
			s.count(sub, "validation_failed")
			return 0, nil, err
		}
		s.count(sub, "validated")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub, err = s.mine(r, caller); err != nil {
		return 0, nil, err
	}
	if p.NotificationURL != nil {
		sub.NotificationURL = *p.NotificationURL
	}
	if p.Expires != nil {
		sub.Expires = expires
		s.answered(sub)
	}
	return http.StatusOK, s.entity(r, sub), nil
}

func (s *Service) remove(r *http.Request, caller Caller) (int, map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.mine(r, caller)
	if err != nil {
		return 0, nil, err
	}
	s.forget(sub)
	return http.StatusNoContent, nil, nil
}

func (s *Service) reauthorize(r *http.Request, caller Caller) (int, map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.mine(r, caller)
	if err != nil {
		return 0, nil, err
	}
	s.answered(sub)
	return s.settings.ReauthorizeStatus, nil, nil
}

// answered: reauthorizationRequired was heard. What was withheld meanwhile is
// told as missed.
func (s *Service) answered(sub *subscription) {
	sub.askedFirst = time.Time{}
	if sub.missed {
		sub.missed = false
		s.tell(sub, Missed)
	}
}

func (s *Service) entity(r *http.Request, sub *subscription) map[string]any {
	body := sub.body()
	body["@odata.context"] = contextURL(r) + "#subscriptions/$entity"
	return body
}

func contextURL(r *http.Request) string { return "https://" + r.Host + "/v1.0/$metadata" }

func prefersImmutable(r *http.Request) bool {
	return strings.Contains(strings.ReplaceAll(strings.Join(r.Header.Values("Prefer"), ","), " ", ""), `IdType="ImmutableId"`)
}
