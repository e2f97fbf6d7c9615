package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
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

func (s *Service) create(r *http.Request, caller Caller) (int, map[string]any, error) {
	p, err := readPosted(r)
	if err != nil {
		return 0, nil, err
	}
	now := s.opts.Now()
	sub := &subscription{
		ID: uuid.NewString(), App: caller.App, User: caller.User, Resource: value(p.Resource),
		NotificationURL: value(p.NotificationURL), LifecycleURL: value(p.LifecycleURL), ClientState: value(p.ClientState),
		TLSVersion: value(p.TLSVersion), Immutable: prefersImmutable(r), Created: now,
	}
	if err := s.check(sub, p, caller); err != nil {
		return 0, nil, err
	}
	if sub.Expires, err = s.expiry(p.Expires, now); err != nil {
		return 0, nil, err
	}
	if err := s.conflict(sub, now); err != nil {
		return 0, nil, err
	}
	for _, u := range []string{sub.NotificationURL, sub.LifecycleURL} {
		if u == "" {
			continue
		}
		if err := s.validate(r.Context(), u); err != nil {
			s.opts.Counters.Notification(cloudName, caller.User.Address, "validation_failed")
			return 0, nil, err
		}
		s.opts.Counters.Notification(cloudName, caller.User.Address, "validated")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Another request may have come first while the endpoint was asked.
	if err := s.conflictLocked(sub, now); err != nil {
		return 0, nil, err
	}
	s.remember(sub)
	s.opts.Log.Info("subscription created", "subscription", sub.ID, "user", sub.User.Address, "resource", sub.Resource, "expires", sub.Expires)
	return http.StatusCreated, s.entity(r, sub), nil
}

// check fills in what the posted properties mean and refuses what they cannot.
func (s *Service) check(sub *subscription, p posted, caller Caller) error {
	if p.IncludeResourceData != nil && *p.IncludeResourceData {
		// Rich notifications carry content encrypted for the app. The sandbox
		// gives basic ones only.
		return invalid("Resource data in notifications is not supported here.")
	}
	sub.ChangeType = value(p.ChangeType)
	for t := range strings.SplitSeq(sub.ChangeType, ",") {
		t = strings.ToLower(strings.TrimSpace(t))
		if t != "created" && t != "updated" && t != "deleted" {
			return invalid("The value '%s' of the property 'changeType' is not valid.", sub.ChangeType)
		}
		sub.ChangeTypes = append(sub.ChangeTypes, t)
	}
	if len(sub.ClientState) > 128 {
		return invalid("The property 'clientState' must not be longer than 128 characters.")
	}
	if sub.ClientState == "" && s.settings.RequireClientState {
		return invalid("The property 'clientState' is required.")
	}
	switch sub.TLSVersion {
	case "":
		sub.TLSVersion = "v1_2"
	case "v1_0", "v1_1", "v1_2", "v1_3":
	default:
		return invalid("The value '%s' of the property 'latestSupportedTlsVersion' is not valid.", sub.TLSVersion)
	}
	if err := s.checkURL("notificationUrl", sub.NotificationURL); err != nil {
		return err
	}
	if sub.LifecycleURL != "" {
		if err := s.checkURL("lifecycleNotificationUrl", sub.LifecycleURL); err != nil {
			return err
		}
	}
	return s.checkResource(sub, caller)
}

func (s *Service) checkResource(sub *subscription, caller Caller) error {
	res, query, ok := parseResource(sub.Resource)
	if !ok {
		return invalid("The resource '%s' is not supported.", sub.Resource)
	}
	if query.Has("$filter") {
		return invalid("A filter in the resource is not supported here.")
	}
	if res.user != "" && res.user != caller.User.ID && !strings.EqualFold(res.user, caller.User.Address) {
		return &problem{http.StatusForbidden, "ErrorAccessDenied", "Access is denied. Check credentials and try again."}
	}
	reads := func(scope string) bool { return strings.HasPrefix(scope, "Mail.Read") }
	if !slices.ContainsFunc(caller.Scopes, reads) {
		return &problem{http.StatusForbidden, "ErrorAccessDenied", "Access is denied. Check credentials and try again."}
	}
	if res.folder != "" {
		if sub.Folder, ok = s.opts.Folder(caller.User.Address, res.folder); !ok {
			return &problem{http.StatusNotFound, "ErrorItemNotFound", "The specified object was not found in the store."}
		}
	}
	return nil
}

func (s *Service) checkURL(property, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalid("The property '%s' is not a valid absolute URL.", property)
	}
	if u.Scheme != "https" && !s.settings.AllowHTTP {
		return invalid("The property '%s' must be an https URL.", property)
	}
	return nil
}

// expiry is when a subscription ends that asks for a time.
func (s *Service) expiry(asked *time.Time, now time.Time) (time.Time, error) {
	switch {
	case asked == nil:
		return time.Time{}, invalid("The property 'expirationDateTime' is required.")
	case !asked.After(now):
		return time.Time{}, &problem{http.StatusBadRequest, "ExtensionError", "Subscription expiration must be in the future."}
	case asked.Sub(now) > s.settings.MaxLifetime:
		return time.Time{}, &problem{http.StatusBadRequest, "ExtensionError",
			fmt.Sprintf("Subscription expiration can only be %d minutes in the future.", int(s.settings.MaxLifetime/time.Minute))}
	case asked.Sub(now) < s.settings.MinLifetime:
		return now.Add(s.settings.MinLifetime), nil
	}
	return *asked, nil
}

func (s *Service) conflict(sub *subscription, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conflictLocked(sub, now)
}

func (s *Service) conflictLocked(sub *subscription, now time.Time) error {
	have := 0
	for _, other := range s.byUser[sub.User.ID] {
		if !now.Before(other.Expires) {
			continue
		}
		have++
		if !s.settings.AllowDuplicates && other.App == sub.App && strings.EqualFold(other.Resource, sub.Resource) && sameTypes(other, sub) {
			return &problem{http.StatusConflict, "Conflict", fmt.Sprintf("Subscription Id <%s> already exists for the requested combination", other.ID)}
		}
	}
	if have >= s.settings.MaxPerMailbox {
		return &problem{http.StatusForbidden, "ExtensionError", "The maximum number of active subscriptions for this mailbox is reached."}
	}
	return nil
}

func sameTypes(a, b *subscription) bool {
	x, y := slices.Clone(a.ChangeTypes), slices.Clone(b.ChangeTypes)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(slices.Compact(x), slices.Compact(y))
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
