package submission

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// inbox keeps reports, and fails as often as it is told to.
type inbox struct {
	mu    sync.Mutex
	fails []error
	tried int
	got   map[string]string
}

func (b *inbox) Deliver(_ context.Context, _, operation string, _ time.Time, raw io.Reader, size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried++
	if len(b.fails) > 0 {
		err := b.fails[0]
		b.fails = b.fails[1:]
		return err
	}
	all, err := io.ReadAll(raw)
	if err != nil || int64(len(all)) != size {
		return fmt.Errorf("%d bytes of %d: %w", len(all), size, err)
	}
	if b.got == nil {
		b.got = map[string]string{}
	}
	b.got[operation] = string(all)
	return nil
}

func letterOf(raw string, wait time.Duration, to ...Recipient) Letter {
	if to == nil {
		to = []Recipient{{Address: bob}}
	}
	return Letter{Account: "account-1", From: ann, Recipients: to, Raw: strings.NewReader(raw), Size: int64(len(raw)), Digest: sha256.Sum256([]byte(raw)), Wait: wait}
}

func numbered(i int) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: s%d\r\nMessage-ID: <n%d@client.example>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\nx\r\n", ann, bob, i, i)
}

func (w *world) take(l Letter) *store.Submission {
	w.t.Helper()
	s, err := w.svc.Take(w.ctx, l)
	w.must(err)
	return s
}

// TestToldOnce: of what is refused, however close to the end of the waiting, its
// sender hears exactly once: by the answer, or by a report.
func TestToldOnce(t *testing.T) {
	w := newWorld(t)
	box := &inbox{}
	w.svc.opts.Inbox = box
	const n = 100
	// While one is refused somebody's waiting ends.
	hurry := make([]chan struct{}, n)
	for i := range hurry {
		hurry[i] = make(chan struct{})
	}
	refuse := &mail.Error{Kind: mail.KindForbidden, Op: "prepare", Message: "no"}
	var next atomic.Int64
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb != "prepare" {
			return nil
		}
		if i := next.Add(1) - 1; i < n {
			close(hurry[i])
		}
		return refuse
	})
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	taken := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			l := letterOf(numbered(i), time.Minute)
			l.Hurry = hurry[i]
			s, err := w.svc.Take(w.ctx, l)
			switch {
			case err == nil:
				taken[i] = s.ID
			case mail.KindOf(err) != mail.KindForbidden:
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	reader := w.bus.Listen(nil)
	for len(w.events()) < n {
		<-reader.C
	}
	stop()
	w.must(<-done)
	for id := range box.got {
		if !slices.Contains(taken, strings.TrimPrefix(id, "report-")) {
			t.Errorf("%s was told in the answer, and is reported", id)
		}
	}
	taken = slices.DeleteFunc(taken, func(id string) bool { return id == "" })
	for _, id := range taken {
		if box.got["report-"+id] == "" {
			t.Errorf("%s was answered by 250, failed, and is not reported", id)
		}
	}
	t.Logf("%d told, %d reported", n-len(taken), len(taken))
}

// TestReportIsTriedAgain: a report that cannot be delivered now is delivered
// later, also by another process, and the bytes stay until then.
func TestReportIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	box := &inbox{fails: []error{&mail.Error{Kind: mail.KindUnavailable, Message: "away"}, errors.New("broken")}}
	w.svc.opts.Inbox = box
	s := w.take(letterOf(numbered(1), 0))
	w.cloud.FailNext("send", mail.KindForbidden)
	w.advance(s.ID)
	if s = w.submission(s.ID); s.State != store.SubmissionFailed || s.Report.State != store.ReportDue || !s.Waits() || !s.NextAt.After(w.clock()) {
		t.Fatalf("after the first try: %+v %+v", s, s.Report)
	}
	if _, err := w.store.Blobs().Open(w.ctx, s.Account, s.Blob); err != nil {
		t.Errorf("its bytes: %v", err)
	}
	w.svc = w.service()
	w.svc.opts.Inbox = box
	w.advance(s.ID)
	w.advance(s.ID)
	if s = w.submission(s.ID); s.Report.State != store.ReportDone || s.Waits() || box.tried != 3 {
		t.Errorf("in the end, after %d: %+v %+v", box.tried, s, s.Report)
	}
	got := box.got["report-"+s.ID]
	if !strings.Contains(got, "Final-Recipient: rfc822; "+bob) || !strings.Contains(got, numbered(1)) {
		t.Errorf("the report:\n%s", got)
	}
	if _, err := w.store.Blobs().Open(w.ctx, s.Account, s.Blob); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its bytes stay: %v", err)
	}
	if got := w.events(); !slices.Equal(got, []event.Type{event.SubmissionFailed}) {
		t.Errorf("events: %v", got)
	}
}

