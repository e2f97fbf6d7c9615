package submission

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func TestKeyStandsForOneMessageForADay(t *testing.T) {
	w := newWorld(t)
	given := Input{Account: "account-1", IdempotencyKey: "k", Message: Message{To: []mail.Address{{Email: bob}}, Subject: "s", Text: "x",
		Attachments: []Attachment{{Name: "a", Content: []byte("attached")}}}}
	first, err := w.svc.Submit(w.ctx, given)
	w.must(err)
	if again, err := w.svc.Submit(w.ctx, given); err != nil || again.ID != first.ID {
		t.Errorf("the same again: %v, %v", again, err)
	}
	for what, change := range map[string]func(*Input){
		"another text":       func(in *Input) { in.Text = "y" },
		"another recipient":  func(in *Input) { in.To = []mail.Address{{Email: ann}} },
		"another attachment": func(in *Input) { in.Attachments = []Attachment{{Name: "a", Content: []byte("attachee")}} },
		"another time":       func(in *Input) { in.SendAt = w.clock().Add(time.Hour) },
		"another form":       func(in *Input) { in.Raw = []byte("From: a@example.com\r\nTo: b@example.com\r\n\r\nx") },
	} {
		in := given
		change(&in)
		if s, err := w.svc.Submit(w.ctx, in); mail.KindOf(err) != mail.KindConflict {
			t.Errorf("%s under the same key: %v, %v", what, s, err)
		}
	}
	w.advance(first.ID)
	if again, err := w.svc.Submit(w.ctx, given); err != nil || again.ID != first.ID || again.State != store.SubmissionSent {
		t.Errorf("the same again once it is sent: %v, %v", again, err)
	}
	w.pass(24*time.Hour - time.Second)
	if again, err := w.svc.Submit(w.ctx, given); err != nil || again.ID != first.ID {
		t.Errorf("just within the day: %v, %v", again, err)
	}
	w.pass(2 * time.Second)
	given.Text = "y"
	second, err := w.svc.Submit(w.ctx, given)
	if err != nil || second.ID == first.ID {
		t.Fatalf("after a day: %v, %v", second, err)
	}
	if again, err := w.svc.Submit(w.ctx, given); err != nil || again.ID != second.ID {
		t.Errorf("the key stands for the second one now: %v, %v", again, err)
	}
	w.advance(second.ID)
	if n := len(w.cloud.Sent()); n != 2 {
		t.Errorf("%d messages were sent", n)
	}
}

// pass moves the clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}
