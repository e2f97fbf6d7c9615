package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// TestPull: what is published comes out, once, until it is acknowledged.
func TestPull(t *testing.T) {
	w := newWorld(t, Settings{})
	if got := w.must("POST", subName+":pull", `{"maxMessages":1,"returnImmediately":true}`); strings.TrimSpace(got) != "{}" {
		t.Errorf("nothing there: %s", got)
	}
	w.publish(push)
	w.publish(`{"emailAddress":"alan@gmail.example","historyId":43}`)
	got := w.pull(1)
	if len(got) != 1 || string(got[0].Message.Data) != push || got[0].Attempt != 1 || got[0].Message.MessageID == "" || got[0].Message.PublishTime != "2026-03-01T12:00:00.000Z" {
		t.Fatalf("pulled %+v", got)
	}
	if rest := w.pull(10); len(rest) != 1 || rest[0].Message.MessageID == got[0].Message.MessageID {
		t.Errorf("the second pull gave %+v", rest)
	}
	w.ack(got[0].AckID)
	w.clock.Advance(10 * time.Second)
	if again := w.pull(10); len(again) != 1 || again[0].Attempt != 2 || again[0].Message.MessageID == got[0].Message.MessageID {
		t.Errorf("after the deadline: %+v", again)
	}
	if n := w.counted(); n["pulled"] != 3 || n["delivered"] != 1 || n["retried"] != 1 {
		t.Errorf("counted %v", n)
	}
}

// TestPullAckDeadline: more time, no time, and an ackId that is of the past.
func TestPullAckDeadline(t *testing.T) {
	w := newWorld(t, Settings{})
	w.publish(push)
	first := w.pull(1)[0]
	w.must("POST", subName+":modifyAckDeadline", `{"ackIds":["`+first.AckID+`"],"ackDeadlineSeconds":60}`)
	w.clock.Advance(59 * time.Second)
	if got := w.pull(1); len(got) != 0 {
		t.Errorf("before the new deadline: %+v", got)
	}
	w.clock.Advance(time.Second)
	second := w.pull(1)[0]
	w.ack(first.AckID) // of the past: nothing happens
	w.must("POST", subName+":modifyAckDeadline", `{"ackIds":["`+second.AckID+`"],"ackDeadlineSeconds":0}`)
	third := w.pull(1)
	if len(third) != 1 || third[0].Attempt != 3 {
		t.Fatalf("given back: %+v", third)
	}
	w.ack(third[0].AckID, third[0].AckID)
	w.clock.Advance(time.Hour)
	if got := w.pull(1); len(got) != 0 {
		t.Errorf("acknowledged, and still there: %+v", got)
	}
}

// TestPullWaits: a pull waits for a first message, and no longer than it may.
func TestPullWaits(t *testing.T) {
	w := newWorld(t, Settings{PollFor: time.Millisecond})
	if got := decode(t, w.must("POST", subName+":pull", `{"maxMessages":5}`)); got != nil {
		t.Errorf("got %+v", got)
	}
	w = newWorld(t, Settings{})
	// A pull asks for the time while it looks at the queue, and nothing can be
	// published before it waits for more.
	looked := make(chan struct{}, 100)
	w.s.opts.Now = func() time.Time {
		looked <- struct{}{}
		return w.clock.Now()
	}
	answers := make(chan string, 1)
	go func() {
		_, text := w.as(owner, "POST", subName+":pull", `{"maxMessages":5}`)
		answers <- text
	}()
	<-looked
	w.publish(push)
	if got := decode(t, <-answers); len(got) != 1 {
		t.Errorf("the waiting pull got %+v", got)
	}
}

// TestPullGone: who has gone away while it waited takes nothing with it.
func TestPullGone(t *testing.T) {
	w := newWorld(t, Settings{})
	ctx, cancel := context.WithCancel(t.Context())
	looked := make(chan struct{}, 100)
	w.s.opts.Now = func() time.Time {
		looked <- struct{}{}
		return w.clock.Now()
	}
	gone := make(chan int, 1)
	go func() {
		got, _ := w.s.pull(ctx, subName, 1, true)
		gone <- len(got)
	}()
	<-looked
	cancel()
	if n := <-gone; n != 0 {
		t.Errorf("nothing was there, and it got %d", n)
	}
	w.publish(push)
	if got, why := w.s.pull(ctx, subName, 1, true); len(got) != 0 || why != nil {
		t.Errorf("gone, and it got %+v %v", got, why)
	}
	if got := w.pull(1); len(got) != 1 || got[0].Attempt != 1 {
		t.Errorf("the next one got %+v", got)
	}
}

// TestPullRetention: what nobody acknowledges goes after seven days; a queue
// has an end.
func TestPullRetention(t *testing.T) {
	w := newWorld(t, Settings{MaxQueued: 2})
	for range 3 {
		w.publish(push)
	}
	if got := w.pull(10); len(got) != 2 {
		t.Errorf("queued %d", len(got))
	}
	w.clock.Advance(7 * 24 * time.Hour)
	if got := w.pull(10); len(got) != 0 {
		t.Errorf("kept %d", len(got))
	}
	if n := w.counted()["dropped"]; n != 3 {
		t.Errorf("dropped %d", n)
	}
}