// TestReportReturnsAllOfALargeMessage: it may be the only copy; where it is too
// large for the inbox its header is returned.
func TestReportReturnsAllOfALargeMessage(t *testing.T) {
	raw := numbered(1) + strings.Repeat("All of this was written by somebody.\r\n", 60_000)
	for name, tt := range map[string]struct {
		fails []error
		want  string
		bytes int
	}{
		"all of it":  {nil, "Content-Type: message/rfc822", len(raw)},
		"its header": {[]error{&mail.Error{Kind: mail.KindTooLarge, Message: "no"}}, "Content-Type: text/rfc822-headers", 100},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			box := &inbox{fails: tt.fails}
			w.svc.opts.Inbox = box
			s := w.take(letterOf(raw, 0))
			w.cloud.FailNext("send", mail.KindForbidden)
			w.advance(s.ID)
			got := box.got["report-"+s.ID]
			if s = w.submission(s.ID); s.Report.State != store.ReportDone || !strings.Contains(got, tt.want) || !strings.Contains(got, "Subject: s1") || len(got) < tt.bytes || len(got) > tt.bytes+4096 {
				t.Errorf("a report of %d bytes: %.2000s", len(got), got)
			}
		})
	}
}

// TestReportIsGivenUp: one that cannot be delivered for days is left.
func TestReportIsGivenUp(t *testing.T) {
	w := newWorld(t)
	away := &mail.Error{Kind: mail.KindUnavailable, Message: "away"}
	box := &inbox{fails: []error{away, away, away}}
	w.svc.opts.Inbox = box
	s := w.take(letterOf(numbered(1), 0))
	w.cloud.FailNext("send", mail.KindForbidden)
	w.advance(s.ID)
	w.mu.Lock()
	w.now = w.now.Add(reportFor)
	w.mu.Unlock()
	w.advance(s.ID)
	if s = w.submission(s.ID); s.Report.State != store.ReportLeft || s.Waits() {
		t.Errorf("%+v %+v", s, s.Report)
	}
}

// TestReportOfSuccess: who wants to know that the provider has taken it is told
// so, of the recipients for whom that was asked.
func TestReportOfSuccess(t *testing.T) {
	w := newWorld(t)
	box := &inbox{}
	w.svc.opts.Inbox = box
	l := letterOf(numbered(1), 0, Recipient{Address: bob, Success: true, Original: "rfc822;b@x"}, Recipient{Address: "eve@example.net"}, Recipient{Address: "never@example.net", Never: true})
	l.EnvelopeID = "env 1"
	s := w.take(l)
	w.advance(s.ID)
	got := box.got["report-"+s.ID]
	for _, want := range []string{"Action: relayed", "Status: 2.0.0", "Final-Recipient: rfc822; " + bob, "Original-Recipient: rfc822;b@x", "Original-Envelope-Id: env+201", "text/rfc822-headers", "Subject: Sent: s1"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "Final-Recipient: rfc822; eve") || strings.Contains(got, "never@") || len(w.cloud.Sent()) != 1 {
		t.Errorf("the report:\n%s", got)
	}
}

// TestReportKeepsItsForm: words from outside do not get out of their fields.
func TestReportKeepsItsForm(t *testing.T) {
	w := newWorld(t)
	sub := &store.Submission{ID: "s1", State: store.SubmissionFailed, Subject: "a\r\nBcc: eve@example.net", Error: "forbidden: no\r\n--report-s1--\r\n", MessageID: "x\r\ny",
		Recipients: []string{bob}, Report: &store.Report{EnvelopeID: "a\r\nb+", Recipients: []store.ReportRecipient{{Address: "b\r\n@x", Original: "rfc822;\r\nc", Failure: true}}}}
	head, _ := w.svc.reportText(&store.Account{Address: ann}, sub, "message/rfc822")
	for _, line := range strings.Split(head, "\r\n") {
		if strings.HasPrefix(line, "Bcc:") || line == "--report-s1--" || line == "y" || line == "@x" || line == "c" || line == "b" {
			t.Errorf("%q is a line of:\n%s", line, head)
		}
	}
	if strings.Count(head, "\r\n--report-s1\r\n") != 3 {
		t.Errorf("the parts of:\n%s", head)
	}
}

