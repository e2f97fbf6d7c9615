package gmail_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func (w *world) appendTo(mailbox, operation string, raw []byte, keywords ...string) (mail.Message, error) {
	resp, err := w.p.Append(w.t.Context(), &provider.AppendRequest{
		Call: w.call(), OperationID: operation, Mailbox: mailbox, Keywords: keywords, Size: int64(len(raw)), ReceivedAt: w.clock.Now(),
	}, bytes.NewReader(raw))
	if err != nil {
		return mail.Message{}, err
	}
	return resp.Message, nil
}

func (w *world) mustAppend(mailbox, operation string, raw []byte, keywords ...string) mail.Message {
	w.t.Helper()
	m, err := w.appendTo(mailbox, operation, raw, keywords...)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// TestAppendPlaces: a message is stored in any mailbox, with its keywords, to
// the byte and under its own date.
func TestAppendPlaces(t *testing.T) {
	w := connected(t)
	label := w.label("archive 2026")
	for i, tc := range []struct {
		mailbox  string
		keywords []string
		in       []string
		have     []string
	}{
		{"INBOX", nil, []string{"ALL", "INBOX"}, []string{}},
		{label, []string{mail.Seen, mail.Flagged}, []string{"ALL", label}, []string{mail.Flagged, mail.Seen}},
		{"ALL", []string{mail.Seen, "$important"}, []string{"ALL"}, []string{"$important", mail.Seen}},
		{"SENT", []string{mail.Seen}, []string{"ALL", "SENT"}, []string{mail.Seen}},
		{"TRASH", []string{mail.Seen}, []string{"TRASH"}, []string{mail.Seen}},
		{"SPAM", nil, []string{"SPAM"}, []string{}},
		{"DRAFT", []string{mail.Seen, mail.Draft, mail.Flagged}, []string{"ALL", "DRAFT"}, []string{mail.Draft, mail.Flagged, mail.Seen}},
	} {
		raw := letter(alan, joan, fmt.Sprintf("place-%d", i))
		m := w.mustAppend(tc.mailbox, fmt.Sprintf("place-op-%d", i), raw, tc.keywords...)
		slices.Sort(tc.in)
		if !slices.Equal(m.Mailboxes, tc.in) || !slices.Equal(m.Keywords, tc.have) || m.Subject != fmt.Sprintf("place-%d", i) {
			t.Errorf("%s: %q is in %v with %v, want %v with %v", tc.mailbox, m.Subject, m.Mailboxes, m.Keywords, tc.in, tc.have)
		}
		if tc.mailbox == "DRAFT" {
			continue // Gmail writes of its own into drafts, and they are of now
		}
		if got := w.fetch(provider.FetchRaw, m.ProviderID).Raws[m.ProviderID]; !bytes.Equal(got, raw) {
			t.Errorf("%s: other bytes come back:\n%s", tc.mailbox, got)
		}
		if want := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC); !m.ReceivedAt.Equal(want) {
			t.Errorf("%s: received at %v", tc.mailbox, m.ReceivedAt)
		}
	}
	_, err := w.appendTo("Label_999", "x", letter(alan, joan, "nowhere"))
	if k := mail.KindOf(err); k != mail.KindNotFound && k != mail.KindInvalid {
		t.Errorf("a label that is not there: %v", err)
	}
}

// uploads is what makes messages in the API.
const uploads = "POST /upload/gmail/v1/users/me/messages"

// TestAppendLostAnswer: a message whose answer was lost is found, and not stored
// twice: in the same call, by the next one, or by another process.
func TestAppendLostAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		faults []traffic.Fault
		err    mail.Kind
		anew   bool
	}{
		"and looked for at once": {[]traffic.Fault{{Match: uploads, CutAfter: true, Times: 1}}, "", false},
		"and the history too": {[]traffic.Fault{{Match: uploads, CutAfter: true, Times: 1}, {Match: "/history", Status: 404, Times: 1}},
			mail.KindOutcomeUnknown, false},
		"and the process": {[]traffic.Fault{{Match: uploads, CutAfter: true, Times: 1}, {Match: "/history", Status: 404, Times: 1}},
			mail.KindOutcomeUnknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			raw := letter(joan, alan, "lost")
			// Others of the same words, and one of the same bytes elsewhere.
			w.mustAppend("INBOX", "before", bytes.Replace(raw, []byte("About"), []byte("Not about"), 1))
			other := w.mustAppend("SPAM", "elsewhere", raw)
			for _, f := range tc.faults {
				w.fault(f)
			}
			_, err := w.appendTo("INBOX", "op", raw)
			wantErr(t, "the first call", err, tc.err)
			if tc.anew {
				w.another()
			}
			first := w.mustAppend("INBOX", "op", raw)
			again := w.mustAppend("INBOX", "op", raw)
			if first.ProviderID != again.ProviderID || first.ProviderID == other.ProviderID {
				t.Errorf("stored as %s, again as %s, elsewhere as %s", first.ProviderID, again.ProviderID, other.ProviderID)
			}
			if in := w.in(alan, "INBOX"); len(in) != 2 {
				t.Errorf("the inbox holds %v", in)
			}
			// Another operation stores the same bytes once more.
			if m := w.mustAppend("INBOX", "another op", raw); m.ProviderID == first.ProviderID {
				t.Error("another operation got the same message")
			}
		})
	}
}

