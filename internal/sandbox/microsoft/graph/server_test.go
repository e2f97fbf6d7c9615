package graph

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
)

func TestEnvelope(t *testing.T) {
	w := newWorld(t, nil)
	r := w.get("/me", "client-request-id", "mine", "Accept-Encoding", "gzip")
	if r.header.Get("Content-Encoding") != "gzip" || r.header.Get("client-request-id") != "mine" || r.header.Get("request-id") == "" || r.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("headers %v", r.header)
	}
	z, err := gzip.NewReader(strings.NewReader(string(r.raw)))
	if err != nil {
		t.Fatal(err)
	}
	var me map[string]any
	if err := json.NewDecoder(z).Decode(&me); err != nil || me["mail"] != ada {
		t.Errorf("profile %v %v", me, err)
	}
	var diagnostic map[string]any
	if err := json.Unmarshal([]byte(r.header.Get("x-ms-ags-diagnostic")), &diagnostic); err != nil {
		t.Error(err)
	}
	plain := w.get("/me?$select=id,proxyAddresses").is(200)
	if plain.header.Get("Content-Type") != jsonType || len(plain.json) != 3 || plain.header.Get("client-request-id") != plain.header.Get("request-id") {
		t.Errorf("selected: %s %v", plain.raw, plain.header)
	}
	w.get("/me/nonsense").refuses(400, "BadRequest")
	w.do("DELETE", "/me/messages", nil).refuses(405, "ErrorInvalidRequest")
	w.get("/me/mailFolders/inbox/messageRules").refuses(501, RefusedCode)
	w.scopes = []string{"Mail.Read"}
	w.get("/me").refuses(403, "Authorization_RequestDenied")
	w.get("/me/messages").is(200)
	w.do("POST", "/me/messages", obj{}).refuses(403, "ErrorAccessDenied")
	w.user = "nobody@contoso.example"
	w.get("/me/messages").refuses(404, "MailboxNotEnabledForRESTAPI")
}

func TestUsers(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.s.AddUser(cloud.User{Address: strings.ToUpper(ada)}); err == nil {
		t.Error("a second mailbox for one address")
	}
	if err := w.s.AddUser(cloud.User{Address: "nobody"}); err == nil {
		t.Error("a mailbox without an address")
	}
	u, found := w.s.UserByAddress("ADA@contoso.example")
	if byID, ok := w.s.UserByID(u.ID); !found || !ok || byID != u || len(u.ID) != 36 || len(w.s.Users()) != 2 {
		t.Errorf("user %+v", u)
	}
	for _, err := range []error{w.s.Delete("x@y", "z"), w.s.ForgetCursors("x@y")} {
		if err == nil {
			t.Error("no error for an unknown mailbox")
		}
	}
	if _, err := w.s.Deliver(t.Context(), "x@y", cloud.Delivery{}); err == nil {
		t.Error("delivered to nobody")
	}
	if _, err := w.s.Deliver(t.Context(), ada, cloud.Delivery{Mailbox: "clutter"}); err == nil {
		t.Error("delivered to a folder that was never created")
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{Raw: letter("one", "x")})
	r := w.do("POST", "/$batch", obj{"requests": []obj{
		{"id": "1", "method": "GET", "url": "/me/messages/" + id + "?$select=subject"},
		{"id": "2", "method": "PATCH", "url": "/me/messages/" + id, "body": obj{"isRead": true}, "headers": obj{"Content-Type": "application/json"}, "dependsOn": []string{"1"}},
		{"id": "3", "method": "GET", "url": "/me/messages/" + id + "/$value"},
		{"id": "4", "method": "GET", "url": "/me/messages/junk"},
		{"id": "5", "method": "GET", "url": "/me", "dependsOn": []string{"4"}},
		{"id": "6", "method": "POST", "url": "/me/messages", "headers": obj{"Content-Type": "text/plain", "Prefer": immutable}, "body": b64(letter("by batch", "x"))},
		{"id": "7", "method": "DELETE", "url": "/me/messages/" + id, "dependsOn": []string{"2", "3"}},
	}}).is(200)
	got := map[string]map[string]any{}
	for _, v := range r.at("responses").([]any) {
		m := v.(map[string]any)
		got[m["id"].(string)] = m
	}
	for id, status := range map[string]float64{"1": 200, "2": 200, "3": 200, "4": 400, "5": 424, "6": 201, "7": 204} {
		if got[id]["status"] != status {
			t.Errorf("%s: %v", id, got[id])
		}
	}
	if dig(got["1"], "body", "subject") != "one" || got["3"]["body"] != b64(letter("one", "x")) || dig(got["5"], "body", "error", "code") != "FailedDependency" || got["7"]["body"] != nil {
		t.Errorf("bodies: %s", r.raw)
	}
	if dig(got["6"], "headers", "Preference-Applied") != "IdType=ImmutableId" || !strings.HasPrefix(dig(got["6"], "body", "id").(string), "AAkA") {
		t.Errorf("MIME: %v", got["6"])
	}
	item := func(n int) obj { return obj{"id": fmt.Sprint(n), "method": "GET", "url": "/me"} }
	var many []obj
	for i := range 21 {
		many = append(many, item(i))
	}
	w.do("POST", "/$batch", obj{"requests": many}).refuses(400, "MaximumValueExceeded")
	for _, bad := range []any{
		obj{"requests": []obj{item(1), item(1)}}, obj{"requests": []obj{}}, obj{"requests": []obj{{"id": "1"}}}, []byte("{"),
		obj{"requests": []obj{{"id": "1", "method": "GET", "url": "https://elsewhere.example/"}}},
		obj{"requests": []obj{{"id": "1", "method": "POST", "url": "/me/messages", "body": obj{}}}},
		obj{"requests": []obj{{"id": "1", "method": "GET", "url": "/me", "dependsOn": []string{"2"}}, item(2)}},
	} {
		w.do("POST", "/$batch", bad).refuses(400, "BadRequest")
	}
}

