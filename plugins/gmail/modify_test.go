package gmail_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// modify changes messages, and fails the test where one cannot be changed.
func (w *world) modify(req provider.ModifyRequest) []provider.Result {
	w.t.Helper()
	req.Call = w.call()
	resp, err := w.p.Modify(w.t.Context(), &req)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range resp.Results {
		if r.Err != nil {
			w.t.Fatalf("message %s: %v", r.ID, r.Err)
		}
	}
	return resp.Results
}

// label makes a mailbox.
func (w *world) label(name string) string {
	w.t.Helper()
	resp, err := w.p.CreateMailbox(w.t.Context(), &provider.CreateMailboxRequest{Call: w.call(), Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Mailbox.ID
}

// mailboxes are those that a message is in, as the provider reads it.
func (w *world) mailboxes(id string) []string {
	w.t.Helper()
	return w.fetch(provider.FetchMetadata, id).Messages[id].Mailboxes
}

func (w *world) wantIn(what, id string, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.mailboxes(id); !slices.Equal(got, want) {
		w.t.Errorf("%s: the message is in %v, want %v", what, got, want)
	}
}

func wantErr(t *testing.T, what string, err error, want mail.Kind) {
	t.Helper()
	if got := mail.KindOf(err); got != want {
		t.Errorf("%s: error of kind %q, want %q: %v", what, got, want, err)
	}
}

// TestMoves follows a message through the mailboxes that Gmail makes of labels.
// Its way into Trash and Spam leads out of all of them, and the way back leads
// to where it was.
func TestMoves(t *testing.T) {
	w := connected(t)
	id, work := w.deliver(alan, "moves"), w.label("work")
	for _, step := range []struct {
		what        string
		add, remove []string
		want        []string
	}{
		{"joins a label", []string{work}, nil, []string{"ALL", "INBOX", work}},
		{"once more", []string{work}, nil, []string{"ALL", "INBOX", work}},
		{"is archived", []string{"ALL"}, []string{"INBOX"}, []string{"ALL", work}},
		{"to the trash", []string{"TRASH"}, []string{work, "ALL"}, []string{"TRASH"}},
		{"from there to the inbox", []string{"INBOX"}, []string{"TRASH"}, []string{"ALL", "INBOX"}},
		{"to spam", []string{"SPAM"}, []string{"INBOX", "ALL"}, []string{"SPAM"}},
		{"from spam to the trash", []string{"TRASH"}, []string{"SPAM"}, []string{"TRASH"}},
		{"out of it, nowhere else", []string{"ALL"}, []string{"TRASH"}, []string{"ALL"}},
		{"moves to a label, and stays in all mail", []string{work}, []string{"ALL"}, []string{"ALL", work}},
		{"leaves the label", nil, []string{work}, []string{"ALL"}},
	} {
		r := w.modify(provider.ModifyRequest{IDs: []string{id}, AddMailboxes: step.add, RemoveMailboxes: step.remove})[0]
		slices.Sort(step.want)
		if !slices.Equal(r.Message.Mailboxes, step.want) || r.Fields&mail.FieldMailboxes == 0 {
			t.Errorf("%s: the result says %v, want %v", step.what, r.Message.Mailboxes, step.want)
		}
		w.wantIn(step.what, id, step.want...)
	}
	// Labels that stay on in the trash are there again afterwards.
	w.modify(provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{work}})
	resp, err := w.p.Delete(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{id}})
	if err != nil || resp.Results[0].Err != nil {
		t.Fatal(err, resp.Results[0].Err)
	}
	w.wantIn("deleted", id, "TRASH")
	w.modify(provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{"ALL"}})
	w.wantIn("back again", id, "ALL", work)
	for what, req := range map[string]provider.ModifyRequest{
		"into sent":            {AddMailboxes: []string{"SENT"}},
		"into drafts":          {AddMailboxes: []string{"DRAFT"}},
		"out of all mail":      {RemoveMailboxes: []string{"ALL"}},
		"out of sent":          {RemoveMailboxes: []string{"SENT"}},
		"into a label of none": {AddMailboxes: []string{"Label_999"}},
	} {
		req.Call, req.IDs = w.call(), []string{id}
		resp, err := w.p.Modify(t.Context(), &req)
		if err == nil {
			err = resp.Results[0].Err
		}
		wantErr(t, what, err, mail.KindInvalid)
	}
	w.wantIn("after all that was refused", id, "ALL", work)
	_, err = w.p.Modify(t.Context(), &provider.ModifyRequest{Call: w.call(), IDs: []string{id}, AddMailboxes: []string{"UNREAD"}})
	wantErr(t, "into what is no mailbox", err, mail.KindNotFound)
	// A copy is the message itself, in one mailbox more.
	other := w.label("other")
	copied, err := w.p.Copy(t.Context(), &provider.CopyRequest{Call: w.call(), IDs: []string{id}, Mailbox: other})
	if err != nil || copied.Results[0].Err != nil || copied.Results[0].Message.ProviderID != id {
		t.Errorf("copy: %+v, %v", copied, err)
	}
	w.wantIn("copied", id, "ALL", work, other)
	_, err = w.p.Copy(t.Context(), &provider.CopyRequest{Call: w.call(), IDs: []string{id}, Mailbox: "TRASH"})
	wantErr(t, "copied into the trash", err, mail.KindInvalid)
}

