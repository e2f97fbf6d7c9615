package push

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

func change(kind string) cloud.Change {
	return cloud.Change{User: ada, Type: kind, Folder: "folder-inbox", MessageID: "AAMk1", ImmutableID: "AAkA1", ETag: `W/"1"`}
}

func TestSubscriptionLifecycleOverTheAPI(t *testing.T) {
	w := newWorld(t, Settings{})
	status, body := w.do(adasCaller, "POST", "/subscriptions", w.want())
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, body)
	}
	for k, want := range map[string]any{
		"resource": "me/messages", "applicationId": "app", "clientState": "s3cret", "creatorId": ada.ID,
		"expirationDateTime": "2026-03-02T12:00:00.0000000Z", "latestSupportedTlsVersion": "v1_2", "includeResourceData": nil,
		"@odata.context": "https://example.com/v1.0/$metadata#subscriptions/$entity",
	} {
		if got, has := body[k]; !has || got != want {
			t.Errorf("%s = %v, want %v", k, got, want)
		}
	}
	id := body["id"].(string)
	if got := w.counters.Report("", "").Notifications["validated"]; got != 2 {
		t.Errorf("%d handshakes, want one for each URL", got)
	}
	if status, body = w.do(adasCaller, "GET", "/subscriptions", ""); status != 200 || len(body["value"].([]any)) != 1 {
		t.Errorf("list: %d %v", status, body)
	}
	if status, body = w.do(adasCaller, "GET", "/subscriptions/"+id, ""); status != 200 || body["id"] != id {
		t.Errorf("get: %d %v", status, body)
	}
	status, body = w.do(adasCaller, "PATCH", "/subscriptions/"+id, `{"expirationDateTime":"2026-03-05T00:00:00Z"}`)
	if status != 200 || body["expirationDateTime"] != "2026-03-05T00:00:00.0000000Z" {
		t.Errorf("patch: %d %v", status, body)
	}
	status, body = w.do(adasCaller, "PATCH", "/subscriptions/"+id, `{"clientState":"x"}`)
	if code, message := problemOf(body); status != 400 || code != "InvalidRequest" || !strings.HasPrefix(message, "Subscription must contain either") {
		t.Errorf("patch of nothing: %d %v", status, body)
	}
	if status, _ = w.do(adasCaller, "POST", "/subscriptions/"+id+"/reauthorize", ""); status != 204 {
		t.Errorf("reauthorize: %d", status)
	}
	if status, _ = w.do(adasCaller, "DELETE", "/subscriptions/"+id, ""); status != 204 {
		t.Errorf("delete: %d", status)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		status, body = w.do(adasCaller, method, "/subscriptions/"+id, `{"expirationDateTime":"2026-03-05T00:00:00Z"}`)
		if code, message := problemOf(body); status != 404 || code != "ResourceNotFound" || message != "The object was not found." {
			t.Errorf("%s after delete: %d %v", method, status, body)
		}
	}
}

