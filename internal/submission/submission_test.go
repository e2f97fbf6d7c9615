package submission

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const ann, bob = "ann@example.com", "bob@example.com"

// world is the submissions over a real store and a provider in memory. It
// plays the mirror: messages are put into the store by hand.
type world struct {
	t      *testing.T
	ctx    context.Context
	cloud  *memory.Cloud
	plugin *memory.Provider
	store  *bolt.Store
	bus    *event.Bus
	svc    *Service
	raw    map[string][]byte
	marked []string
	mu     sync.Mutex
	now    time.Time
}

func (w *world) Provider(string) (provider.Provider, error) { return w.plugin, nil }
func (w *world) Info(string) (*provider.Info, error)        { return w.plugin.Describe(w.ctx) }
func (w *world) Touch(context.Context, string)              {}

func (w *world) Raw(ctx context.Context, id string) (store.Blob, *store.Message, error) {
	raw, ok := w.raw[id]
	if !ok {
		return nil, nil, &mail.Error{Kind: mail.KindNotFound, Message: "no such message"}
	}
	ref, err := w.store.Blobs().Put(ctx, "account-1", bytes.NewReader(raw), false)
	if err != nil {
		return nil, nil, err
	}
	blob, err := w.store.Blobs().Open(ctx, "account-1", ref.Digest)
	return blob, &store.Message{ID: id, Account: "account-1", Message: mail.Message{MessageID: "parent@example.org", Subject: "parent",
		From: []mail.Address{{Email: "robot@example.com"}}, ReplyTo: []mail.Address{{Name: "Bob", Email: bob}}}}, err
}

func (w *world) Mark(_ context.Context, id, keyword string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marked = append(w.marked, id+" "+keyword)
	return nil
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st := bolttest.Open(t)
	w := &world{t: t, ctx: t.Context(), plugin: memory.New(memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder}),
		store: st, bus: &event.Bus{}, raw: map[string][]byte{}, now: time.Now().UTC()}
	w.cloud = w.plugin.Cloud()
	w.cloud.AddAccount(ann, "Ann")
	w.cloud.AddAccount(bob, "Bob")
	if _, err := w.plugin.OpenAccount("account-1", ann); err != nil {
		t.Fatal(err)
	}
	w.must(st.Update(w.ctx, func(tx store.Tx) error {
		return tx.PutAccount(&store.Account{ID: "account-1", Provider: "memory", Address: ann, Name: "Ann", State: store.AccountReady})
	}))
	w.svc = w.service()
	return w
}

// service makes a service as after a restart: it remembers nothing.
func (w *world) service() *Service {
	return New(w.store, journal.New(w.store, w.bus, w.clock), w, w, Options{Now: w.clock})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// advance takes a submission as far as it goes.
func (w *world) advance(id string) { w.svc.work(w.ctx, w.submission(id)) }

func (w *world) submission(id string) (s *store.Submission) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
		s, err = tx.Submission(id)
		return err
	}))
	return s
}

func (w *world) submit(in Input) *store.Submission {
	w.t.Helper()
	in.Account = "account-1"
	if in.Raw == nil && len(in.To) == 0 && in.InReplyTo == "" {
		in.To = []mail.Address{{Name: "Bob", Email: bob}}
	}
	s, err := w.svc.Submit(w.ctx, in)
	w.must(err)
	return s
}

