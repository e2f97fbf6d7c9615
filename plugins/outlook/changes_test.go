package outlook_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// mirror applies items as the core does.
type mirror map[string]mail.Message

func (m mirror) apply(t *testing.T, items []mail.Item) {
	t.Helper()
	for _, it := range items {
		id := it.Message.ProviderID
		if it.Kind != mail.ItemPresent {
			delete(m, id)
			continue
		}
		have, known := m[id]
		switch {
		case it.Fields&mail.FieldEnvelope != 0:
			m[id] = it.Message
		case !known:
			t.Errorf("a message is first seen in part: %+v", it)
		case it.Fields&mail.FieldSeen != 0:
			have.Keywords = slices.DeleteFunc(slices.Clone(have.Keywords), func(k string) bool { return k == mail.Seen })
			if it.Message.HasKeyword(mail.Seen) {
				have.Keywords = append(have.Keywords, mail.Seen)
				slices.Sort(have.Keywords)
			}
			m[id] = have
		}
	}
}

func TestChangesTellEverything(t *testing.T) {
	w := connected(t)
	w.conf.Settings["page_size"] = "3"
	w.configure()
	inbox := w.mailboxes()[mail.RoleInbox].ID
	archive := w.createMailbox("", "Archive 2026").ID
	ids := make([]string, 10)
	for i := range ids {
		ids[i] = w.deliver(ada, fmt.Sprintf("m%d", i), func(d *cloud.Delivery) { d.Date = d.Date.Add(time.Duration(i) * time.Minute) })
	}
	m := mirror{}
	items, cur := w.mustChanges(inbox, nil)
	m.apply(t, items)
	var order []string
	for _, it := range items {
		order = append(order, it.Message.Subject)
		if it.Fields&(mail.FieldEnvelope|mail.FieldKeywords|mail.FieldMailbox) != mail.FieldEnvelope|mail.FieldKeywords|mail.FieldMailbox || it.Mailbox != inbox {
			t.Errorf("item %+v", it)
		}
	}
	if order[0] != "m9" || !slices.IsSortedFunc(order, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("not newest first: %v", order)
	}
	// Changes: read, flag, move away, delete, arrive.
	modify := func(req *provider.ModifyRequest) {
		t.Helper()
		req.Call = w.call()
		resp, err := w.p.Modify(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.Results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	modify(&provider.ModifyRequest{IDs: ids[:2], AddKeywords: []string{mail.Seen}})
	modify(&provider.ModifyRequest{IDs: ids[1:3], AddKeywords: []string{mail.Flagged, "project-x"}})
	modify(&provider.ModifyRequest{IDs: ids[3:4], AddMailboxes: []string{archive}, RemoveMailboxes: []string{inbox}})
	if _, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: ids[4:5]}); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, w.deliver(ada, "late"))
	items, cur = w.mustChanges(inbox, cur)
	m.apply(t, items)
	compareMirror(t, w, m, inbox)
	if it := slices.IndexFunc(items, func(it mail.Item) bool {
		return it.Kind == mail.ItemAbsent && it.Message.ProviderID == ids[3] && it.Mailbox == inbox
	}); it < 0 {
		t.Error("the move away was not told")
	}
	// The moved message keeps its id and is told by the other feed.
	items, _ = w.mustChanges(archive, nil)
	if len(items) != 1 || items[0].Message.ProviderID != ids[3] {
		t.Errorf("archive: %+v", items)
	}
	if items, _ = w.mustChanges(inbox, cur); len(items) != 0 {
		m.apply(t, items) // replays are legal
		compareMirror(t, w, m, inbox)
	}
}