func TestRefusedSubscriptions(t *testing.T) {
	w := newWorld(t, Settings{})
	w.s.settings.AllowHTTP = false
	secure := "https://127.0.0.1:1/n"
	for name, c := range map[string]struct {
		changes []any
		status  int
		code    string
		message string
	}{
		"http":              {nil, 400, "InvalidRequest", "'notificationUrl' must be an https URL"},
		"no url":            {[]any{"notificationUrl", nil}, 400, "InvalidRequest", "not a valid absolute URL"},
		"credentials":       {[]any{"notificationUrl", "https://u:p@127.0.0.1/"}, 400, "InvalidRequest", "not a valid absolute URL"},
		"lifecycle http":    {[]any{"notificationUrl", secure}, 400, "InvalidRequest", "'lifecycleNotificationUrl' must be an https URL"},
		"change type":       {[]any{"changeType", "created,read"}, 400, "InvalidRequest", "'changeType'"},
		"no change type":    {[]any{"changeType", nil}, 400, "InvalidRequest", "'changeType'"},
		"client state":      {[]any{"clientState", strings.Repeat("x", 129)}, 400, "InvalidRequest", "128"},
		"tls version":       {[]any{"latestSupportedTlsVersion", "v9"}, 400, "InvalidRequest", "latestSupportedTlsVersion"},
		"rich":              {[]any{"includeResourceData", true}, 400, "InvalidRequest", "not supported"},
		"resource":          {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "resource", "me/events"}, 400, "InvalidRequest", "not supported"},
		"filter":            {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "resource", "me/messages?$filter=isRead eq false"}, 400, "InvalidRequest", "filter"},
		"other mailbox":     {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "resource", "users/grace@contoso.example/messages"}, 403, "ErrorAccessDenied", "Access is denied"},
		"unknown folder":    {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "resource", "me/mailFolders('nope')/messages"}, 404, "ErrorItemNotFound", "not found"},
		"no expiry":         {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "expirationDateTime", nil}, 400, "InvalidRequest", "expirationDateTime"},
		"past":              {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "expirationDateTime", "2026-03-01T12:00:00Z"}, 400, "ExtensionError", "future"},
		"10071 minutes":     {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil, "expirationDateTime", "2026-03-08T11:51:00Z"}, 400, "ExtensionError", "Subscription expiration can only be 10070 minutes in the future."},
		"unreachable":       {[]any{"notificationUrl", secure, "lifecycleNotificationUrl", nil}, 400, "ValidationError", "must respond with 200 OK"},
		"malformed expires": {[]any{"expirationDateTime", "soon"}, 400, "InvalidRequest", "deserialize"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			status, body := w.do(adasCaller, "POST", "/subscriptions", w.want(c.changes...))
			if code, message := problemOf(body); status != c.status || code != c.code || !strings.Contains(message, c.message) {
				t.Errorf("%d %v", status, body)
			}
		})
	}
	if status, body := w.do(Caller{User: ada, App: "app", Scopes: []string{"Mail.Send"}}, "POST", "/subscriptions",
		w.want("notificationUrl", secure, "lifecycleNotificationUrl", nil)); status != 403 {
		t.Errorf("without a scope to read: %d %v", status, body)
	}
}

func TestValidationHandshake(t *testing.T) {
	w := newWorld(t, Settings{})
	hasty := newWorld(t, Settings{ValidationTimeout: 50 * time.Millisecond}) // for who never answers
	release := make(chan struct{})
	defer close(release)
	for name, c := range map[string]struct {
		w       *world
		answer  func(http.ResponseWriter, *http.Request, string)
		message string
	}{
		"forbidden": {w, func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(403) }, "Subscription validation request failed. HTTP status code is 'Forbidden'."},
		"redirect": {w, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Location", "/")
			w.WriteHeader(302)
		}, "'Found'"},
		"wrong text": {w, func(w http.ResponseWriter, _ *http.Request, _ string) { _, _ = io.WriteString(w, "hello") }, "must respond with 200 OK"},
		"not decoded": {w, func(w http.ResponseWriter, r *http.Request, _ string) {
			w.Header().Set("Content-Type", "text/plain")
			_, raw, _ := strings.Cut(r.URL.RawQuery, "validationToken=")
			_, _ = io.WriteString(w, raw)
		}, "must respond with 200 OK"},
		"html": {w, func(w http.ResponseWriter, _ *http.Request, token string) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, token)
		}, "must respond with 200 OK"},
		"too late": {hasty, func(_ http.ResponseWriter, r *http.Request, _ string) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, "Subscription validation request timed out."},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.t = t
			c.w.hook.setValidation(c.answer)
			status, body := c.w.do(adasCaller, "POST", "/subscriptions", c.w.want())
			if code, message := problemOf(body); status != 400 || code != "ValidationError" || !strings.Contains(message, c.message) {
				t.Errorf("%d %v", status, body)
			}
		})
	}
	w.t = t // the last case's context has ended
	// Only the second URL fails: still no subscription.
	w.hook.setValidation(func(rw http.ResponseWriter, r *http.Request, token string) {
		if r.Method != http.MethodPost || r.ContentLength > 0 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("handshake %s, %d bytes, %q", r.Method, r.ContentLength, r.Header.Get("Content-Type"))
		}
		if r.URL.Path == "/n" && r.URL.Query().Get("tag") != "1" {
			t.Errorf("the URL's own query is lost: %s", r.URL.RawQuery)
		}
		if r.URL.Path == "/l" {
			rw.WriteHeader(500)
			return
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(rw, token)
	})
	if status, _ := w.do(adasCaller, "POST", "/subscriptions", w.want()); status != 400 {
		t.Errorf("a failing lifecycle URL: %d", status)
	}
	if _, body := w.do(adasCaller, "GET", "/subscriptions", ""); len(body["value"].([]any)) != 0 {
		t.Errorf("a subscription was made: %v", body)
	}
}

