package gmail_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestRubbishIsToldAndHurtsNobody: whatever Gmail answers one account with, the
// plugin says so in words, holds no more than some of it, believes none of it,
// serves the other account meanwhile, and goes on once it is over.
func TestRubbishIsToldAndHurtsNobody(t *testing.T) {
	const list, batch = "GET /gmail/v1/users/me/messages$", "POST /batch"
	for _, tc := range []struct {
		match string
		body  traffic.Body
		// code is that of the error of Changes, "" where there is nothing wrong.
		code, words string
	}{
		{list, traffic.BodyGarbage, "bad_answer", "cannot be read"},
		{list, traffic.BodyTruncated, "bad_answer", "cannot be read"},
		{list, traffic.BodyHTML, "bad_answer", "text/html"},
		{list, traffic.BodyEndless, "bad_answer", "more than 8 MiB"},
		{list, traffic.BodyGzipBomb, "bad_answer", "more than 8 MiB"},
		{list, traffic.BodyHeaders, "", "the connection to Gmail failed"},
		{batch, traffic.BodyGarbage, "bad_answer", "answers instead"},
		{batch, traffic.BodyTruncated, "bad_answer", "cannot be read"},
		{batch, traffic.BodyHTML, "bad_answer", "text/html"},
		{batch, traffic.BodyEndless, "bad_answer", ""},
	} {
		t.Run(strings.NewReplacer("/", " ", "$", "").Replace(tc.match)+" "+string(tc.body), func(t *testing.T) {
			w := connected(t)
			for i := range 3 {
				w.deliver(alan, fmt.Sprint("hello-", i))
			}
			mine := w.account
			other := w.connect(joan)
			w.account = mine
			w.fault(traffic.Fault{User: alan, Match: tc.match, Body: tc.body})
			items, _, err := w.changes(nil)
			var e *mail.Error
			if !errors.As(err, &e) || e.Kind != mail.KindUnavailable || e.Code != tc.code || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("changes: %d items, %v", len(items), err)
			}
			if err != nil && strings.Contains(err.Error(), "://") {
				t.Errorf("the error shows a link: %v", err)
			}
			if _, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: provider.Call{Account: other}}); err != nil {
				t.Errorf("the other account: %v", err)
			}
			w.sandbox.Faults().Clear()
			if items, _, err := w.changes(nil); err != nil || len(items) != 3 {
				t.Errorf("when it is over: %d items, %v", len(items), err)
			}
		})
	}
}

// TestRubbishInMessages: a message that is none fails alone.
func TestRubbishInMessages(t *testing.T) {
	w := connected(t)
	id := w.deliver(alan, "hello")
	for _, tc := range []struct {
		mode provider.FetchMode
		body traffic.Body
		kind mail.Kind
		code string
	}{
		{provider.FetchMetadata, traffic.BodyEmpty, mail.KindUnavailable, "bad_answer"},
		{provider.FetchRaw, traffic.BodyEmpty, mail.KindInvalid, "undecodable_raw"},
		{provider.FetchRaw, traffic.BodyGarbage, mail.KindUnavailable, "bad_answer"},
		{provider.FetchRaw, traffic.BodyEndless, mail.KindUnavailable, "bad_answer"},
	} {
		w.fault(traffic.Fault{Match: "GET /gmail/v1/users/me/messages/{id}", Body: tc.body})
		s := &plugintest.Sink{}
		err := w.p.Fetch(t.Context(), &provider.FetchRequest{Call: w.call(), IDs: []string{id}, Mode: tc.mode}, s)
		if err == nil {
			err = s.Failures[id]
		}
		wantError(t, err, tc.kind, tc.code)
		w.sandbox.Faults().Clear()
		if got := w.fetch(provider.FetchMetadata, id); got.Messages[id].Subject != "hello" {
			t.Errorf("when it is over: %+v", got.Messages)
		}
	}
}
