package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

// fixedTokens gives token-1, then token-2 after the first refusal, and so on.
type fixedTokens struct {
	n       atomic.Int64
	renewed atomic.Int64
	err     error
}

func (f *fixedTokens) Token(context.Context) (string, error) {
	return fmt.Sprintf("token-%d", f.n.Load()), f.err
}

func (f *fixedTokens) Renew(context.Context, string) (string, error) {
	f.renewed.Add(1)
	return fmt.Sprintf("token-%d", f.n.Add(1)), f.err
}

// testClient calls h and notes how long it slept.
func testClient(t *testing.T, h http.HandlerFunc) (*Client, *[]time.Duration) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL + "/v1.0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	slept := &[]time.Duration{}
	limiter := pace.NewLimiter(4)
	return New(Options{
		Base: base, HTTP: srv.Client(), Tokens: &fixedTokens{}, Limiter: limiter,
		Sleep: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			*slept = append(*slept, d)
			// The pause of the limiter is not waited for either.
			limiter.Resume()
			return ctx.Err()
		},
	}), slept
}

func graphError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func TestEveryRequestAsksForImmutableIDs(t *testing.T) {
	var got http.Header
	c, _ := testClient(t, func(w http.ResponseWriter, r *http.Request) { got = r.Header; _, _ = io.WriteString(w, `{}`) })
	err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Path: "/me", Prefer: []string{"odata.maxpagesize=5"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Get("Prefer"); p != `IdType="ImmutableId", odata.maxpagesize=5` {
		t.Errorf("Prefer: %s", p)
	}
	if got.Get("client-request-id") == "" || got.Get("Authorization") != "Bearer token-0" {
		t.Errorf("headers: %v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		name, header string
		status       int
		want         func(time.Duration) bool
	}{
		{"whole seconds", "3", 429, func(d time.Duration) bool { return d == 3*time.Second }},
		{"decimals", "0.249", 429, func(d time.Duration) bool { return d == 249*time.Millisecond }},
		{"absent", "", 429, func(d time.Duration) bool { return d >= 250*time.Millisecond && d <= 500*time.Millisecond }},
		{"nonsense", "soon", 503, func(d time.Duration) bool { return d >= 250*time.Millisecond && d <= 500*time.Millisecond }},
		{"gateway timeout", "7", 504, func(d time.Duration) bool { return d == 7*time.Second }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			c, slept := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
				if calls++; calls == 1 {
					if tc.header != "" {
						w.Header().Set("Retry-After", tc.header)
					}
					graphError(w, tc.status, "X", "later")
					return
				}
				_, _ = io.WriteString(w, `{}`)
			})
			if err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Path: "/me"}, nil); err != nil {
				t.Fatal(err)
			}
			if len(*slept) != 1 || !tc.want((*slept)[0]) {
				t.Errorf("slept %v", *slept)
			}
		})
	}
}

func TestRetryAfterBeyondTheDeadlineIsToldAtOnce(t *testing.T) {
	c, slept := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		graphError(w, 429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := c.Do(ctx, &Request{Op: "op", Method: "GET", Path: "/me"}, nil)
	if mail.KindOf(err) != mail.KindThrottled || mail.RetryAfter(err) != time.Minute || len(*slept) != 0 {
		t.Errorf("%v, after %v, slept %v", err, mail.RetryAfter(err), *slept)
	}
}

func TestUnauthorizedRenewsOnce(t *testing.T) {
	var tokens []string
	c, _ := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		if r.URL.Path == "/v1.0/never" || len(tokens) == 1 {
			graphError(w, 401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	if err := c.Do(t.Context(), &Request{Op: "op", Method: "POST", Path: "/me", Once: true}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Bearer token-0", "Bearer token-1"}, tokens); diff != "" {
		t.Error(diff)
	}
	tokens = nil
	err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Path: "/never"}, nil)
	if mail.KindOf(err) != mail.KindUnavailable || len(tokens) != 2 {
		t.Errorf("%v after %d requests", err, len(tokens))
	}
}

// cut reads the request and closes the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestCutConnection(t *testing.T) {
	var calls atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if calls.Add(1) == 1 {
			cut(w)
			return
		}
		_, _ = io.WriteString(w, `{"id":"x"}`)
	}
	c, _ := testClient(t, h)
	var m Message
	if err := c.Do(t.Context(), &Request{Op: "op", Method: "PATCH", Path: "/x", Body: map[string]bool{"isRead": true}}, &m); err != nil || m.ID != "x" || calls.Load() != 2 {
		t.Errorf("harmless request: %v after %d calls", err, calls.Load())
	}
	calls.Store(0)
	c, _ = testClient(t, h)
	err := c.Do(t.Context(), &Request{Op: "send", Method: "POST", Path: "/x/send", Once: true}, nil)
	if mail.KindOf(err) != mail.KindOutcomeUnknown || calls.Load() != 1 {
		t.Errorf("send: %v after %d calls", err, calls.Load())
	}
}