func TestLimitsAndOwners(t *testing.T) {
	w := newWorld(t, Settings{MaxPerMailbox: 2})
	id := w.subscribe("expirationDateTime", "2026-03-01T12:01:00Z")
	if _, body := w.do(adasCaller, "GET", "/subscriptions/"+id, ""); body["expirationDateTime"] != "2026-03-01T12:45:00.0000000Z" {
		t.Errorf("a minute was not raised to 45: %v", body["expirationDateTime"])
	}
	status, body := w.do(adasCaller, "POST", "/subscriptions", w.want("changeType", "deleted,created,updated"))
	if code, message := problemOf(body); status != 409 || code != "Conflict" || message != "Subscription Id <"+id+"> already exists for the requested combination" {
		t.Errorf("duplicate: %d %v", status, body)
	}
	for name, other := range map[string]Caller{
		"another app": {User: ada, App: "other", Scopes: adasCaller.Scopes}, "another user": {User: grace, App: "app", Scopes: adasCaller.Scopes},
	} {
		if status, _ := w.do(other, "GET", "/subscriptions/"+id, ""); status != 404 {
			t.Errorf("%s sees it: %d", name, status)
		}
		if status, _ := w.do(other, "DELETE", "/subscriptions/"+id, ""); status != 404 {
			t.Errorf("%s deletes it: %d", name, status)
		}
		if _, body := w.do(other, "GET", "/subscriptions", ""); len(body["value"].([]any)) != 0 {
			t.Errorf("%s lists it", name)
		}
	}
	w.subscribe("resource", "/me/mailFolders/inbox/messages")
	if status, body := w.do(adasCaller, "POST", "/subscriptions", w.want("changeType", "created")); status != 403 {
		t.Errorf("a third: %d %v", status, body)
	}
	w.s.settings.AllowDuplicates, w.s.settings.MaxPerMailbox = true, 1000
	if status, body := w.do(adasCaller, "POST", "/subscriptions", w.want()); status != 201 {
		t.Errorf("duplicate, allowed: %d %v", status, body)
	}
}

func TestParseResource(t *testing.T) {
	for in, want := range map[string]resource{
		"me/messages": {}, "/me/messages": {}, "Me/Messages/": {},
		"me/mailFolders('inbox')/messages":                   {folder: "inbox"},
		"me/mailfolders/AAMk-_=/messages":                    {folder: "AAMk-_="},
		"users/a@b.example/messages":                         {user: "a@b.example"},
		"users('a-b')/mailFolders('x')/messages?$select=id":  {user: "a-b", folder: "x"},
		"/users/0d7f8e35/mailFolders/inbox/messages?$top=10": {user: "0d7f8e35", folder: "inbox"},
	} {
		if got, _, ok := parseResource(in); !ok || got != want {
			t.Errorf("%q: %+v, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "me", "messages", "me/events", "users/x", "me/mailFolders/x", "me/mailFolders(inbox)/messages", "me/messages/x", "me//messages"} {
		if got, _, ok := parseResource(in); ok {
			t.Errorf("%q was taken: %+v", in, got)
		}
	}
}

func TestNotification(t *testing.T) {
	w := newWorld(t, Settings{})
	id := w.subscribe()
	w.s.Notify(change(cloud.Created))
	p := w.next()
	if p.path != "/n?tag=1" || len(p.Value) != 1 {
		t.Fatalf("%+v", p)
	}
	v := p.Value[0]
	if v.SubscriptionID != id || v.ClientState != "s3cret" || v.ChangeType != "created" || v.TenantID != "tenant" || v.ID == "" ||
		v.Resource != "Users/ada-oid/Messages/AAMk1" || v.Data.ID != "AAMk1" || v.Data.ETag != `W/"1"` || v.Data.Type != "#Microsoft.Graph.Message" ||
		v.Expires != "2026-03-02T12:00:00.0000000Z" || v.Lifecycle != "" {
		t.Errorf("%+v %+v", v, v.Data)
	}
	w.counted("delivered", 1)
}

func TestWhoIsToldWhat(t *testing.T) {
	w := newWorld(t, Settings{})
	status, body := w.do(adasCaller, "POST", "/subscriptions",
		w.want("changeType", "created", "resource", "me/mailFolders('inbox')/messages"), "Prefer", `outlook.timezone="UTC", IdType = "ImmutableId"`)
	if status != 201 {
		t.Fatalf("%d %v", status, body)
	}
	for _, c := range []cloud.Change{
		change(cloud.Updated), change(cloud.Deleted),
		{User: grace, Type: cloud.Created, Folder: "folder-inbox", ImmutableID: "x"},
		{User: ada, Type: cloud.Created, Folder: "folder-sent", ImmutableID: "x"},
		{User: ada, Type: cloud.Created, Folder: "folder-inbox", ImmutableID: "x", Silent: true},
		change(cloud.Created),
	} {
		w.s.Notify(c)
	}
	p := w.next()
	if len(p.Value) != 1 || p.Value[0].Data.ID != "AAkA1" {
		t.Errorf("%+v", p)
	}
	w.counted("delivered", 1)
}

func TestNotificationsAreGathered(t *testing.T) {
	w := newWorld(t, Settings{BatchWindow: time.Second, MaxBatch: 7})
	w.subscribe()
	for range 20 {
		w.s.Notify(change(cloud.Updated))
	}
	posts, n := 0, 0
	for n < 20 {
		p := w.next()
		if len(p.Value) > 7 {
			t.Errorf("%d in one post", len(p.Value))
		}
		posts++
		n += len(p.Value)
	}
	if posts != 3 {
		t.Errorf("20 notifications in %d posts, want 3", posts)
	}
}

func TestRetryUntilTaken(t *testing.T) {
	w := newWorld(t, Settings{RetryBackoff: time.Millisecond, DeliveryTimeout: 2 * time.Second})
	w.subscribe()
	var attempts atomic.Int64
	w.hook.setAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		switch attempts.Add(1) {
		case 1:
			rw.WriteHeader(500)
		case 2:
			rw.Header().Set("Location", "/elsewhere")
			rw.WriteHeader(307)
		case 3:
			<-r.Context().Done() // too slow
		default:
			return false
		}
		return true
	})
	w.s.Notify(change(cloud.Created))
	w.counted("delivered", 1)
	got := w.counters.Report("", "").Notifications
	if got["retried"] != 3 || got["dropped"] != 0 {
		t.Errorf("%v", got)
	}
}

