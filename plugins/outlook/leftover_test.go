package outlook_test

import (
	stdmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// store keeps a message with Append; operation is what it is marked with, if
// that is not empty.
func (w *world) store(operation string, box mail.Role, raw string) string {
	w.t.Helper()
	resp, err := w.p.Append(w.t.Context(), &provider.AppendRequest{
		Call: w.call(), OperationID: operation, Mailbox: w.mailboxes()[box].ID, Keywords: []string{mail.Draft, mail.Seen}, Size: int64(len(raw)),
	}, strings.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Message.ProviderID
}

// prepareAgain is Prepare of an operation whose first attempt began at first.
func (w *world) prepareAgain(op, raw string, first time.Time) (provider.Prepared, error) {
	m, err := stdmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return provider.Prepared{}, err
	}
	resp, err := w.p.Prepare(w.t.Context(), &provider.PrepareRequest{
		Call: w.call(), OperationID: op, MessageID: strings.Trim(m.Header.Get("Message-ID"), "<>"), Size: int64(len(raw)),
		Envelope: provider.Envelope{From: ada, Recipients: []string{grace}}, FirstAttempt: first,
	}, strings.NewReader(raw))
	if err != nil {
		return provider.Prepared{}, err
	}
	return resp.Prepared, nil
}

// leave makes an attempt that ends between making its draft and marking it, and
// can remove nothing: as one that is killed there.
func (w *world) leave(op, raw string) (draft string) {
	w.t.Helper()
	before := w.truth(ada)
	err := w.sandbox.Faults().Put(traffic.Fault{Match: "PATCH /me/messages/{id}", Status: 400}, traffic.Fault{Match: "permanentDelete", Status: 403})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.prepare(op, raw, grace); err == nil {
		w.t.Fatal("the draft was marked")
	}
	w.sandbox.Faults().Clear()
	for id := range w.truth(ada) {
		if _, old := before[id]; !old {
			draft = id
		}
	}
	if draft == "" {
		w.t.Fatal("no draft was left")
	}
	return draft
}

// TestDraftThatWasLeft: under a Message-ID that a mail program has made, too, what
// an attempt has left unmarked is gone once the next has made its draft.
func TestDraftThatWasLeft(t *testing.T) {
	large, _ := withAttachment(100_000)
	for name, raw := range map[string]string{"small": outgoing, "with parts": large} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			first := time.Now()
			w.leave("op", raw)
			if err := w.sandbox.Faults().Put(traffic.Fault{Match: "permanentDelete", Status: 403}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.prepareAgain("op", raw, first); err != nil {
				t.Errorf("what cannot be removed keeps a message from being sent: %v", err)
			}
			w.sandbox.Faults().Clear()
			for range 2 {
				prep, err := w.prepareAgain("op", raw, first)
				if err != nil {
					t.Fatal(err)
				}
				if drafts := w.in(mail.RoleDrafts); len(drafts) != 1 || drafts[0].ID != prep.ProviderID {
					t.Errorf("drafts %+v, prepared %s", drafts, prep.ProviderID)
				}
			}
		})
	}
}

// TestDraftsOfTheOwner: what its owner may have under the Message-ID stays.
func TestDraftsOfTheOwner(t *testing.T) {
	changed := func(old, new string) func(*world) string {
		return func(w *world) string { return w.store("", mail.RoleDrafts, strings.Replace(outgoing, old, new, 1)) }
	}
	const attached = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe engine weaves.\r\n" +
		"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	whole := strings.Replace(outgoing, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe engine weaves.\r\n", attached+"QUJD\r\n--b--\r\n", 1)
	for name, tc := range map[string]struct {
		store func(*world) string
		raw   string        // what is sent, outgoing if empty
		since time.Duration // from now to the first attempt
		never bool          // there was no attempt before
	}{
		"of another text":       {store: changed("weaves", "wove")},
		"of another subject":    {store: changed("Subject: Notes", "Subject: Notes, final")},
		"to more people":        {store: changed("Subject:", "Cc: Charles <charles@contoso.example>\r\nSubject:")},
		"to people in secret":   {store: changed("Subject:", "Bcc: charles@contoso.example\r\nSubject:")},
		"as an answer":          {store: changed("Subject:", "In-Reply-To: <parent@contoso.example>\r\nSubject:")},
		"of more importance":    {store: changed("Subject:", "Importance: high\r\nSubject:")},
		"of another attachment": {store: func(w *world) string { return w.store("", mail.RoleDrafts, strings.Replace(whole, "QUJD", "QUJE", 1)) }, raw: whole},
		"with an attachment":    {store: func(w *world) string { return w.store("", mail.RoleDrafts, whole) }},
		"stored by a program":   {store: func(w *world) string { return w.store("append", mail.RoleDrafts, outgoing) }},
		"in another mailbox":    {store: func(w *world) string { return w.store("", mail.RoleArchive, outgoing) }},
		"in the trash":          {store: func(w *world) string { return w.store("", mail.RoleTrash, outgoing) }},
		"from before":           {store: changed("", ""), since: time.Hour},
		"at the first attempt":  {store: changed("", ""), never: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			own := tc.store(w)
			raw := tc.raw
			if raw == "" {
				raw = outgoing
			}
			first := time.Now().Add(tc.since)
			if tc.never {
				first = time.Time{}
			}
			for range 2 {
				if _, err := w.prepareAgain("op", raw, first); err != nil {
					t.Fatal(err)
				}
			}
			if _, there := w.truth(ada)[own]; !there {
				t.Error("the owner's draft is gone")
			}
			if n := len(w.truth(ada)); n != 2 {
				t.Errorf("there are %d messages", n)
			}
		})
	}
}