// TestPublishRefused: to whom, and why.
func TestPublishRefused(t *testing.T) {
	w := newWorld(t, Settings{})
	if err := w.s.Publish(t.Context(), project+"/topics/none", gmailPush, []byte("x")); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown topic: %v", err)
	}
	if err := w.s.AddTopic(project + "/topics/closed"); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Publish(t.Context(), project+"/topics/closed", gmailPush, []byte("x")); !errors.Is(err, ErrForbidden) {
		t.Errorf("a topic without the role: %v", err)
	}
}

// TestNotificationFaults: dropped, doubled and delayed, for the user of the
// fault alone.
func TestNotificationFaults(t *testing.T) {
	w := newWorld(t, Settings{})
	other := `{"emailAddress":"other@gmail.example","historyId":1}`
	set := func(n traffic.NotificationFault) {
		w.faults.Clear()
		if err := w.faults.Put(traffic.Fault{Cloud: "google", User: "alan@gmail.example", Notifications: &n}); err != nil {
			t.Fatal(err)
		}
		w.publish(push)
		w.publish(other)
	}
	drain := func() (data string) {
		for _, m := range w.pull(100) {
			data += string(m.Message.Data)
			w.ack(m.AckID)
		}
		return data
	}
	set(traffic.NotificationFault{Drop: true})
	if got := drain(); got != other {
		t.Errorf("dropped: %s", got)
	}
	set(traffic.NotificationFault{Double: true})
	if got := drain(); got != push+push+other {
		t.Errorf("doubled: %s", got)
	}
	set(traffic.NotificationFault{DelayMS: 5000})
	if got := drain(); got != other {
		t.Errorf("delayed, and at once: %s", got)
	}
	w.clock.Advance(5 * time.Second)
	if got := drain(); got != push {
		t.Errorf("delayed, and later: %s", got)
	}
	if n := w.counted(); n["dropped_by_fault"] != 1 || n["doubled"] != 1 || n["delayed"] != 1 || n["delivered"] != 3 {
		t.Errorf("counted %v", n)
	}
}

// TestSaveLoad: what waits outlives the process.
func TestSaveLoad(t *testing.T) {
	w := newWorld(t, Settings{})
	w.publish(push)
	before := w.pull(1)[0]
	dir := t.TempDir()
	if err := w.s.Save(dir); err != nil {
		t.Fatal(err)
	}
	next := &world{t: t, clock: w.clock, counters: w.counters, faults: w.faults}
	next.s = next.service(Settings{}, next.clock.Now)
	if err := next.s.Load(t.TempDir()); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if err := next.s.Load(dir); err != nil {
		t.Fatal(err)
	}
	next.clock.Advance(time.Minute)
	if got := next.pull(1); len(got) != 1 || got[0].Message.MessageID != before.Message.MessageID || got[0].Attempt != 2 {
		t.Errorf("after a restart: %+v", got)
	}
	if err := next.s.Publish(t.Context(), topicName, gmailPush, []byte(push)); err != nil {
		t.Errorf("the policy is lost: %v", err)
	}
	if got := next.pull(1); len(got) != 1 || got[0].Message.MessageID <= before.Message.MessageID {
		t.Errorf("an id was given twice: %+v", got)
	}
}

// TestPullRefusals: each with its status.
func TestPullRefusals(t *testing.T) {
	w := newWorld(t, Settings{})
	w.must("PUT", project+"/subscriptions/pushed", `{"topic":"`+topicName+`","pushConfig":{"pushEndpoint":"https://hook.invalid/x"}}`)
	for _, tc := range []struct {
		verb, body string
		code       int
		status     string
	}{
		{subName + ":pull", `{}`, 400, "INVALID_ARGUMENT"},
		{subName + ":pull", `{"maxMessages":`, 400, "INVALID_ARGUMENT"},
		{project + "/subscriptions/none:pull", `{"maxMessages":1}`, 404, "NOT_FOUND"},
		{project + "/subscriptions/pushed:pull", `{"maxMessages":1}`, 400, "FAILED_PRECONDITION"},
		{subName + ":acknowledge", `{"ackIds":[]}`, 400, "INVALID_ARGUMENT"},
		{subName + ":acknowledge", `{"ackIds":["mine"]}`, 400, "INVALID_ARGUMENT"},
		{project + "/subscriptions/none:acknowledge", `{"ackIds":["` + ackPrefix + `"]}`, 404, "NOT_FOUND"},
		{subName + ":modifyAckDeadline", `{"ackIds":["` + ackPrefix + `"],"ackDeadlineSeconds":601}`, 400, "INVALID_ARGUMENT"},
		{subName + ":detach", `{}`, 404, "NOT_FOUND"},
	} {
		code, text := w.as(owner, "POST", tc.verb, tc.body)
		if code != tc.code || !strings.Contains(text, fmt.Sprintf(`"status":%q`, tc.status)) {
			t.Errorf("%s %s: %d %s", tc.verb, tc.body, code, text)
		}
	}
}