// Of a batch's items no more run at once than the setting says, and what a
// handler does to the connection it does to the batch's.
func TestBatchConcurrency(t *testing.T) {
	w := newWorld(t, nil)
	var running, most atomic.Int32
	var mu sync.Mutex
	full := sync.NewCond(&mu)
	next := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1.0/abort" {
			panic(http.ErrAbortHandler)
		}
		mu.Lock()
		most.Store(max(most.Load(), running.Add(1)))
		full.Broadcast()
		for most.Load() < 4 { // wait for the others
			full.Wait()
		}
		mu.Unlock()
		defer running.Add(-1)
		rw.Header().Set("Retry-After", "0.249")
		rw.WriteHeader(http.StatusTooManyRequests)
	})
	batch := w.s.BatchHandler(next)
	run := func(url string) (rec *front.Held, aborted any) {
		var items []obj
		for i := range 20 {
			items = append(items, obj{"id": fmt.Sprint(i), "method": "GET", "url": url})
		}
		body, err := json.Marshal(obj{"requests": items})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1.0/$batch", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { aborted = recover() }()
		rec = front.Hold()
		batch.ServeHTTP(rec, req)
		return rec, nil
	}
	rec, _ := run("/x")
	if most.Load() != 4 || strings.Count(string(rec.Body), `"Retry-After":"0.249"`) != 20 || rec.Status() != 200 {
		t.Errorf("%d at once: %d %s", most.Load(), rec.Status(), string(rec.Body))
	}
	if _, aborted := run("/abort"); aborted != http.ErrAbortHandler {
		t.Errorf("the batch survived: %v", aborted)
	}
}

func TestCategories(t *testing.T) {
	w := newWorld(t, nil)
	made := w.do("POST", "/me/outlook/masterCategories", obj{"displayName": "Urgent", "color": "preset9"}).is(201)
	w.do("POST", "/me/outlook/masterCategories", obj{"displayName": "urgent"}).refuses(409, "ErrorItemSave")
	w.do("POST", "/me/outlook/masterCategories", obj{"displayName": "x", "color": "preset99"}).refuses(400, "RequestBodyRead")
	at := "/me/outlook/masterCategories/" + made.text("id")
	if r := w.do("PATCH", at, obj{"color": "none"}).is(200); r.text("color") != "none" {
		t.Errorf("%s", r.raw)
	}
	w.do("PATCH", at, obj{"displayName": "other"}).refuses(400, "ErrorInvalidRequest")
	if n := w.get("/me/outlook/masterCategories/$count").is(200); string(n.raw) != "7" {
		t.Errorf("count %s", n.raw)
	}
	if !slices.Contains(w.get("/me/outlook/masterCategories").is(200).list("displayName"), "Urgent") {
		t.Error("not in the list")
	}
	w.do("DELETE", at, nil).is(204)
	w.get(at).refuses(404, "ErrorItemNotFound")
}

func TestMailboxSettings(t *testing.T) {
	w := newWorld(t, nil)
	if r := w.get("/me/mailboxSettings").is(200); r.text("timeZone") != "UTC" || r.text("archiveFolder") == "" || r.text("automaticRepliesSetting", "status") != "disabled" {
		t.Errorf("%s", r.raw)
	}
	r := w.do("PATCH", "/me/mailboxSettings", obj{"timeZone": "Tokyo Standard Time", "automaticRepliesSetting": obj{"status": "alwaysEnabled"}}).is(200)
	if r.text("automaticRepliesSetting", "externalAudience") != "all" || r.text("automaticRepliesSetting", "status") != "alwaysEnabled" {
		t.Errorf("%s", r.raw)
	}
	if got := w.get("/me/mailboxSettings/timeZone").is(200).text("value"); got != "Tokyo Standard Time" {
		t.Error(got)
	}
	if got := w.get("/me/mailboxSettings/language").is(200).text("locale"); got != "en-US" {
		t.Error(got)
	}
	w.do("PATCH", "/me/mailboxSettings", obj{"timezone": "x"}).refuses(400, "RequestBodyRead")
	w.do("PATCH", "/me/mailboxSettings", obj{"timeZone": obj{}}).refuses(400, "RequestBodyRead")
	w.do("PATCH", "/me/mailboxSettings", obj{"userPurpose": "room"}).refuses(400, "ErrorInvalidRequest")
	w.get("/me/outlook/supportedLanguages").is(200)
	if got := w.get("/me/outlook/supportedTimeZones(TimeZoneStandard=microsoft.graph.timeZoneStandard'iana')").is(200).list("alias"); got[0] != "Etc/UTC" {
		t.Error(got)
	}
}

