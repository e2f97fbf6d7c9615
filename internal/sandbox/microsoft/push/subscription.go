package push

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A subscription is one that was validated. Its fields are guarded by the
// service's lock.
type subscription struct {
	ID              string
	App             string
	User            cloud.User
	Resource        string // as it was asked for
	Folder          string // id of the folder, "" for the whole mailbox
	ChangeTypes     []string
	ChangeType      string // as it was asked for
	NotificationURL string
	LifecycleURL    string
	ClientState     string
	TLSVersion      string
	Immutable       bool // notifications carry immutable ids
	Created         time.Time
	Expires         time.Time

	asked      time.Time // when reauthorizationRequired was last sent
	askedFirst time.Time // and first since it was last answered
	missed     bool      // something was withheld
}

func (s *subscription) covers(c cloud.Change) bool {
	return s.User.ID == c.User.ID && slices.Contains(s.ChangeTypes, c.Type) && (s.Folder == "" || s.Folder == c.Folder)
}

func (s *subscription) paused(now time.Time, after time.Duration) bool {
	return after > 0 && !s.askedFirst.IsZero() && now.Sub(s.askedFirst) >= after
}

// layout is how Graph writes times with seven decimals.
const layout = "2006-01-02T15:04:05.0000000Z"

// body is the subscription as the API shows it.
func (s *subscription) body() map[string]any {
	orNull := func(v string) any {
		if v == "" {
			return nil
		}
		return v
	}
	return map[string]any{
		"id": s.ID, "resource": s.Resource, "applicationId": s.App, "changeType": s.ChangeType,
		"clientState": orNull(s.ClientState), "notificationUrl": s.NotificationURL,
		"lifecycleNotificationUrl": orNull(s.LifecycleURL), "expirationDateTime": s.Expires.UTC().Format(layout),
		"creatorId": s.User.ID, "latestSupportedTlsVersion": s.TLSVersion,
		"notificationQueryOptions": nil, "notificationContentType": nil, "includeResourceData": nil,
		"encryptionCertificate": nil, "encryptionCertificateId": nil, "notificationUrlAppId": nil,
	}
}

// A resource path, taken apart.
type resource struct {
	user   string // "" for me, else id or address
	folder string // "" for the whole mailbox, else id or well-known name
}

// parseResource reads me/messages, me/mailFolders('inbox')/messages,
// me/mailFolders/{id}/messages and the same under users/{id}, with or without
// a slash in front. A $filter or $select behind it is returned as it is.
func parseResource(s string) (res resource, query url.Values, ok bool) {
	path, rawQuery, _ := strings.Cut(strings.TrimPrefix(s, "/"), "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return resource{}, nil, false
	}
	var segs []string
	for seg := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		if open := strings.IndexByte(seg, '('); open > 0 && strings.HasSuffix(seg, ")") {
			key := seg[open+1 : len(seg)-1]
			if len(key) < 3 || key[0] != '\'' || key[len(key)-1] != '\'' {
				return resource{}, nil, false
			}
			segs = append(segs, seg[:open], key[1:len(key)-1])
			continue
		}
		segs = append(segs, seg)
	}
	switch {
	case len(segs) > 0 && strings.EqualFold(segs[0], "me"):
		segs = segs[1:]
	case len(segs) > 1 && strings.EqualFold(segs[0], "users"):
		res.user, segs = segs[1], segs[2:]
	default:
		return resource{}, nil, false
	}
	if len(segs) == 3 && strings.EqualFold(segs[0], "mailFolders") {
		res.folder, segs = segs[1], segs[2:]
	}
	return res, query, len(segs) == 1 && strings.EqualFold(segs[0], "messages")
}
