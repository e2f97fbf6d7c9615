package pubsub

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestPush: the envelope with both spellings, and the token's claims.
func TestPush(t *testing.T) {
	w := newWorld(t, Settings{AllowHTTP: true})
	h := newHook(t, func(int) int { return 204 })
	w.must("PUT", project+"/subscriptions/pushed", `{"topic":"`+topicName+`","pushConfig":{"pushEndpoint":"`+h.server.URL+`/push?x=1","oidcToken":{"serviceAccountEmail":"svc@p.iam.gserviceaccount.com"}}}`)
	w.publish(push)
	r, body := h.next(t)
	var got struct {
		Message struct {
			Data         []byte
			MessageID    string `json:"messageId"`
			Message_ID   string `json:"message_id"`
			PublishTime  string `json:"publishTime"`
			Publish_Time string `json:"publish_time"`
		}
		Subscription string
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	m := got.Message
	if string(m.Data) != push || m.MessageID == "" || m.MessageID != m.Message_ID || m.PublishTime == "" || m.PublishTime != m.Publish_Time || got.Subscription != project+"/subscriptions/pushed" {
		t.Errorf("pushed %s", body)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer signed.")
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"aud":"` + h.server.URL + `/push?x=1","azp":"id of svc@p.iam.gserviceaccount.com","email":"svc@p.iam.gserviceaccount.com","email_verified":true,"exp":1772370000,"iat":1772366400,"iss":"https://accounts.google.com","sub":"id of svc@p.iam.gserviceaccount.com"}`
	if string(text) != want {
		t.Errorf("claims %s", text)
	}
	w.eventually("delivered", 1)
}

// TestPushUnwrapped: the data alone, the rest in header fields when wanted.
func TestPushUnwrapped(t *testing.T) {
	w := newWorld(t, Settings{AllowHTTP: true})
	h := newHook(t, func(int) int { return 200 })
	config := `{"pushEndpoint":"` + h.server.URL + `","noWrapper":{"writeMetadata":true},"oidcToken":{"serviceAccountEmail":"s@p","audience":"mine"}}`
	w.must("PUT", project+"/subscriptions/pushed", `{"topic":"`+topicName+`","pushConfig":`+config+`}`)
	w.publish(push)
	r, body := h.next(t)
	if string(body) != push || r.Header.Get("X-Goog-Pubsub-Message-Id") == "" || r.Header.Get("X-Goog-Pubsub-Subscription-Name") == "" {
		t.Errorf("pushed %s with %v", body, r.Header)
	}
	text, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer signed."))
	if !strings.Contains(string(text), `"aud":"mine"`) {
		t.Errorf("claims %s", text)
	}
}

// TestPushAgain: whatever does not acknowledge brings the message again.
func TestPushAgain(t *testing.T) {
	for _, refusal := range []int{500, 404, 302, 203, 429} {
		w := newWorld(t, Settings{AllowHTTP: true, Backoff: time.Nanosecond, BackoffMax: time.Nanosecond})
		w.s.opts.Now = time.Now
		h := newHook(t, func(n int) int {
			if n < 3 {
				return refusal
			}
			return 202
		})
		w.must("PUT", project+"/subscriptions/pushed", `{"topic":"`+topicName+`","pushConfig":{"pushEndpoint":"`+h.server.URL+`"}}`)
		w.publish(push)
		var ids []string
		for range 3 {
			_, body := h.next(t)
			var got struct {
				Message struct {
					MessageID string `json:"messageId"`
				}
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, got.Message.MessageID)
		}
		if ids[0] != ids[1] || ids[1] != ids[2] {
			t.Errorf("%d: ids %v", refusal, ids)
		}
		w.eventually("delivered", 1)
		if n := w.counted()["retried"]; n != 2 {
			t.Errorf("%d: retried %d", refusal, n)
		}
	}
}

// TestPushOneByOne: there is room for the next one when one is taken.
func TestPushOneByOne(t *testing.T) {
	w := newWorld(t, Settings{AllowHTTP: true, MaxOutstanding: 1})
	h := newHook(t, func(int) int { return 201 })
	w.must("PUT", project+"/subscriptions/pushed", `{"topic":"`+topicName+`","pushConfig":{"pushEndpoint":"`+h.server.URL+`"}}`)
	for i := range 3 {
		w.publish(push)
		h.next(t)
		w.eventually("delivered", int64(i+1))
	}
}

// TestPushBackoff: 100 ms, doubled up to 60 s.
func TestPushBackoff(t *testing.T) {
	w := newWorld(t, Settings{})
	for attempts, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 10: 51200 * time.Millisecond, 11: time.Minute, 500: time.Minute} {
		if got := w.s.backoff(attempts); got != want {
			t.Errorf("after %d attempts %v, want %v", attempts, got, want)
		}
	}
}

// TestPushBecomesPull: an empty push config ends the pushing.
func TestPushBecomesPull(t *testing.T) {
	w := newWorld(t, Settings{AllowHTTP: true, Backoff: time.Hour, BackoffMax: time.Hour})
	h := newHook(t, func(int) int { return 500 })
	w.must("POST", subName+":modifyPushConfig", `{"pushConfig":{"pushEndpoint":"`+h.server.URL+`"}}`)
	w.publish(push)
	h.next(t)
	w.must("POST", subName+":modifyPushConfig", `{"pushConfig":{}}`)
	w.eventuallyPulled()
}

// eventuallyPulled waits until the post under way has given its message back.
func (w *world) eventuallyPulled() {
	w.t.Helper()
	for range 10_000 {
		w.clock.Advance(time.Hour)
		if got := w.pull(1); len(got) == 1 {
			return
		}
	}
	w.t.Error("the message did not come back")
}