func TestDroppedAfterTheLastRetryAndToldAsMissed(t *testing.T) {
	w := newWorld(t, Settings{RetryBackoff: time.Millisecond, RetryFor: 10 * time.Millisecond})
	w.subscribe()
	w.hook.setAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/l" {
			return false
		}
		rw.WriteHeader(503)
		return true
	})
	w.s.Notify(change(cloud.Created))
	w.counted("dropped", 1)
	for {
		if p := w.next(); p.path == "/l" {
			if p.Value[0].Lifecycle != Missed || p.Value[0].Data != nil || p.Value[0].ClientState != "s3cret" {
				t.Errorf("%+v", p)
			}
			return
		}
	}
}

func TestSlowEndpointsAreHeldBackThenDropped(t *testing.T) {
	w := newWorld(t, Settings{SlowSamples: 10, SlowAfter: time.Nanosecond, SlowDelay: time.Millisecond, DropShare: 0.5, MaxBatch: 1})
	w.subscribe()
	for i := range 10 { // every answer takes longer than a nanosecond
		w.s.Notify(change(cloud.Created))
		w.counted("delivered", int64(i+1))
	}
	w.s.Notify(change(cloud.Created))
	w.counted("dropped_slow", 1)
	w.clock.Advance(10 * time.Minute) // a new window, a new chance
	w.s.Notify(change(cloud.Created))
	w.counted("delivered", 11)

	w = newWorld(t, Settings{SlowSamples: 1, SlowAfter: time.Nanosecond, SlowDelay: time.Millisecond, DropShare: 2})
	w.subscribe()
	for i := range 3 { // held back, but sent
		w.s.Notify(change(cloud.Created))
		w.counted("delivered", int64(i+1))
	}
}

func TestNotificationFaults(t *testing.T) {
	w := newWorld(t, Settings{})
	w.subscribe()
	put := func(n traffic.NotificationFault) {
		t.Helper()
		if err := w.faults.Put(traffic.Fault{Notifications: &n}); err != nil {
			t.Fatal(err)
		}
	}
	put(traffic.NotificationFault{Drop: true})
	w.s.Notify(change(cloud.Created))
	w.counted("dropped_by_fault", 1)
	put(traffic.NotificationFault{Double: true})
	w.s.Notify(change(cloud.Created))
	w.counted("delivered", 2)
	put(traffic.NotificationFault{DelayMS: 20})
	began := time.Now()
	w.s.Notify(change(cloud.Created))
	w.counted("delivered", 3)
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("delayed by only %v", took)
	}
}

