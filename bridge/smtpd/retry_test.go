package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// TestExactRetry: the same message, to the byte and to the same recipients, is
// sent once and answered every time; any other one is sent.
func TestExactRetry(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	to := []string{"<bob@example.com>", "<eve@example.net>"}
	send := func(want int, to []string, raw string) string {
		t.Helper()
		got := submitted(p, ann, to, raw)
		if !strings.HasPrefix(got, "250 2.0.0") {
			t.Fatalf("the answer is %s", got)
		}
		if n := len(w.sent(want)); n != want {
			t.Fatalf("%d messages were sent, want %d", n, want)
		}
		return got
	}
	first := send(1, to, plain)
	for _, again := range [][]string{to, {to[1], to[0]}, {to[0], to[1], to[0]}} {
		if got := send(1, again, plain); got != first {
			t.Errorf("answered by %q, and by %q before", got, first)
		}
	}
	if n := strings.Count(w.log.String(), "not sent again"); n != 3 {
		t.Errorf("said %d times:\n%s", n, w.log)
	}
	send(2, to[:1], plain)        // to others
	send(3, to, plain+"more\r\n") // other words under the same Message-ID
	nameless := strings.ReplaceAll(plain, "Message-ID", "X-ID")
	send(4, to, nameless)
	send(5, to, nameless) // nobody says that it is the same
}

// TestRetryOfRefused: what was refused is tried again, not answered by the old
// refusal, nor taken for sent.
func TestRetryOfRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.cloud.FailNext("send", mail.KindForbidden)
	p := login(t, w)
	if got := submitted(p, ann, []string{"<bob@example.com>"}, plain); !strings.HasPrefix(got, "550 5.7.60") {
		t.Fatalf("the answer is %s", got)
	}
	if got := submitted(p, ann, []string{"<bob@example.com>"}, plain); !strings.HasPrefix(got, "250") {
		t.Fatalf("the answer is %s", got)
	}
	w.sent(1)
}

// TestRetryWhileOnItsWay: a program that lost the connection asks again while the
// first one is being sent. One message leaves, and both hear the verdict.
func TestRetryWhileOnItsWay(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			held, goOn := make(chan struct{}), make(chan struct{})
			w := newWorld(t, func(s *setup) { s.Wait = time.Minute })
			w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
				if verb != "prepare" {
					return nil
				}
				close(held)
				<-goOn
				if fails {
					return &mail.Error{Kind: mail.KindForbidden, Message: "no"}
				}
				return nil
			})
			first, second := login(t, w), login(t, w)
			begin := func(p *peer) {
				p.play("C: MAIL FROM:<ann@example.com>\nS: 250\nC: RCPT TO:<bob@example.com>\nS: 250\nC: DATA\nS: 354")
				p.send(plain + ".\r\n")
			}
			begin(first)
			<-held
			begin(second)
			for !strings.Contains(w.log.String(), "not sent again") {
				time.Sleep(time.Millisecond)
			}
			close(goOn)
			want := "250 2.0.0"
			if fails {
				want = "550 5.7.60"
			}
			for _, p := range []*peer{first, second} {
				if got := p.reply(); !strings.HasPrefix(got, want) {
					t.Errorf("the answer is %s", got)
				}
			}
			if n := len(w.cloud.Sent()); fails == (n > 0) || n > 1 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

// TestSentCopies: a program's own copy of what it has sent is known, whenever it
// comes, and one that it has stored before is removed.
func TestSentCopies(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Wait = time.Millisecond })
	ctx := t.Context()
	sent := func(id string, size int) (string, bool) {
		t.Helper()
		m, ok, err := w.submit.Sent(ctx, "account-1", id, int64(size))
		must(t, err)
		return m, ok
	}
	if m, ok := sent("one@client.example", len(plain)); ok {
		t.Errorf("known before it was sent, as %s", m)
	}
	w.submit.Appended("account-1", "one@client.example", "m-early", int64(len(plain)))
	goOn := make(chan struct{})
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "send" {
			<-goOn
		}
		return nil
	})
	p := login(t, w)
	got := submitted(p, ann, []string{"<bob@example.com>"}, plain)
	id := strings.Fields(got)[5]
	found := make(chan string)
	go func() {
		m, _ := sent("one@client.example", len(plain)) // waits until it is sent
		found <- m
	}()
	select {
	case m := <-found:
		t.Fatalf("known as %q before it was sent", m)
	case <-time.After(10 * time.Millisecond):
	}
	close(goOn)
	m := <-found
	if sub := w.submission(id); m == "" || m != sub.SentMessageID || sub.GivenMessageID != "one@client.example" {
		t.Errorf("known as %q, it is %+v", m, sub)
	}
	if now, ok := sent("one@client.example", 0); now != m || !ok {
		t.Errorf("known as %q afterwards", now)
	}
	if m, ok := sent("one@client.example", len(plain)+1<<20); ok {
		t.Errorf("another message is taken for %s", m)
	}
	if m, ok := sent("two@client.example", len(plain)); ok {
		t.Errorf("another Message-ID is taken for %s", m)
	}
	w.stop()
	if fmt.Sprint(w.removed) != "[m-early]" {
		t.Errorf("removed %q", w.removed)
	}
}

// TestSentUnderAnotherID: a provider that replaces the Message-ID does not hide
// what was sent from the program's own copy.
func TestSentUnderAnotherID(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	id := strings.Fields(submitted(p, ann, []string{"<bob@example.com>"}, plain))[5]
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error {
		s, err := tx.Submission(id)
		must(t, err)
		s.MessageID = "replaced@provider.example"
		return tx.PutSubmission(s)
	}))
	for _, known := range []string{"one@client.example", "replaced@provider.example"} {
		m, ok, err := w.submit.Sent(t.Context(), "account-1", known, int64(len(plain)))
		if err != nil || !ok || m == "" {
			t.Errorf("by %s: %q, %v, %v", known, m, ok, err)
		}
	}
}

// TestFailedHasNoCopy: of what was not sent the program's copy is the only one.
func TestFailedHasNoCopy(t *testing.T) {
	w := newWorld(t, nil)
	w.cloud.FailNext("prepare", mail.KindForbidden)
	_ = submitted(login(t, w), ann, []string{"<bob@example.com>"}, plain)
	if _, ok, err := w.submit.Sent(t.Context(), "account-1", "one@client.example", int64(len(plain))); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestDurableBeforeAnswered: what was answered by 250 is in the store, bytes and
// all, though the provider is away.
func TestDurableBeforeAnswered(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Wait = 0 })
	w.cloud.OnCall(func(context.Context, string, string) error {
		return &mail.Error{Kind: mail.KindUnavailable, Message: "away"}
	})
	id := strings.Fields(submitted(login(t, w), ann, []string{"<bob@example.com>"}, plain))[5]
	sub := w.submission(id)
	b, err := w.store.Blobs().Open(t.Context(), "account-1", sub.Blob)
	must(t, err)
	defer b.Close()
	var raw bytes.Buffer
	_, err = raw.ReadFrom(b)
	must(t, err)
	if raw.String() != plain || sub.Ended() {
		t.Errorf("%q, %+v", raw.String(), sub)
	}
	var events []event.Type
	must(t, w.store.View(t.Context(), func(tx store.Tx) error {
		list, err := tx.EventsAfter(0, 10)
		for _, e := range list {
			events = append(events, e.Type)
		}
		return err
	}))
	if len(events) != 0 {
		t.Errorf("events: %v", events)
	}
}
