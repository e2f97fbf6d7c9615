package outlook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestRubbishIsToldAndHurtsNobody: whatever Graph answers one account with,
// the plugin says so in words, holds no more than some of it, believes none of
// it, serves the other account meanwhile, and goes on once it is over.
func TestRubbishIsToldAndHurtsNobody(t *testing.T) {
	for _, tc := range []struct {
		body traffic.Body
		// code is that of the error of Changes, "" where there is nothing wrong.
		code, words string
	}{
		{traffic.BodyGarbage, "bad_answer", "cannot be read"},
		{traffic.BodyTruncated, "bad_answer", "cannot be read"},
		{traffic.BodyHTML, "bad_answer", "text/html"},
		{traffic.BodyEmpty, "bad_answer", "cannot be read"},
		{traffic.BodyEndless, "bad_answer", "more than 8 MiB"},
		{traffic.BodyGzipBomb, "bad_answer", "more than 8 MiB"},
		{traffic.BodyHeaders, "", "the connection to the provider failed"},
		{traffic.BodyLoop, "link_loop", "in a circle"},
		{traffic.BodyCycle, "link_loop", "in a circle"},
		{traffic.BodyForeign, "foreign_link", "leads away"},
		{traffic.BodyLongID, "bad_answer", "cannot be read"},
		{traffic.BodyDates, "", ""},
		{traffic.BodyDoubled, "", ""},
		{traffic.BodyNegative, "", ""},
		{traffic.BodyCycleOfFolders, "", ""},
	} {
		t.Run(string(tc.body), func(t *testing.T) {
			w := connected(t)
			inbox := w.mailboxes()[mail.RoleInbox].ID
			for i := range 3 {
				w.deliver(ada, fmt.Sprint("hello ", i))
			}
			mine := w.account
			other := w.connect(grace)
			theirs, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: provider.Call{Account: other}})
			if err != nil {
				t.Fatal(err)
			}
			w.account = mine
			if err := w.sandbox.Faults().Put(traffic.Fault{User: ada, Match: "GET /me/mailFolders", Body: tc.body}); err != nil {
				t.Fatal(err)
			}
			items, _, err := w.changes(inbox, nil)
			switch {
			case tc.words == "":
				if err != nil || distinct(items) != 3 {
					t.Errorf("%d items, %v", len(items), err)
				}
				for _, it := range items {
					if y := it.Message.ReceivedAt.Year(); y > 9999 {
						t.Errorf("a message of the year %d", y)
					}
				}
			case mail.KindOf(err) != mail.KindUnavailable, code(err) != tc.code, !strings.Contains(err.Error(), tc.words):
				t.Errorf("changes: kind %s, code %q: %v", mail.KindOf(err), code(err), err)
			}
			if err != nil && strings.Contains(err.Error(), "://") {
				t.Errorf("the error shows a link: %v", err)
			}
			list, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
			if err == nil {
				checkTree(t, list.Mailboxes)
			} else if mail.KindOf(err) != mail.KindUnavailable {
				t.Errorf("mailboxes: %v", err)
			}
			again, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: provider.Call{Account: other}})
			if err != nil || len(again.Mailboxes) != len(theirs.Mailboxes) {
				t.Errorf("the other account: %v", err)
			}
			w.sandbox.Faults().Clear()
			if items, _, err := w.changes(inbox, nil); err != nil || len(items) != 3 {
				t.Errorf("when it is over: %d items, %v", len(items), err)
			}
		})
	}
}

// TestRubbishInBatches: what is fetched by batch is asked for again, and what
// is no message is not taken for one.
func TestRubbishInBatches(t *testing.T) {
	w := connected(t)
	id := w.deliver(ada, "hello", func(*cloud.Delivery) {})
	for _, fault := range []traffic.Fault{
		{Match: "$batch", Body: traffic.BodyEmpty}, {Match: "$batch", Body: traffic.BodyGarbage}, {Match: "$batch", Body: traffic.BodyTruncated},
		{Match: "$batch", Body: traffic.BodyHTML}, {Match: "GET /me/messages/{id}", Body: traffic.BodyEmpty},
	} {
		if err := w.sandbox.Faults().Put(fault); err != nil {
			t.Fatal(err)
		}
		k := &sink{}
		err := w.p.Fetch(t.Context(), &provider.FetchRequest{Call: w.call(), IDs: []string{id}, Mode: provider.FetchMetadata}, k)
		if err == nil {
			err = k.failed[id]
		}
		if mail.KindOf(err) != mail.KindUnavailable || len(k.messages) > 0 {
			t.Errorf("%s %s: %d messages, %v", fault.Match, fault.Body, len(k.messages), err)
		}
		w.sandbox.Faults().Clear()
		if got := w.fetch(id); got[id].Subject != "hello" {
			t.Errorf("%s %s: when it is over: %+v", fault.Match, fault.Body, got)
		}
	}
}

func code(err error) string {
	if e, ok := err.(*mail.Error); ok {
		return e.Code
	}
	return ""
}

func distinct(items []mail.Item) int {
	ids := map[string]bool{}
	for _, it := range items {
		ids[it.Message.ProviderID] = true
	}
	return len(ids)
}

// checkTree: ids once, parents first, nothing below zero.
func checkTree(t *testing.T, list []mail.Mailbox) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range list {
		if m.ID == "" || seen[m.ID] || m.ParentID != "" && !seen[m.ParentID] || m.Total < -1 || m.Unread < -1 {
			t.Errorf("mailbox %+v", m)
		}
		seen[m.ID] = true
	}
}