func TestServerErrorsOfSendAreNotRepeated(t *testing.T) {
	for _, tc := range []struct {
		status int
		after  string
		want   mail.Kind
		calls  int
	}{
		{500, "", mail.KindOutcomeUnknown, 1},
		{502, "", mail.KindOutcomeUnknown, 1},
		{503, "", mail.KindOutcomeUnknown, 1},
		{504, "1", mail.KindOutcomeUnknown, 1},
		{503, "1", "", 2}, // a refusal: nothing was done
		{429, "", "", 2},
		{400, "", mail.KindInvalid, 1},
	} {
		calls := 0
		c, _ := testClient(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls > 1 {
				w.WriteHeader(http.StatusAccepted)
				return
			}
			if tc.after != "" {
				w.Header().Set("Retry-After", tc.after)
			}
			graphError(w, tc.status, "X", "x")
		})
		err := c.Do(t.Context(), &Request{Op: "send", Method: "POST", Path: "/x/send", Once: true}, nil)
		if mail.KindOf(err) != tc.want || calls != tc.calls {
			t.Errorf("%d %q: %v after %d calls", tc.status, tc.after, err, calls)
		}
	}
}

func TestUnreachableIsUnavailableEvenForSend(t *testing.T) {
	c, _ := testClient(t, func(http.ResponseWriter, *http.Request) {})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	base, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.o.Base = base
	err = c.Do(t.Context(), &Request{Op: "send", Method: "POST", Path: "/x/send", Once: true}, nil)
	if mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("nothing was sent, but: %v", err)
	}
}

func TestForeignLinksAreRefused(t *testing.T) {
	asked := 0
	c, _ := testClient(t, func(w http.ResponseWriter, _ *http.Request) { asked++; _, _ = io.WriteString(w, `{}`) })
	for _, link := range []string{
		"https://evil.example/v1.0/me/messages?$skiptoken=x",
		strings.Replace(c.o.Base.String(), "http://", "http://user@", 1) + "/me",
		strings.Replace(c.o.Base.String(), "http://", "https://", 1) + "/me",
		"/me/messages", "::",
	} {
		err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Link: link}, nil)
		if mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("%s: %v", link, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d requests went out", asked)
	}
	if err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Link: c.o.Base.String() + "/me?$skip=3"}, nil); err != nil {
		t.Error(err)
	}
}