// TestReportHasShortLines: no line of a report is longer than RFC 5322, 2.1.1,
// lets it be, whatever the words are.
func TestReportHasShortLines(t *testing.T) {
	w := newWorld(t)
	sub := &store.Submission{ID: "s1", State: store.SubmissionFailed, Subject: strings.Repeat("日本語", 300), Error: "forbidden: " + strings.Repeat("日", 200),
		Recipients: []string{bob}, Report: &store.Report{Recipients: []store.ReportRecipient{{Address: bob, Failure: true}}}}
	head, _ := w.svc.reportText(&store.Account{Address: ann}, sub, "message/rfc822")
	for _, line := range strings.Split(head, "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes: %.60s...", len(line), line)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(head))
	if err != nil {
		t.Fatal(err)
	}
	var d mime.WordDecoder
	if got, err := d.DecodeHeader(m.Header.Get("Subject")); err != nil || got != "Not sent: "+strings.Repeat("日本語", 70)[:3*190]+"…" {
		t.Errorf("the subject is %q, %v", got, err)
	}
}

// TestRemovesNoCopyOnDoubt: a program's copy stays where the provider's is not
// known.
func TestRemovesNoCopyOnDoubt(t *testing.T) {
	w := newWorld(t)
	var gone removed
	w.svc.opts.Copies = &gone
	for _, known := range []string{"", "m-sent"} {
		w.svc.Appended("account-1", "id@x", "m-early", 10)
		w.svc.removeEarly(w.ctx, &store.Submission{Account: "account-1", GivenMessageID: "id@x", SentMessageID: known, Size: 10, CreatedAt: w.svc.now()})
		if want := known != ""; (len(gone) > 0) != want {
			t.Errorf("with the provider's copy %q: removed %q", known, gone)
		}
	}
}

type removed []string

func (r *removed) RemoveCopy(_ context.Context, _, message string) error {
	*r = append(*r, message)
	return nil
}

// TestLetterKeyLife: the same letter is another one when a day has passed.
func TestLetterKeyLife(t *testing.T) {
	w := newWorld(t)
	first := w.take(letterOf(numbered(1), 0))
	if again := w.take(letterOf(numbered(1), 0)); again.ID != first.ID {
		t.Error("the same letter is another one at once")
	}
	w.mu.Lock()
	w.now = w.now.Add(24 * time.Hour)
	w.mu.Unlock()
	if again := w.take(letterOf(numbered(1), 0)); again.ID == first.ID {
		t.Error("the same letter is still the same when a day has passed")
	}
}

// TestSentWaits: a copy is known once it is sent, and its waiting does not keep
// the sender from being told.
func TestSentWaits(t *testing.T) {
	w := newWorld(t)
	box := &inbox{}
	w.svc.opts.Inbox, w.svc.opts.SentWait = box, time.Minute
	failing, sending := w.take(letterOf(numbered(1), 0)), w.take(letterOf(numbered(2), 0))
	type answer struct {
		message string
		ok      bool
	}
	got := make([]answer, 2)
	var wg sync.WaitGroup
	for i, id := range []string{"n1@client.example", "n2@client.example"} {
		wg.Go(func() {
			m, ok, err := w.svc.Sent(w.ctx, "account-1", id, 100)
			if err != nil {
				t.Error(err)
			}
			got[i] = answer{m, ok}
		})
	}
	for _, id := range []string{failing.ID, sending.ID} {
		for w.svc.verdicts.count(id) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	w.cloud.FailNext("prepare", mail.KindForbidden)
	w.advance(failing.ID)
	w.advance(sending.ID)
	wg.Wait()
	if want := []answer{{"", false}, {w.submission(sending.ID).SentMessageID, true}}; !slices.Equal(got, want) || want[1].message == "" {
		t.Errorf("%+v, want %+v", got, want)
	}
	if box.got["report-"+failing.ID] == "" {
		t.Error("nobody was told of the one that failed")
	}
	// What takes too long is there, and not known yet.
	w.svc.opts.SentWait = time.Millisecond
	w.take(letterOf(numbered(3), 0))
	if m, ok, err := w.svc.Sent(w.ctx, "account-1", "n3@client.example", 100); m != "" || !ok || err != nil {
		t.Errorf("%q, %v, %v", m, ok, err)
	}
}

// count is how many wait for a submission.
func (v *verdicts) count(id string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.of[id])
}