func (w *world) events() (out []event.Type) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		list, err := tx.EventsAfter(0, 1000)
		for _, e := range list {
			out = append(out, e.Type)
		}
		return err
	}))
	return out
}

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	reader := w.bus.Listen(nil)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	s := w.submit(Input{Message: Message{Subject: "Grüße", Text: "hello", HTML: "<p>hello</p>",
		Bcc:         []mail.Address{{Email: "eve@example.net"}},
		Attachments: []Attachment{{Name: "a.txt", Type: "text/plain", Content: []byte("attached")}}}})
	<-reader.C
	cancel()
	w.must(<-done)
	if s = w.submission(s.ID); s.State != store.SubmissionSent || s.SentMessageID == "" {
		t.Fatalf("submission: %+v", s)
	}
	sent := w.cloud.Sent()
	if len(sent) != 1 || !slices.Equal(sent[0].Recipients, []string{bob, "eve@example.net"}) || sent[0].From != ann {
		t.Fatalf("sent: %+v", sent)
	}
	e, err := message.Read(bytes.NewReader(sent[0].Raw))
	w.must(err)
	h := gomail.Header{Header: e.Header}
	if subject, _ := h.Subject(); subject != "Grüße" || h.Get("Bcc") != "" || h.Get("Message-Id") == "" {
		t.Errorf("header: subject %q, bcc %q", subject, h.Get("Bcc"))
	}
	if !strings.Contains(string(sent[0].Raw), "multipart/alternative") {
		t.Error("text and HTML are no alternatives")
	}
	if got := w.events(); !slices.Equal(got, []event.Type{event.SubmissionSent}) {
		t.Errorf("events: %v", got)
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	ids := make([]string, 10)
	for i := range ids {
		wg.Go(func() {
			s, err := w.svc.Submit(w.ctx, Input{Account: "account-1", IdempotencyKey: "k", Message: Message{To: []mail.Address{{Email: bob}}, Text: "same"}})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[len(ids)-1] {
		t.Errorf("one key gave several submissions: %v", ids)
	}
	w.advance(ids[0])
	if n := len(w.cloud.Sent()); n != 1 {
		t.Errorf("%d messages were sent", n)
	}
}

// TestSendInDoubt loses the answer of Send, once after it was carried out and
// once before: one message leaves either way.
func TestSendInDoubt(t *testing.T) {
	for _, executed := range []bool{true, false} {
		t.Run(fmt.Sprintf("executed %v", executed), func(t *testing.T) {
			w := newWorld(t)
			s := w.submit(Input{Message: Message{Subject: "doubt", Text: "x"}})
			lost := &lossy{Provider: w.plugin, executed: executed}
			w.svc.providers = through{w, lost}
			w.advance(s.ID)
			if s = w.submission(s.ID); s.State != store.SubmissionSending || s.Step != stepSend {
				t.Fatalf("after the lost answer: %s, step %q", s.State, s.Step)
			}
			w.svc = w.service() // the gateway is killed, too
			w.advance(s.ID)
			if s = w.submission(s.ID); s.State != store.SubmissionSent {
				t.Fatalf("in the end: %s, %s", s.State, s.Error)
			}
			if n := len(w.cloud.Sent()); n != 1 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

// through gives another provider than the world's.
type through struct {
	*world
	p provider.Provider
}

func (t through) Provider(string) (provider.Provider, error) { return t.p, nil }

// lossy loses the first answer of Send.
type lossy struct {
	*memory.Provider
	executed bool
	mu       sync.Mutex
	lost     bool
}

func (l *lossy) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	l.mu.Lock()
	first := !l.lost
	l.lost = true
	l.mu.Unlock()
	if !first {
		return l.Provider.Send(ctx, req)
	}
	if l.executed {
		if _, err := l.Provider.Send(ctx, req); err != nil {
			return nil, err
		}
	}
	return nil, &mail.Error{Kind: mail.KindOutcomeUnknown, Op: "send", Message: "the connection was cut"}
}

// TestCrashAfterPrepare: a draft that was made, but not noted, is found again.
func TestCrashAfterPrepare(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Subject: "crash", Text: "x"}})
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "send" {
			return &mail.Error{Kind: mail.KindThrottled, RetryAfter: time.Minute}
		}
		return nil
	})
	w.advance(s.ID)
	s = w.submission(s.ID)
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		s.Step, s.DraftID, s.DraftState = stepPrepare, "", nil
		return tx.PutSubmission(s)
	}))
	w.cloud.OnCall(nil)
	w.svc = w.service()
	w.advance(s.ID)
	if s = w.submission(s.ID); s.State != store.SubmissionSent || len(w.cloud.Sent()) != 1 {
		t.Errorf("%s, %d sent", s.State, len(w.cloud.Sent()))
	}
	list, err := w.cloud.Messages(ann)
	w.must(err)
	if len(list) != 1 {
		t.Errorf("%d messages in the account, want the sent one", len(list))
	}
}

