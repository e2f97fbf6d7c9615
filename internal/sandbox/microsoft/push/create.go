package push

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

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