func TestLifecycleEventsOnDemand(t *testing.T) {
	w := newWorld(t, Settings{ReauthorizePause: time.Minute})
	id := w.subscribe()
	if _, err := w.s.Lifecycle(ada, "party"); err == nil {
		t.Error("an unknown event was taken")
	}
	tell := func(event string) {
		t.Helper()
		if n, err := w.s.Lifecycle(ada, event); n != 1 || err != nil {
			t.Fatalf("%s told %d, %v", event, n, err)
		}
		if p := w.next(); p.path != "/l" || p.Value[0].Lifecycle != event || p.Value[0].SubscriptionID != id {
			t.Fatalf("%+v", p)
		}
	}
	tell(Missed)
	tell(ReauthorizationRequired)
	w.clock.Advance(time.Minute)
	w.s.Notify(change(cloud.Created))
	w.counted("paused", 1)
	if status, _ := w.do(adasCaller, "POST", "/subscriptions/"+id+"/reauthorize", ""); status != 204 {
		t.Fatal(status)
	}
	if p := w.next(); p.Value[0].Lifecycle != Missed {
		t.Errorf("what was withheld was not told: %+v", p)
	}
	w.s.Notify(change(cloud.Created))
	if p := w.next(); p.Value[0].ChangeType != "created" {
		t.Errorf("%+v", p)
	}
	tell(SubscriptionRemoved)
	if status, _ := w.do(adasCaller, "GET", "/subscriptions/"+id, ""); status != 404 {
		t.Errorf("it is still there: %d", status)
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld(t, Settings{SweepEvery: time.Millisecond, RemovedOnExpiry: true})
	id := w.subscribe("expirationDateTime", "2026-03-01T13:00:00Z")
	w.clock.Advance(31 * time.Minute)
	if p := w.next(); p.Value[0].Lifecycle != ReauthorizationRequired {
		t.Fatalf("%+v", p)
	}
	w.clock.Advance(15 * time.Minute)
	if p := w.next(); p.Value[0].Lifecycle != ReauthorizationRequired {
		t.Fatalf("not repeated: %+v", p)
	}
	if status, _ := w.do(adasCaller, "PATCH", "/subscriptions/"+id, `{"expirationDateTime":"2026-03-01T14:00:00Z"}`); status != 200 {
		t.Fatal(status)
	}
	w.clock.Advance(74 * time.Minute)
	for {
		p := w.next()
		if p.Value[0].Lifecycle == SubscriptionRemoved {
			break
		}
	}
	if status, _ := w.do(adasCaller, "GET", "/subscriptions/"+id, ""); status != 404 {
		t.Errorf("expired, and there: %d", status)
	}
	w.s.Notify(change(cloud.Created))
	if got := w.counters.Report("", "").Notifications["delivered"]; got != 0 {
		t.Errorf("an expired subscription was notified")
	}
}

func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Settings{})
	id := w.subscribe("resource", "me/mailFolders('inbox')/messages")
	if err := w.s.Save(dir); err != nil {
		t.Fatal(err)
	}
	next := newWorld(t, Settings{})
	if err := next.s.Load(dir); err != nil {
		t.Fatal(err)
	}
	next.s.Notify(change(cloud.Created))
	p := w.next() // the first world's endpoint
	if p.Value[0].SubscriptionID != id || p.Value[0].ClientState != "s3cret" {
		t.Errorf("%+v", p)
	}
}

// A post under way, one that waits for its retry and a queue that gathers all
// end with Run; the world's cleanup waits for it.
func TestRunEndsEverything(t *testing.T) {
	w := newWorld(t, Settings{RetryBackoff: time.Hour, RetryFor: 24 * time.Hour})
	w.subscribe()
	w.hook.setAnswer(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(500); return true })
	for i := range 5 {
		w.s.Notify(change(cloud.Created))
		w.counted("retried", int64(i+1))
	}
	w.s.Notify(change(cloud.Created))
}

func BenchmarkNotifyManySubscriptions(b *testing.B) {
	s := New(Settings{}, Options{Tenant: func(cloud.User) string { return "" }})
	for i := range 1000 {
		s.remember(&subscription{ID: fmt.Sprint(i), User: cloud.User{ID: fmt.Sprint(i)}, ChangeTypes: []string{"created"}})
	}
	for b.Loop() {
		s.Notify(change(cloud.Created))
	}
}
