package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const key = "the-key"

// epoch0 is the moment at which the tests' world stands still.
var epoch0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// world is a server over a real store, with services that work on that store.
type world struct {
	t       testing.TB
	store   store.Store
	bus     *event.Bus
	journal *journal.Journal
	fake    *fakes
	server  *graph.Server
	http    *httptest.Server
	metrics *prometheus.Registry
	log     *lockedBuffer

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB, change ...func(*graph.Options)) *world {
	t.Helper()
	w := &world{t: t, bus: &event.Bus{}, metrics: prometheus.NewRegistry(), log: &lockedBuffer{}, now: epoch0}
	w.store = openStore(t, w.clock)
	w.journal = journal.New(w.store, w.bus, w.clock)
	w.fake = &fakes{w: w, contents: map[string]*mime.Content{}, fail: map[string]error{}, passwords: map[string][]*store.AppPassword{}}
	opts := graph.Options{
		Now: w.clock, Metrics: w.metrics,
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	mux := http.NewServeMux()
	w.http = httptest.NewServer(mux)
	opts.BaseURL = w.http.URL
	for _, c := range change {
		c(&opts)
	}
	f := w.fake
	server, err := graph.New(w.store, w.bus, graph.Services{
		Auth: f, Providers: f, Accounts: f, Mailboxes: f, Mailer: f, Reader: f, Bytes: f,
		Drafts: f, Submissions: f, Endpoints: f, Deliverer: f, AppPasswords: f,
	}, opts)
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	mux.Handle("/graphql", server.Handler())
	mux.Handle("/blobs/", server.Blobs())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		w.http.Close()
	})
	return w
}