// TestMarks: keywords are labels, or the absence of one.
func TestMarks(t *testing.T) {
	w := connected(t)
	id := w.deliver(alan, "marks")
	all := []string{mail.Seen, mail.Flagged, "$important", "category_forums"}
	for _, step := range []struct{ add, remove, want []string }{
		{all, nil, all},
		{nil, []string{mail.Seen, "category_forums"}, []string{mail.Flagged, "$important"}},
		{[]string{mail.Seen}, []string{mail.Flagged, "$important"}, []string{mail.Seen}},
		{[]string{mail.Draft}, nil, []string{mail.Seen}}, // what cannot be set stays as it is
	} {
		r := w.modify(provider.ModifyRequest{IDs: []string{id}, AddKeywords: step.add, RemoveKeywords: step.remove})[0]
		var got []string
		for _, k := range r.Message.Keywords {
			if slices.Contains(all, k) {
				got = append(got, k)
			}
		}
		slices.Sort(step.want)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("adding %v, removing %v: %s", step.add, step.remove, diff)
		}
	}
}

func (w *world) many(n int) []string {
	w.t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, w.deliver(alan, fmt.Sprintf("many-%d", i)))
	}
	return ids
}

// units gives what a method was billed so far.
func (w *world) units(method string) int64 { return w.report().Units[method] }