// TestAppendLostAmongOthers: what was stored without an answer is found also
// when much has come since, when the history says nothing for good, and when it
// cannot be read for a moment: nobody stores it twice then.
func TestAppendLostAmongOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		others int
		fault  traffic.Fault
		err    mail.Kind
	}{
		"others came":                  {25, traffic.Fault{}, ""},
		"the history is gone":          {0, traffic.Fault{Match: "/history", Status: 404, Times: 1}, ""},
		"the history is not to be had": {0, traffic.Fault{Match: "/history", Status: 409, Times: 1}, mail.KindConflict},
		"a message cannot be read":     {0, traffic.Fault{Match: "GET /gmail/v1/users/me/messages/{id}", Status: 409, Times: 1}, mail.KindConflict},
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			raw := letter(joan, alan, "lost")
			w.fault(traffic.Fault{Match: uploads, CutAfter: true, Times: 1})
			w.fault(traffic.Fault{Match: "/history", Status: 404, Times: 1})
			_, err := w.appendTo("INBOX", "op", raw)
			wantErr(t, "the first call", err, mail.KindOutcomeUnknown)
			for i := range tc.others {
				w.deliver(alan, fmt.Sprintf("other-%d", i))
			}
			if tc.fault.Match != "" {
				w.fault(tc.fault)
			}
			_, err = w.appendTo("INBOX", "op", raw)
			wantErr(t, "the second call", err, tc.err)
			w.mustAppend("INBOX", "op", raw)
			if in := w.in(alan, "INBOX"); len(in) != 1+tc.others {
				t.Errorf("the inbox holds %d messages, want %d", len(in), 1+tc.others)
			}
		})
	}
}

// TestAppendBesideTrash: a message of the same bytes in the trash is another
// one, whatever labels it has kept there.
func TestAppendBesideTrash(t *testing.T) {
	w := connected(t)
	label := w.label("kept")
	raw := letter(joan, alan, "trashed")
	old := w.mustAppend(label, "old", raw)
	if _, err := w.p.Delete(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{old.ProviderID}}); err != nil {
		t.Fatal(err)
	}
	w.another()
	for i, mailbox := range []string{"ALL", label} {
		m := w.mustAppend(mailbox, fmt.Sprint("new-", i), raw)
		if m.ProviderID == old.ProviderID || !slices.Contains(m.Mailboxes, mailbox) {
			t.Errorf("%s: %s in %v, the trashed one is %s", mailbox, m.ProviderID, m.Mailboxes, old.ProviderID)
		}
	}
}

// TestAppendLarge: 30 MB are uploaded in pieces and come back to the byte; what
// breaks off is not stored.
func TestAppendLarge(t *testing.T) {
	w := connected(t, unlimited)
	head := letter(joan, alan, "large")
	line := []byte("0123456789012345678901234567890123456789012345678901234567890123456789\r\n")
	raw := append(slices.Clone(head), bytes.Repeat(line, 18_000_000/len(line))...)
	m := w.mustAppend("INBOX", "large", raw, mail.Seen)
	if got := w.fetch(provider.FetchRaw, m.ProviderID).Raws[m.ProviderID]; !bytes.Equal(got, raw) {
		t.Errorf("%d bytes come back of %d, or others", len(got), len(raw))
	}
	for name, tc := range map[string]struct {
		body io.Reader
		size int64
		kind mail.Kind
	}{
		"broken off": {io.MultiReader(bytes.NewReader(raw[:17_000_000]), broken{}), int64(len(raw)), mail.KindUnavailable},
		"too short":  {bytes.NewReader(raw[:17_000_000]), int64(len(raw)), mail.KindInvalid},
		"too long":   {bytes.NewReader(raw), 17_000_000, mail.KindInvalid},
		"too large":  {bytes.NewReader(raw), 200 << 20, mail.KindTooLarge},
	} {
		_, err := w.p.Append(t.Context(), &provider.AppendRequest{Call: w.call(), OperationID: name, Mailbox: "INBOX", Size: tc.size}, tc.body)
		wantErr(t, name, err, tc.kind)
	}
	if in := w.in(alan, "INBOX"); len(in) != 1 {
		t.Errorf("the inbox holds %v", in)
	}
	// A large one whose last answer is lost is known by its header.
	w.fault(traffic.Fault{Match: "upload_id", CutAfter: true})
	w.fault(traffic.Fault{Match: "upload_id"})
	if again := w.mustAppend("INBOX", "large", raw, mail.Seen); again.ProviderID != m.ProviderID {
		t.Errorf("stored again as %s", again.ProviderID)
	}
}

// broken is the end of a connection.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
