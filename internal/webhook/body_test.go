package webhook

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

var goldenTime = time.Date(2026, 5, 1, 12, 34, 56, 789_000_000, time.UTC)

// goldenWorld fills a store with one of everything.
func goldenWorld(tx store.Tx) error {
	if err := tx.PutAccount(&store.Account{
		ID: "aada", Provider: "acme", Address: "ada@example.org", ExternalID: "customer-17", State: store.AccountReady,
	}); err != nil {
		return err
	}
	for _, m := range []*store.Mailbox{
		{ID: "finbox", Account: "aada", Name: "Inbox", Role: mail.RoleInbox, Kind: mail.KindFolder},
		{ID: "fbills", Account: "aada", Name: "Rechnungen & mehr", Parent: "finbox", Kind: mail.KindFolder},
	} {
		if err := tx.PutMailbox(m); err != nil {
			return err
		}
	}
	m := &store.Message{ID: "m1", Account: "aada", Thread: "t1", In: []string{"fbills"}, Local: []string{"urgent"}}
	m.ProviderID, m.Keywords, m.ReceivedAt = "p-1", []string{mail.Flagged, mail.Seen}, goldenTime
	if err := tx.PutMessage(m); err != nil {
		return err
	}
	config, err := (&config{URL: "https://example.org/secret-path", Description: "billing", Payload: PayloadThin}).encode()
	if err != nil {
		return err
	}
	failing := &store.Endpoint{ID: "ep_1", Config: config, Failing: goldenTime.Add(-time.Hour), Failures: 40, CreatedAt: goldenTime.AddDate(0, -1, 0)}
	if err := tx.PutEndpoint(failing); err != nil {
		return err
	}
	if err := tx.PutEndpoint(&store.Endpoint{ID: "ep_2", Config: config, LastOKAt: goldenTime}); err != nil {
		return err
	}
	return tx.PutSubmission(&store.Submission{
		ID: "s1", Account: "aada", From: "ada@example.org", Recipients: []string{"bob@example.net", "eve@example.com"},
		Subject: "Re: Grüße", MessageID: "reply@example.org", State: store.SubmissionSent,
	})
}

func goldenSnapshot() *event.Snapshot {
	return &event.Snapshot{
		ProviderID: "p-1", Thread: "t1", Mailboxes: []string{"finbox"}, Keywords: []string{mail.Seen},
		Subject: "Grüße <b>&</b> \"Küsse\" \u2028 😀", From: []mail.Address{{Name: "Bob B.", Email: "bob@example.net"}},
		To: []mail.Address{{Email: "ada@example.org"}}, MessageID: "hello@example.net",
		SentAt: goldenTime.Add(-time.Minute).Truncate(time.Second), ReceivedAt: goldenTime.Truncate(time.Second),
		Preview: "Liebe Ada,\nanbei die Rechnung.", HasAttachments: true, Size: 4711,
	}
}

func goldenEvents() []event.Event {
	message := func(t event.Type) event.Event { return event.Event{Type: t, Account: "aada", Message: "m1"} }
	created, updated, deleted := message(event.MessageCreated), message(event.MessageUpdated), message(event.MessageDeleted)
	created.Snapshot, updated.Snapshot, deleted.Snapshot = goldenSnapshot(), goldenSnapshot(), goldenSnapshot()
	updated.Snapshot.Mailboxes, updated.Snapshot.Keywords = []string{"fbills"}, []string{mail.Flagged, mail.Seen, "urgent"}
	created.AddedMailboxes, created.AddedKeywords = []string{"finbox"}, []string{mail.Seen}
	updated.AddedKeywords, updated.RemovedKeywords = []string{mail.Flagged}, []string{"$junk"}
	updated.AddedMailboxes, updated.RemovedMailboxes = []string{"fbills"}, []string{"finbox"}
	deleted.RemovedMailboxes = []string{"finbox"}
	deleted.Snapshot.Size, deleted.Snapshot.SentAt = 0, time.Time{}
	mailbox := func(t event.Type) event.Event { return event.Event{Type: t, Account: "aada", Mailbox: "fbills"} }
	gone := mailbox(event.MailboxDeleted)
	gone.Mailbox = "fgone"
	account := func(t event.Type, reason string) event.Event {
		return event.Event{Type: t, Account: "aada", Reason: reason}
	}
	return []event.Event{
		created, updated, deleted,
		mailbox(event.MailboxCreated), mailbox(event.MailboxUpdated), gone,
		account(event.AccountConnected, ""), account(event.AccountSynced, ""),
		account(event.AccountGrantExpired, "consent_revoked: the owner has withdrawn the consent"),
		account(event.AccountRecovered, ""), account(event.AccountDisconnected, ""),
		{Type: event.SubmissionSent, Account: "aada", Submission: "s1", Message: "m1"},
		{Type: event.SubmissionFailed, Account: "aada", Submission: "s1", Reason: "too_large: the provider takes 35 MB"},
		{Type: event.EndpointFailing, Endpoint: "ep_1", Percent: 70},
		{Type: event.EndpointDisabled, Endpoint: "ep_1", Reason: "the receiver answered 410 Gone", Percent: 100},
		{Type: event.EndpointRecovered, Endpoint: "ep_2"},
		{Type: event.EndpointDeadLetters, Endpoint: "ep_1", DeadLetters: 1000},
		{Type: event.ProviderMisconfigured, Provider: "acme", Reason: "misconfigured: the client secret has expired"},
		{Type: event.ProviderRecovered, Provider: "acme"},
		{Type: event.Ping, Endpoint: "ep_1"},
	}
}