func TestBadAnswers(t *testing.T) {
	c, _ := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"value":"`+strings.Repeat("x", 2000)+`"}`)
	})
	if _, err := readAll(strings.NewReader("12345"), 4); !errors.Is(err, errTooLarge) {
		t.Errorf("five bytes of four: %v", err)
	}
	var out map[string]int // not what comes
	err := c.Do(t.Context(), &Request{Op: "op", Method: "GET", Path: "/x"}, &out)
	if mail.KindOf(err) != mail.KindUnavailable || strings.Contains(err.Error(), "xxx") {
		t.Errorf("an answer that is not understood: %v", err)
	}
}

func TestErrorTable(t *testing.T) {
	for _, tc := range []struct {
		status     int
		body       string
		kind       mail.Kind
		code, text string
	}{
		{404, `{"error":{"code":"ErrorItemNotFound","message":"The specified object was not found in the store."}}`, mail.KindNotFound, "ErrorItemNotFound", "not found"},
		{400, `{"error":{"code":"ErrorInvalidIdMalformed","message":"Id is malformed."}}`, mail.KindNotFound, "ErrorInvalidIdMalformed", "malformed"},
		{404, `{"error":{"code":"MailboxNotEnabledForRESTAPI","message":"on-premise"}}`, mail.KindForbidden, "MailboxNotEnabledForRESTAPI", ""},
		{403, `{"error":{"code":"ErrorAccessDenied","message":"Access is denied."}}`, mail.KindForbidden, "ErrorAccessDenied", ""},
		{409, `{"error":{"code":"ErrorFolderExists","message":"exists"}}`, mail.KindConflict, "ErrorFolderExists", ""},
		{412, `{"error":{"code":"ErrorIrresolvableConflict","message":"change key"}}`, mail.KindConflict, "ErrorIrresolvableConflict", ""},
		{410, `{"error":{"code":"SyncStateNotFound","message":"generation=149"}}`, mail.KindCursorExpired, "SyncStateNotFound", ""},
		{400, `{"error":{"code":"resyncRequired","message":"x"}}`, mail.KindCursorExpired, "resyncRequired", ""},
		{400, `{"error":{"code":"BadRequest","message":"The maximum request length supported is 4MB."}}`, mail.KindTooLarge, "BadRequest", ""},
		{413, ``, mail.KindTooLarge, "", "Too Large"},
		{400, `{"error":{"code":"ErrorMessageSizeExceeded","message":"x"}}`, mail.KindTooLarge, "ErrorMessageSizeExceeded", ""},
		{507, `{"error":{"code":"ErrorQuotaExceeded","message":"x"}}`, mail.KindOverQuota, "ErrorQuotaExceeded", ""},
		{503, `<html>busy</html>`, mail.KindUnavailable, "", "Unavailable"},
		{400, `{"error":{"code":"ErrorInvalidRecipients","message":"x"}}`, mail.KindInvalid, "ErrorInvalidRecipients", ""},
		{401, `{"error":{"code":"InvalidAuthenticationToken","message":"Access token validation failure. Invalid audience."}}`, mail.KindMisconfigured, "InvalidAuthenticationToken", ""},
		// The innermost known code wins, under either spelling; unknown ones do not.
		{403, `{"error":{"code":"Forbidden","message":"outer","innerError":{"code":"ErrorSendAsDenied","message":"inner","innererror":{"code":"Mystery"}}}}`, mail.KindForbidden, "ErrorSendAsDenied", "inner"},
		{400, `{"error":{"code":"BadRequest","message":"outer","innererror":{"code":"SyncStateNotFound"}}}`, mail.KindCursorExpired, "SyncStateNotFound", "outer"},
	} {
		e := decodeError(tc.status, []byte(tc.body))
		if e.Kind() != tc.kind || e.Code != tc.code || !strings.Contains(e.Message, tc.text) {
			t.Errorf("%d %s: %s %s %q", tc.status, tc.body, e.Kind(), e.Code, e.Message)
		}
	}
}

func TestBatchRepeatsOnlyWhatWasRefused(t *testing.T) {
	var rounds [][]string
	c, slept := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Requests []struct {
				ID, URL string
				Headers map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		type answer struct {
			ID      string            `json:"id"`
			Status  int               `json:"status"`
			Headers map[string]string `json:"headers"`
			Body    any               `json:"body"`
		}
		var out []answer
		var round []string
		for _, q := range body.Requests {
			round = append(round, q.URL)
			if q.Headers["Prefer"] != `IdType="ImmutableId"` {
				t.Errorf("item without immutable ids: %v", q.Headers)
			}
			a := answer{ID: q.ID, Status: 200, Body: map[string]string{"id": q.URL}}
			switch {
			case q.URL == "/gone":
				a.Status, a.Body = 404, map[string]any{"error": map[string]string{"code": "ErrorItemNotFound", "message": "gone"}}
			case len(rounds) == 0 && strings.HasPrefix(q.URL, "/busy"):
				a.Status, a.Headers = 429, map[string]string{"retry-after": "0.249"}
				a.Body = map[string]any{"error": map[string]string{"code": "ApplicationThrottled", "message": "over"}}
			}
			out = append(out, a)
		}
		rounds = append(rounds, round)
		slices.Reverse(out) // any order is legal
		_ = json.NewEncoder(w).Encode(map[string]any{"responses": out})
	})
	items := []Item{{Method: "GET", Path: "/a"}, {Method: "GET", Path: "/busy1"}, {Method: "GET", Path: "/gone"}, {Method: "POST", Path: "/busy2", Once: true}}
	answers, err := c.Batch(t.Context(), "op", 0, items)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"/a", "/busy1", "/gone", "/busy2"}, {"/busy1", "/busy2"}}
	if diff := cmp.Diff(want, rounds); diff != "" {
		t.Error(diff)
	}
	if len(*slept) != 1 || (*slept)[0] != 249*time.Millisecond {
		t.Errorf("slept %v", *slept)
	}
	for i, it := range items {
		var m Message
		err := answers[i].Decode("op", &m)
		if it.Path == "/gone" {
			if mail.KindOf(err) != mail.KindNotFound {
				t.Errorf("gone: %v", err)
			}
		} else if err != nil || m.ID != it.Path {
			t.Errorf("%s: %q %v", it.Path, m.ID, err)
		}
	}
}

func TestBatchIsCutIntoTwenties(t *testing.T) {
	var sizes []int
	c, _ := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Requests []struct{ ID string } }
		_ = json.NewDecoder(r.Body).Decode(&body)
		sizes = append(sizes, len(body.Requests))
		var out []map[string]any
		for _, q := range body.Requests {
			out = append(out, map[string]any{"id": q.ID, "status": 204})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"responses": out})
	})
	if _, err := c.Batch(t.Context(), "op", 0, make([]Item, 45)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{20, 20, 5}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestCutBatch(t *testing.T) {
	var calls atomic.Int64
	c, _ := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls.Add(1)
		cut(w)
	})
	answers, err := c.Batch(t.Context(), "op", 0, []Item{{Method: "GET", Path: "/a"}, {Method: "POST", Path: "/b/copy", Once: true}})
	if mail.KindOf(err) != mail.KindOutcomeUnknown || calls.Load() != 1 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
	if a, b := mail.KindOf(answers[0].Err), mail.KindOf(answers[1].Err); a != mail.KindUnavailable || b != mail.KindOutcomeUnknown {
		t.Errorf("items: %s and %s", a, b)
	}
}

func TestStreamHoldsItsSlot(t *testing.T) {
	c, _ := testClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "mime") })
	c.o.Limiter.SetMax(1)
	body, err := c.Stream(t.Context(), &Request{Op: "op", Method: "GET", Path: "/x/$value"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.o.Limiter.Acquire(ctx, 0, 1); err == nil {
		t.Error("a second slot was given")
	}
	data, err := io.ReadAll(body)
	if err != nil || string(data) != "mime" {
		t.Fatalf("%q %v", data, err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := c.o.Limiter.Acquire(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