func TestSaveAndLoad(t *testing.T) {
	w := newWorld(t, nil)
	w.deliver(cloud.Delivery{Raw: letter("kept", "x"), Mailbox: "A/B", Keywords: []string{"$seen", "$answered", "Blue"}})
	draft := w.do("POST", "/me/messages", obj{"subject": "draft", "body": obj{"contentType": "html", "content": "<p>x</p>"}, "attachments": []obj{{"@odata.type": "#microsoft.graph.fileAttachment", "name": "a", "contentBytes": "eA=="}}}, "Prefer", immutable).is(201).text("id")
	_, link, _ := w.round("/me/mailFolders/inbox/messages/delta")
	before, err := w.s.Messages(ada)
	if err != nil {
		t.Fatal(err)
	}
	regular := w.get("/me/messages/" + draft).is(200).text("id")
	dir := t.TempDir()
	if err := w.s.Save(dir); err != nil {
		t.Fatal(err)
	}
	again := New(DefaultSettings(), Options{Now: w.clock})
	if err := again.Load(dir); err != nil {
		t.Fatal(err)
	}
	after, err := again.Messages(ada)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	w.s = again
	w.http.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u, _ := again.UserByAddress(ada)
		again.Handler().ServeHTTP(rw, r.WithContext(WithUser(r.Context(), u, everyScope)))
	})
	w.get("/me/messages/" + regular + "/attachments").is(200)
	if r := w.get(link); r.status != 400 && r.status != 410 {
		t.Errorf("a link from before: %d", r.status)
	}
	fresh := w.deliver(cloud.Delivery{Raw: letter("later", "x")})
	if slices.ContainsFunc(before, func(i cloud.MessageInfo) bool { return i.ID == fresh }) {
		t.Error("an id was given twice")
	}
	if err := again.Load(dir); err == nil {
		t.Error("loaded over a mailbox that is there")
	}
	if err := again.Load(t.TempDir() + "/none"); err != nil {
		t.Error(err)
	}
}

// Many clients at once on one mailbox: for the race detector, and because a
// change may not be lost.
func TestConcurrency(t *testing.T) {
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 20 {
				id, err := w.s.Deliver(t.Context(), ada, cloud.Delivery{Raw: letter(fmt.Sprint(n, i), "x"), Notify: true})
				if err != nil {
					t.Error(err)
					return
				}
				for _, path := range []string{"/me/messages/" + id + "/$value", "/me/mailFolders/inbox/messages/delta?$top=5", "/me/messages?$filter=isRead%20eq%20true"} {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/v1.0"+path, nil)
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := w.http.Client().Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("%s: %d", path, resp.StatusCode)
					}
				}
			}
		})
	}
	wg.Wait()
	if infos, _ := w.s.Messages(ada); len(infos) != 160 || len(w.changes) != 320 {
		t.Errorf("%d messages, %d changes", len(infos), len(w.changes))
	}
}

// BenchmarkDelta lists a mailbox of 100,000 messages by delta, BenchmarkList by
// pages: a page costs its own size, however many there are.
func BenchmarkDelta(b *testing.B) {
	benchmarkPages(b, "/v1.0/me/mailFolders/inbox/messages/delta?$select=subject,isRead")
}

func BenchmarkList(b *testing.B) { benchmarkPages(b, "/v1.0/me/messages?$select=subject&$top=1000") }

func benchmarkPages(b *testing.B, path string) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := New(DefaultSettings(), Options{})
			if err := s.AddUser(cloud.User{Address: ada}); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if _, err := s.Deliver(b.Context(), ada, cloud.Delivery{Date: time.Unix(int64(i), 0), Raw: letter(fmt.Sprint(i), "some text")}); err != nil {
					b.Fatal(err)
				}
			}
			u, _ := s.UserByAddress(ada)
			ctx := WithUser(b.Context(), u, everyScope)
			h := s.Handler()
			for b.Loop() {
				for link := path; link != ""; {
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
					if err != nil {
						b.Fatal(err)
					}
					req.Header.Set("Prefer", "odata.maxpagesize=1000")
					rec := front.Hold()
					h.ServeHTTP(rec, req)
					var page struct {
						Next string `json:"@odata.nextLink"`
					}
					if err := json.Unmarshal(rec.Body, &page); err != nil || rec.Status() != 200 {
						b.Fatal(rec.Status(), err)
					}
					link = strings.TrimPrefix(page.Next, "http://")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/message")
		})
	}
}