func openStore(t testing.TB, now func() time.Time) store.Store {
	t.Helper()
	return bolttest.Open(t, func(o *bolt.Options) { o.Now = now })
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// update writes records and events in one transaction.
func (w *world) update(fn func(tx store.Tx, b *journal.Batch) error) {
	w.t.Helper()
	if err := w.journal.Update(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// Things that every world may have.

func (w *world) account(address string) *store.Account {
	w.t.Helper()
	a := &store.Account{
		ID: event.HashID("a", "outpost", address), Provider: "outpost", Subject: "sub-" + address, Address: address,
		Name: "Owner of " + address, ExternalID: "ext-" + address, State: store.AccountReady, StateReason: "said for the test",
		Mirror: store.MirrorRecent, CreatedAt: epoch0.Add(-72 * time.Hour), ConnectedAt: epoch0.Add(-48 * time.Hour),
		SyncedAt: epoch0.Add(-47 * time.Hour), LastSyncAt: epoch0.Add(-time.Minute), Done: 7, Total: 9,
		Watch: store.Watch{ID: "watch", Expires: epoch0.Add(time.Hour), LastHintAt: epoch0.Add(-2 * time.Minute)},
	}
	w.update(func(tx store.Tx, b *journal.Batch) error {
		if err := tx.PutAccount(a); err != nil {
			return err
		}
		_, err := b.Add(&event.Event{Type: event.AccountConnected, Account: a.ID})
		return err
	})
	return a
}

func (w *world) mailbox(a *store.Account, name string, role mail.Role, parent *store.Mailbox) *store.Mailbox {
	w.t.Helper()
	m := &store.Mailbox{
		ID: event.HashID("f", a.ID, name), Account: a.ID, ProviderID: "p-" + name, Name: name, Role: role,
		Kind: mail.KindLabel, UIDValidity: 1, CreatedAt: epoch0,
	}
	if parent != nil {
		m.Parent, m.ParentProviderID = parent.ID, parent.ProviderID
	}
	w.update(func(tx store.Tx, b *journal.Batch) error {
		if err := tx.PutMailbox(m); err != nil {
			return err
		}
		_, err := b.Add(&event.Event{Type: event.MailboxCreated, Account: a.ID, Mailbox: m.ID})
		return err
	})
	return m
}

// message puts message number n into mailboxes: received n minutes after epoch0,
// three to a thread.
func (w *world) message(a *store.Account, n int, in ...*store.Mailbox) *store.Message {
	w.t.Helper()
	provider := fmt.Sprintf("msg-%03d", n)
	m := &store.Message{
		ID: event.HashID("m", a.ID, provider), Account: a.ID, Thread: event.HashID("t", a.ID, strconv.Itoa(n/3)),
		Message: mail.Message{
			ProviderID: provider, ProviderThreadID: strconv.Itoa(n / 3), Keywords: []string{mail.Flagged, mail.Seen},
			Subject: fmt.Sprintf("Subject %03d", n),
			From:    []mail.Address{{Name: fmt.Sprintf("Ann %d", n), Email: "ann@example.com"}}, Sender: []mail.Address{{Name: "Sec", Email: "sec@example.com"}},
			To: []mail.Address{{Name: "Bob", Email: "bob@example.com"}}, Cc: []mail.Address{{Email: "cc@example.com"}},
			Bcc: []mail.Address{{Email: "bcc@example.com"}}, ReplyTo: []mail.Address{{Email: "re@example.com"}},
			MessageID: provider + "@example.com", InReplyTo: []string{"before@example.com"}, References: []string{"first@example.com", "before@example.com"},
			SentAt: epoch0.Add(time.Duration(n)*time.Minute - time.Second), ReceivedAt: epoch0.Add(time.Duration(n) * time.Minute),
			Preview: "Hello", Importance: mail.ImportanceHigh, HasAttachments: n%2 == 1, Size: int64(1000 + n),
		},
		Local: []string{"mine"},
	}
	if n%4 == 0 {
		m.Keywords = []string{"rare"}
	}
	var ids []string
	for _, f := range in {
		ids = append(ids, f.ID)
	}
	m.In = sorted(ids)
	w.update(func(tx store.Tx, b *journal.Batch) error {
		seq, err := b.Add(&event.Event{
			Type: event.MessageCreated, Account: a.ID, Message: m.ID, Mailbox: ids[0], AddedMailboxes: m.In, AddedKeywords: m.Keywords, Backfill: n < 2,
			Snapshot: &event.Snapshot{
				ProviderID: provider, Thread: m.Thread, Mailboxes: m.In, Keywords: m.Keywords, Subject: m.Subject, From: m.From, To: m.To, Cc: m.Cc,
				MessageID: m.MessageID, SentAt: m.SentAt, ReceivedAt: m.ReceivedAt, Preview: m.Preview, HasAttachments: m.HasAttachments, Size: m.Size,
			},
		})
		if err != nil {
			return err
		}
		m.ModSeq, m.CreatedSeq = seq, seq
		return tx.PutMessage(m)
	})
	w.fake.setContent(m.ID, &mime.Content{
		Text: "text of " + provider, HTML: `<p onclick="x()">Hi</p><img src="cid:logo@x">`,
		Headers: []mail.Header{{Name: "Subject", Value: m.Subject}, {Name: "X-Two", Value: "1"}, {Name: "x-two", Value: "2"}},
		Attachments: []mime.Attachment{
			{ID: "2", Name: "report.pdf", Type: "application/pdf", Size: 11},
			{ID: "1.2", Name: "logo.png", Type: "image/png", Size: 4, Inline: true, ContentID: "logo@x"},
		},
	})
	return m
}

// Asking.

type answer struct {
	t      testing.TB
	status int
	header http.Header
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

func (w *world) post(body string, headers ...string) *answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.http.URL+"/graphql", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) *answer {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &answer{t: w.t, status: resp.StatusCode, header: resp.Header}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(a); err != nil {
		w.t.Fatalf("answer %d is not JSON: %v\n%s", resp.StatusCode, err, b)
	}
	return a
}

// ask sends a query with variables given as name, value, name, value.
func (w *world) ask(query string, vars ...any) *answer {
	w.t.Helper()
	m := map[string]any{}
	for i := 0; i < len(vars); i += 2 {
		m[vars[i].(string)] = vars[i+1]
	}
	b, err := json.Marshal(map[string]any{"query": query, "variables": m})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.post(string(b))
}

// ok fails the test unless the answer has no errors.
func (a *answer) ok() *answer {
	a.t.Helper()
	if len(a.Errors) > 0 || a.status != http.StatusOK {
		a.t.Fatalf("status %d, errors %+v", a.status, a.Errors)
	}
	return a
}

// code is the first error's code, empty without errors.
func (a *answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	s, _ := a.Errors[0].Extensions["code"].(string)
	return s
}

// refused fails the test unless the first error has the code.
func (a *answer) refused(code string) *answer {
	a.t.Helper()
	if a.code() != code {
		a.t.Fatalf("code %q, want %s: status %d, %+v, data %v", a.code(), code, a.status, a.Errors, a.Data)
	}
	return a
}

// get finds a value by a path such as accounts.edges.0.node.id.
func (a *answer) get(path string) any {
	a.t.Helper()
	return dig(a.t, a.Data, path)
}

func (a *answer) str(path string) string {
	a.t.Helper()
	v := a.get(path)
	s, ok := v.(string)
	if !ok {
		a.t.Fatalf("%s is %T %v, not a string", path, v, v)
	}
	return s
}

func (a *answer) num(path string) int {
	a.t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(a.get(path)))
	if err != nil {
		a.t.Fatalf("%s: %v", path, err)
	}
	return n
}

// each gathers one field of every entry of a list.
func (a *answer) each(list, field string) []string {
	a.t.Helper()
	entries, ok := a.get(list).([]any)
	if !ok {
		a.t.Fatalf("%s is no list", list)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, fmt.Sprint(dig(a.t, e, field)))
	}
	return out
}

func dig(t testing.TB, v any, path string) any {
	t.Helper()
	for _, name := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(at) {
				t.Fatalf("%s: no entry %s of %d", path, name, len(at))
			}
			v = at[n]
		default:
			t.Fatalf("%s: %s of %T", path, name, v)
		}
	}
	return v
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ service.Authenticator = (*fakes)(nil)