// content is a Content of one message.
type content struct{ full Full }

func (c content) Full(_ store.Tx, message string) (Full, bool) { return c.full, message == "m1" }

func TestGoldenBodies(t *testing.T) {
	s := openStore(t, t.TempDir(), testMaster, func() time.Time { return goldenTime })
	defer s.Close()
	service := New(s, nil, mustGuard(t), Options{
		Content: content{Full{
			Headers: []mail.Header{{Name: "Subject", Value: "Grüße"}, {Name: "X-Odd", Value: "a <b>"}},
			Text:    "Liebe Ada,\nanbei.", HTML: "<p>Liebe Ada,<br>anbei.</p>",
		}},
		Link: func(m string) string { return "https://postern.example/messages/" + m },
	})
	seen := map[event.Type]bool{}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := goldenWorld(tx); err != nil {
			return err
		}
		w := service.writer(tx)
		for _, e := range goldenEvents() {
			seen[e.Type] = true
			e.Time = goldenTime
			if err := tx.AppendEvent(&e); err != nil {
				return err
			}
			for _, p := range []Payload{PayloadThin, PayloadFull} {
				if renditionOf(&e, p) != p {
					continue
				}
				body, err := w.body(&e, p)
				if err != nil {
					return err
				}
				compareGolden(t, string(e.Type)+"."+string(p)+".json", body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range event.Types() {
		if !seen[typ] {
			t.Errorf("there is no golden body of %s", typ)
		}
	}
}

// compareGolden compares a body, indented to be read, with a file.
func compareGolden(t *testing.T, name string, body []byte) {
	t.Helper()
	var compact, indented bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !bytes.Equal(compact.Bytes(), body) {
		t.Errorf("%s carries white space", name)
	}
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	path := filepath.Join("testdata", "bodies", name)
	if *updateGolden {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), indented.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFullPayloadIsCut(t *testing.T) {
	s := openStore(t, t.TempDir(), testMaster, nil)
	defer s.Close()
	link := func(m string) string { return "https://postern.example/" + m }
	long := strings.Repeat("ä", maxText)
	for _, tc := range []struct {
		name      string
		content   Content
		truncated bool
		text      int
		headers   int
	}{
		{name: "no content", truncated: true},
		{name: "another message", content: content{}, truncated: false},
		{name: "it fits", content: content{Full{Text: "short"}}, text: 5},
		{name: "the content says so", content: content{Full{Text: "short", Truncated: true}}, truncated: true, text: 5},
		{name: "too long", content: content{Full{Text: long}}, truncated: true, text: maxText},
		{name: "too long, a character on the boundary", content: content{Full{Text: "x" + long}}, truncated: true, text: maxText - 1},
		{name: "too many headers", content: content{Full{Headers: []mail.Header{
			{Name: "A", Value: "b"}, {Name: "B", Value: strings.Repeat("x", maxHeaders)}, {Name: "C", Value: "d"},
		}}}, truncated: true, headers: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			service := New(s, nil, mustGuard(t), Options{Content: tc.content, Link: link})
			if err := s.View(t.Context(), func(tx store.Tx) error {
				c := service.writer(tx).content("m1")
				if c.Truncated != tc.truncated || len(c.Text) != tc.text || len(c.Headers) != tc.headers || (c.Link != "") != tc.truncated {
					t.Errorf("truncated %v, %d bytes of text, %d headers, link %q", c.Truncated, len(c.Text), len(c.Headers), c.Link)
				}
				if !utf8.ValidString(c.Text) {
					t.Error("a character was cut in two")
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