// TestModifyBatch: many messages are changed by one request, and every one has a
// result with its state: those that were so before, and one that is gone.
func TestModifyBatch(t *testing.T) {
	w := connected(t)
	ids := w.many(24)
	gone := ids[7]
	w.modify(provider.ModifyRequest{IDs: ids[3:5], AddKeywords: []string{mail.Flagged}})
	if err := w.sandbox.Google().Delete(alan, gone); err != nil {
		t.Fatal(err)
	}
	before := w.units("messages.modify")
	resp, err := w.p.Modify(t.Context(), &provider.ModifyRequest{Call: w.call(), IDs: append(ids, "not-an-id"[:0]+"00000000deadbeef"), AddKeywords: []string{mail.Flagged}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.Results {
		switch {
		case i == 7 || i == 24:
			wantErr(t, "a message that is gone", r.Err, mail.KindNotFound)
		case r.Err != nil || r.ID != ids[i] || !r.Message.HasKeyword(mail.Flagged) || !slices.Contains(r.Message.Mailboxes, "INBOX") || r.Message.Version == 0 && (i < 3 || i > 4):
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if got := w.units("messages.batchModify"); got != 50 {
		t.Errorf("the batches cost %d units", got)
	}
	// Two were so before and two are gone: these alone are asked for again.
	if got := w.units("messages.modify") - before; got != 4*5 {
		t.Errorf("single requests cost %d units, want 20", got)
	}
	// An id that Gmail does not even read spoils no batch.
	bad := append(slices.Clone(ids[:6]), "rubbish!")
	bad = append(bad, ids[8:16]...)
	resp, err = w.p.Modify(t.Context(), &provider.ModifyRequest{Call: w.call(), IDs: bad, RemoveKeywords: []string{mail.Flagged}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.Results {
		if i == 6 {
			wantErr(t, "an unreadable id", r.Err, mail.KindNotFound)
		} else if r.Err != nil || r.Message.HasKeyword(mail.Flagged) {
			t.Errorf("beside an unreadable id: %+v", r)
		}
	}
}

// TestModifyQuota: a quota that ends in the middle denies nothing of what was
// done, and what was not says when to come back.
func TestModifyQuota(t *testing.T) {
	w := connected(t)
	w.set(map[string]string{"max_concurrent": "1"})
	ids := w.many(6)
	w.fault(traffic.Fault{Match: "/messages/" + ids[3] + "/modify", Status: http.StatusTooManyRequests, RetryAfter: 600})
	resp, err := w.p.Modify(t.Context(), &provider.ModifyRequest{Call: w.call(), IDs: ids, AddKeywords: []string{mail.Seen}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.Results {
		if done := i < 3; done != (r.Err == nil) {
			t.Errorf("message %d: %v", i, r.Err)
		}
		if i >= 3 {
			wantErr(t, "beyond the quota", r.Err, mail.KindThrottled)
			if mail.RetryAfter(r.Err) < 500e9 {
				t.Errorf("message %d: come back after %v", i, mail.RetryAfter(r.Err))
			}
		}
	}
	for id, m := range w.truth(alan) {
		if slices.Contains(m.Keywords, mail.Seen) != (slices.Index(ids, id) < 3) {
			t.Errorf("message %d has keywords %v", slices.Index(ids, id), m.Keywords)
		}
	}
}

// TestPurge: what is gone already is no failure, by one or by many.
func TestPurge(t *testing.T) {
	for _, n := range []int{2, 12} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := connected(t)
			ids := w.many(n)
			stays := w.deliver(alan, "stays")
			if err := w.sandbox.Google().Delete(alan, ids[1]); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				resp, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: append(slices.Clone(ids), "rubbish!")})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range resp.Results {
					if r.Err != nil {
						t.Errorf("message %s: %v", r.ID, r.Err)
					}
				}
			}
			if left := w.truth(alan); len(left) != 1 || left[stays].ID != stays {
				t.Errorf("left are %v", left)
			}
		})
	}
}

// TestPurgeWithoutScope: deleting for good needs the scope of all mail, and says
// so. A draft can be discarded with less.
func TestPurgeWithoutScope(t *testing.T) {
	w := newWorld(t)
	w.set(map[string]string{"scopes": "openid,email,https://www.googleapis.com/auth/gmail.modify"})
	w.account = w.connect(alan)
	id := w.deliver(alan, "kept")
	draft := w.prepare(letter(alan, joan, "draft"), joan)
	_, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{id}})
	wantErr(t, "purge without the scope", err, mail.KindForbidden)
	if err == nil || !strings.Contains(err.Error(), "https://mail.google.com/") {
		t.Errorf("the error does not name the scope: %v", err)
	}
	resp, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{draft.ProviderID, id}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Results[0].Err != nil {
		t.Errorf("the draft: %v", resp.Results[0].Err)
	}
	var e *mail.Error
	if !errors.As(resp.Results[1].Err, &e) || e.Kind != mail.KindForbidden {
		t.Errorf("the message beside it: %v", resp.Results[1].Err)
	}
	if left := w.truth(alan); len(left) != 1 || left[id].ID != id {
		t.Errorf("left are %v", left)
	}
}