// compareMirror compares with what the sandbox truly holds.
func compareMirror(t *testing.T, w *world, m mirror, mailbox string) {
	t.Helper()
	want := map[string][]string{}
	for id, info := range w.truth(ada) {
		if slices.Contains(info.Mailboxes, mailbox) {
			ks := slices.Clone(info.Keywords)
			slices.Sort(ks)
			want[id] = ks
		}
	}
	got := map[string][]string{}
	for id, msg := range m {
		got[id] = msg.Keywords
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("nil", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
		t.Errorf("the mirror differs: %s", diff)
	}
}

func TestCursors(t *testing.T) {
	w := connected(t)
	boxes := w.mailboxes()
	inbox := boxes[mail.RoleInbox].ID
	w.deliver(ada, "one")
	_, cur := w.mustChanges(inbox, nil)
	for name, bad := range map[string]struct {
		mailbox string
		cursor  mail.Cursor
		kind    mail.Kind
	}{
		"garbage":         {inbox, mail.Cursor("garbage"), mail.KindCursorExpired},
		"other mailbox":   {boxes[mail.RoleSent].ID, cur, mail.KindCursorExpired},
		"unknown mailbox": {"nonsense", nil, mail.KindNotFound},
		"no mailbox":      {"", nil, mail.KindInvalid},
		"foreign host":    {inbox, bytes.ReplaceAll(cur, []byte("localhost"), []byte("evil.example")), mail.KindCursorExpired},
	} {
		_, _, err := w.changes(bad.mailbox, bad.cursor)
		if mail.KindOf(err) != bad.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.sandbox.Microsoft().ForgetCursors(ada); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.changes(inbox, cur)
	wantKind(t, err, mail.KindCursorExpired)
	if items, _ := w.mustChanges(inbox, nil); len(items) != 1 {
		t.Errorf("after starting again: %+v", items)
	}
	// A folder that is gone is not a cursor that is old.
	gone := w.createMailbox("", "gone")
	_, cur = w.mustChanges(gone.ID, nil)
	for range 2 { // into the trash, and from there
		if err := w.p.DeleteMailbox(t.Context(), &provider.DeleteMailboxRequest{Call: w.call(), ID: gone.ID}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = w.changes(gone.ID, cur)
	wantKind(t, err, mail.KindNotFound)
}

func TestCursorOfThePageGoesOn(t *testing.T) {
	w := connected(t)
	w.conf.Settings["page_size"] = "4"
	w.configure()
	inbox := w.mailboxes()[mail.RoleInbox].ID
	for i := range 10 {
		w.deliver(ada, fmt.Sprintf("m%d", i))
	}
	stop := fmt.Errorf("stop")
	var first mail.Batch
	err := w.p.Changes(t.Context(), &provider.ChangesRequest{Call: w.call(), Mailbox: inbox}, func(b *mail.Batch) error {
		first = *b
		return stop
	})
	if err != stop || first.Done || len(first.Next) == 0 || first.AsOf.IsZero() {
		t.Fatalf("%v %+v", err, first)
	}
	rest, _ := w.mustChanges(inbox, first.Next)
	m := mirror{}
	m.apply(t, first.Items)
	m.apply(t, rest)
	if len(m) != 10 {
		t.Errorf("%d messages", len(m))
	}
}

func TestMessageConversion(t *testing.T) {
	w := connected(t)
	raw := strings.Join([]string{
		"From: =?utf-8?q?Gr=C3=A4ce?= <" + grace + ">", "Sender: Desk <desk@contoso.example>", "Reply-To: list@contoso.example",
		"To: Ada <" + ada + ">, \"B, C\" <bc@contoso.example>", "Cc: cc@contoso.example",
		"Subject: =?iso-8859-1?q?Gr=FC=DFe?=", "Message-ID: <child@contoso.example>",
		"In-Reply-To: <parent@contoso.example>", "References: <root@contoso.example> <parent@contoso.example>",
		"Date: Fri, 20 Nov 2026 10:00:00 +0100", "Importance: high", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", "Hallo Welt", "",
	}, "\r\n")
	at := time.Date(2026, 11, 20, 9, 30, 5, 0, time.UTC)
	id := w.deliver(ada, "x", func(d *cloud.Delivery) {
		d.Raw, d.Date, d.Keywords = []byte(raw), at, []string{mail.Seen, mail.Flagged, "two words"}
	})
	inbox := w.mailboxes()[mail.RoleInbox].ID
	want := mail.Message{
		ProviderID: id, Mailboxes: []string{inbox}, Keywords: []string{mail.Flagged, mail.Seen, "two_x0020_words"},
		Subject: "Grüße", From: []mail.Address{{Name: "Gräce", Email: grace}}, Sender: []mail.Address{{Name: "Desk", Email: "desk@contoso.example"}},
		To: []mail.Address{{Name: "Ada", Email: ada}, {Name: "B, C", Email: "bc@contoso.example"}}, Cc: []mail.Address{{Email: "cc@contoso.example"}},
		ReplyTo: []mail.Address{{Email: "list@contoso.example"}}, MessageID: "child@contoso.example",
		InReplyTo: []string{"parent@contoso.example"}, References: []string{"root@contoso.example", "parent@contoso.example"},
		SentAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), ReceivedAt: at, Preview: "Hallo Welt", Importance: mail.ImportanceHigh,
	}
	got := w.fetch(id)[id]
	if got.ProviderThreadID == "" {
		t.Error("no thread")
	}
	want.ProviderThreadID = got.ProviderThreadID
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	// A feed tells the same but for the threading headers.
	items, _ := w.mustChanges(inbox, nil)
	want.InReplyTo, want.References = nil, nil
	if diff := cmp.Diff(want, items[0].Message); diff != "" {
		t.Errorf("feed: %s", diff)
	}
}

func TestFetchRaw(t *testing.T) {
	w := connected(t)
	big := w.deliver(ada, "big", func(d *cloud.Delivery) {
		d.Raw = append(d.Raw, bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n"), 40000)...)
	})
	small := w.deliver(ada, "small")
	truth := w.truth(ada)
	s := w.raw(big, small, "nonsense")
	for _, id := range []string{big, small} {
		if got := len(s.raws[id]); int64(got) != truth[id].Size || sha(s.raws[id]) != truth[id].SHA256 {
			t.Errorf("%s: %d bytes of %d", id, got, truth[id].Size)
		}
	}
	if len(s.failed) != 1 || mail.KindOf(s.failed["nonsense"]) != mail.KindNotFound {
		t.Errorf("failed: %v", s.failed)
	}
}

func TestFetchSurvivesFaults(t *testing.T) {
	w := connected(t)
	var ids []string
	for i := range 30 {
		ids = append(ids, w.deliver(ada, fmt.Sprintf("m%d", i)))
	}
	if err := w.sandbox.Faults().Put(
		traffic.Fault{Match: "GET /me/messages/{id}$", Status: 429, RetryAfter: 0.05, Rate: 0.4},
		traffic.Fault{Match: "GET /me/messages/{id}/$value", Status: 503, Rate: 0.3},
	); err != nil {
		t.Fatal(err)
	}
	if got := w.fetch(ids...); len(got) != len(ids) {
		t.Errorf("%d of %d messages", len(got), len(ids))
	}
	if s := w.raw(ids[:8]...); len(s.raws) != 8 {
		t.Errorf("%d raw messages, failed %v", len(s.raws), s.failed)
	}
}

func TestEnumerate(t *testing.T) {
	w := connected(t)
	for i := range 12 {
		w.deliver(ada, fmt.Sprintf("m%d", i), func(d *cloud.Delivery) {
			d.Date = d.Date.Add(time.Duration(i) * time.Minute)
			if i%2 == 0 {
				d.Keywords = []string{mail.Seen}
			}
		})
	}
	inbox := w.mailboxes()[mail.RoleInbox].ID
	m := mirror{}
	last := time.Now().Add(time.Hour)
	err := w.p.Enumerate(t.Context(), &provider.EnumerateRequest{Call: w.call(), Mailbox: inbox}, func(b *provider.EnumerateBatch) error {
		for _, msg := range b.Messages {
			if msg.ReceivedAt.After(last) || msg.ReceivedAt.IsZero() {
				t.Errorf("%v after %v", msg.ReceivedAt, last)
			}
			last = msg.ReceivedAt
			m[msg.ProviderID] = msg
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compareMirror(t, w, m, inbox)
}