func TestFailuresArePutOffOrTold(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Subject: "later", Text: "x"}})
	w.cloud.FailNext("prepare", mail.KindUnavailable)
	w.advance(s.ID)
	if s = w.submission(s.ID); s.State != store.SubmissionSending || !s.NextAt.After(w.clock()) || s.Attempts != 1 {
		t.Errorf("after a passing fault: %+v", s)
	}
	w.cloud.FailNext("send", mail.KindForbidden)
	w.advance(s.ID)
	if s = w.submission(s.ID); s.State != store.SubmissionFailed || !strings.HasPrefix(s.Error, "forbidden") {
		t.Errorf("after a refusal: %s %q", s.State, s.Error)
	}
	if got := w.events(); !slices.Equal(got, []event.Type{event.SubmissionFailed}) {
		t.Errorf("events: %v", got)
	}
	list, err := w.cloud.Messages(ann)
	w.must(err)
	if len(list) != 0 {
		t.Errorf("the failed submission left %d drafts", len(list))
	}
}

func TestScheduleAndCancel(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Text: "x"}, SendAt: w.clock().Add(time.Hour)})
	due, wait, err := w.svc.due(w.ctx, &busy{})
	if err != nil || len(due) != 0 || wait > time.Hour || wait < 59*time.Minute {
		t.Errorf("due: %d, wait %s, %v", len(due), wait, err)
	}
	if s, err = w.svc.Cancel(w.ctx, s.ID); err != nil || s.State != store.SubmissionCancelled {
		t.Errorf("cancelled: %+v, %v", s, err)
	}
	w.advance(s.ID)
	if n := len(w.cloud.Sent()); n != 0 {
		t.Errorf("a cancelled submission was sent %d times", n)
	}
	now := w.submit(Input{Message: Message{Text: "x"}})
	w.advance(now.ID)
	if _, err := w.svc.Cancel(w.ctx, now.ID); mail.KindOf(err) != mail.KindConflict {
		t.Errorf("cancelling what was sent: %v", err)
	}
	if _, err := w.svc.Cancel(w.ctx, "snone"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("cancelling nothing: %v", err)
	}
}

func TestReplyAndForward(t *testing.T) {
	w := newWorld(t)
	parent := []byte("From: bob@example.com\r\nMessage-ID: <parent@example.org>\r\nReferences: <root@example.org>\r\nSubject: parent\r\n\r\nold\r\n")
	w.raw["mparent"] = parent
	reply := w.submit(Input{Message: Message{Subject: "Re: parent", Text: "yes", InReplyTo: "mparent"}})
	w.advance(reply.ID)
	forward := w.submit(Input{Message: Message{Subject: "Fwd: parent", Text: "see", Forward: "mparent"}})
	w.advance(forward.ID)
	sent := w.cloud.Sent()
	if len(sent) != 2 {
		t.Fatalf("%d messages sent", len(sent))
	}
	if !slices.Equal(sent[0].Recipients, []string{bob}) {
		t.Errorf("an answer without recipients went to %v, not to whom it should", sent[0].Recipients)
	}
	if want := []string{"mparent $answered", "mparent $forwarded"}; !slices.Equal(w.marked, want) {
		t.Errorf("marked %v, want %v", w.marked, want)
	}
	e, err := message.Read(bytes.NewReader(sent[0].Raw))
	w.must(err)
	h := gomail.Header{Header: e.Header}
	if refs, _ := h.MsgIDList("References"); !slices.Equal(refs, []string{"root@example.org", "parent@example.org"}) {
		t.Errorf("references: %v", refs)
	}
	if !bytes.Contains(sent[1].Raw, parent) {
		t.Error("the forwarded message is not attached as it is")
	}
}

func TestRawSubmission(t *testing.T) {
	w := newWorld(t)
	body := "line one\r\n\tline two \r\n"
	raw := "To: Bob <bob@example.com>\r\nBcc: eve@example.net\r\nSubject: as it is\r\nX-Odd:   kept  \r\n\r\n" + body
	s := w.submit(Input{Raw: []byte(raw)})
	w.advance(s.ID)
	sent := w.cloud.Sent()
	if len(sent) != 1 || !slices.Equal(sent[0].Recipients, []string{bob, "eve@example.net"}) {
		t.Fatalf("sent: %+v", sent)
	}
	got := string(sent[0].Raw)
	if strings.Contains(got, "eve@") || !strings.HasSuffix(got, "\r\n\r\n"+body) || !strings.Contains(got, "X-Odd:   kept  \r\n") || !strings.Contains(got, "From: ") {
		t.Errorf("sent raw:\n%s", got)
	}
}

// TestRawToOthers: recipients that are given stand in place of the message's
// own.
func TestRawToOthers(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Cc: []mail.Address{{Email: bob}}}, Raw: []byte("To: eve@example.net\r\nSubject: as it is\r\n\r\nhi\r\n")})
	w.advance(s.ID)
	if sent := w.cloud.Sent(); len(sent) != 1 || !slices.Equal(sent[0].Recipients, []string{bob}) {
		t.Errorf("sent: %+v", sent)
	}
}

func TestInheritedSubjects(t *testing.T) {
	for _, c := range []struct{ own, prefix, parent, want string }{
		{"", "Re: ", "lunch", "Re: lunch"},
		{"", "Re: ", "RE: lunch", "RE: lunch"},
		{"", "Re: ", "", "Re: "},
		{"", "Fwd: ", "Re: lunch", "Fwd: Re: lunch"},
		{"", "Fwd: ", "fwd: lunch", "fwd: lunch"},
		{"dinner", "Re: ", "lunch", "dinner"},
	} {
		b := &builder{msg: Message{Subject: c.own}}
		if b.inherit(c.prefix, c.parent); b.msg.Subject != c.want {
			t.Errorf("%+v: %q", c, b.msg.Subject)
		}
	}
}

func TestBadSubmissions(t *testing.T) {
	w := newWorld(t)
	for name, in := range map[string]Input{
		"no recipient":    {Message: Message{Text: "x"}},
		"bad address":     {Message: Message{To: []mail.Address{{Email: "nobody"}}}},
		"header injected": {Message: Message{To: []mail.Address{{Email: "a@b.example\r\nX: y"}}}},
		"raw without end": {Raw: []byte("To: a@b.example")},
		"raw to nobody":   {Raw: []byte("Subject: x\r\n\r\n")},
		"both":            {Message: Message{To: []mail.Address{{Email: bob}}, InReplyTo: "a", Forward: "b"}},
	} {
		in.Account = "account-1"
		if _, err := w.svc.Submit(w.ctx, in); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.svc.Submit(w.ctx, Input{Account: "a-none"}); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("unknown account: %v", err)
	}
	many := make([]mail.Address, MaxRecipients+1)
	for i := range many {
		many[i].Email = fmt.Sprintf("u%d@example.org", i)
	}
	if _, err := w.svc.Submit(w.ctx, Input{Account: "account-1", Message: Message{To: many}}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("too many recipients: %v", err)
	}
	_, err := w.svc.Submit(w.ctx, Input{Account: "account-1", Message: Message{To: []mail.Address{{Email: bob}},
		Attachments: []Attachment{{Name: "big", Content: make([]byte, 60<<20)}}}})
	info, _ := w.plugin.Describe(w.ctx)
	if info.Limits.MaxMessageBytes > 0 && mail.KindOf(err) != mail.KindTooLarge {
		t.Errorf("too large: %v", err)
	}
}
