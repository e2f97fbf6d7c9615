package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// watchedMirror notes what FETCH asks of the mirror, and may refuse it.
type watchedMirror struct {
	fetchMirror
	mu       sync.Mutex
	hydrated [][]string
	read     [][]string
	refuse   map[string]error
	before   func(ctx context.Context)
}

func (m *watchedMirror) Hydrate(ctx context.Context, ids []string) error {
	m.mu.Lock()
	m.hydrated = append(m.hydrated, ids)
	m.mu.Unlock()
	if m.before != nil {
		m.before(ctx)
	}
	var first error
	for _, id := range ids {
		err := m.refuse[id]
		if err == nil {
			err = m.fetchMirror.Hydrate(ctx, []string{id})
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (m *watchedMirror) Update(ctx context.Context, ids []string, ch mailbox.Change) ([]mailbox.Result, error) {
	m.mu.Lock()
	m.read = append(m.read, ids)
	m.mu.Unlock()
	return m.fetchMirror.Update(ctx, ids, ch)
}

// watched runs a FETCH with a mirror that is looked at.
func (w *fetchWorld) watched(m *watchedMirror, items string, change func(*fetcher)) (map[int]map[string]string, *Tagged) {
	w.t.Helper()
	m.fetchMirror = w.mirror
	var out bytes.Buffer
	to := wire.NewWriter(&out)
	f := w.fetcher(to, items, false)
	f.mirror = m
	if change != nil {
		change(f)
	}
	w.must(f.run(w.t.Context(), slices.Values(w.messages())))
	w.must(to.Flush())
	answers, err := readFetch(out.Bytes())
	w.must(err)
	return answers, f.answer()
}

func (w *fetchWorld) fill(n int) {
	w.t.Helper()
	for i := range n {
		w.deliver(fmt.Appendf(nil, "From: Bob <bob@example.org>\r\nTo: ann@example.com\r\nSubject: number %d\r\nMessage-ID: <%d@example.org>\r\n\r\nThis is number %d.\r\n", i+1, i+1, i+1))
	}
	w.sync()
}

// Of messages whose bytes are not here, what metadata tell is told without
// them; everything else brings them, in batches.
func TestFetchBeforeTheBytes(t *testing.T) {
	w := newFetchWorld(t)
	w.fill(45)
	m := &watchedMirror{}
	answers, tagged := w.watched(m, "(UID FLAGS INTERNALDATE ENVELOPE)", nil)
	if tagged.Status != OK || len(answers) != 45 || len(m.hydrated) != 0 {
		t.Fatalf("%v, %d answers, brought %v", tagged, len(answers), m.hydrated)
	}
	if e := answers[7]["ENVELOPE"]; !strings.Contains(e, `"number 7"`) || !strings.Contains(e, `"bob" "example.org"`) {
		t.Errorf("the envelope from metadata is %s", e)
	}
	answers, tagged = w.watched(m, "(BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])", nil)
	if tagged.Status != OK || len(answers) != 45 {
		t.Fatalf("%v, %d answers", tagged, len(answers))
	}
	var sizes []int
	for _, ids := range m.hydrated {
		sizes = append(sizes, len(ids))
	}
	if d := cmp.Diff([]int{20, 20, 5}, sizes); d != "" {
		t.Errorf("batches: %s", d)
	}
	for seq, a := range answers {
		if a["RFC822.SIZE"] != strconv.Itoa(len(a["BODY[]"])) || !strings.HasSuffix(a["BODY[]"], fmt.Sprintf("This is number %d.\r\n", seq)) {
			t.Errorf("message %d: %v", seq, a)
		}
	}
	m.hydrated = nil
	if _, tagged = w.watched(m, "(BODYSTRUCTURE BODY.PEEK[])", nil); tagged.Status != OK || len(m.hydrated) != 0 {
		t.Errorf("what is here was brought again: %v", m.hydrated)
	}
}

// A message that cannot be brought is counted; the others are told, and the
// answer is NO.
func TestFetchTellsTheOthers(t *testing.T) {
	w := newFetchWorld(t)
	w.fill(30)
	all := w.messages()
	m := &watchedMirror{refuse: map[string]error{
		all[3].row.Message:  mail.Errorf(mail.KindThrottled, "fetch", "too many"),
		all[28].row.Message: mail.Errorf(mail.KindUnavailable, "fetch", "down"),
	}}
	answers, tagged := w.watched(m, "BODY.PEEK[]", nil)
	if tagged.Status != No || tagged.Code != "UNAVAILABLE" || !strings.HasPrefix(tagged.Text, "2 of the messages") {
		t.Errorf("the answer is %v", tagged)
	}
	if _, ok := answers[4]; ok || len(answers) != 28 {
		t.Errorf("%d messages are told: %v", len(answers), keys(answers))
	}
}

// A message that was expunged meanwhile is left out: NO for who named it by its
// number, OK for who named its UID.
func TestFetchOfExpunged(t *testing.T) {
	for _, items := range []string{"(BODYSTRUCTURE)", "(BODY.PEEK[])", "(ENVELOPE)", "(BODY.PEEK[HEADER.FIELDS (Subject)])"} {
		w := newFetchWorld(t)
		w.fill(3)
		before := w.messages()
		if strings.Contains(items, "PEEK") {
			w.hydrate()
		}
		w.must(w.store.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteMessage(before[1].row.Message, 1000) }))
		answers, tagged := w.fetch(items, before)
		if d := cmp.Diff([]int{1, 3}, keys(answers)); d != "" || tagged.Status != No || tagged.Code != "EXPUNGEISSUED" {
			t.Errorf("%s: %v, told %v", items, tagged, keys(answers))
		}
		f := w.fetcher(wire.NewWriter(io.Discard), items, true)
		w.must(f.run(t.Context(), slices.Values(before)))
		if tagged := f.answer(); tagged.Status != OK || tagged.Code != "EXPUNGEISSUED" {
			t.Errorf("UID FETCH %s: %v", items, tagged)
		}
	}
}

// What is read becomes \Seen at the provider, unless it was only looked at.
func TestFetchMarksRead(t *testing.T) {
	w := newFetchWorld(t)
	for i := range 5 {
		keywords := []string{}
		if i == 2 {
			keywords = append(keywords, mail.Seen)
		}
		w.deliver(fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i), keywords...)
	}
	w.sync()
	m := &watchedMirror{}
	for _, items := range []string{"BODY.PEEK[]", "(FLAGS ENVELOPE BODYSTRUCTURE)", "RFC822.HEADER", "BINARY.PEEK[1]", "BINARY.SIZE[1]"} {
		if _, tagged := w.watched(m, items, nil); tagged.Status != OK || len(m.read) != 0 {
			t.Fatalf("%s: %v, marked %v", items, tagged, m.read)
		}
	}
	if _, tagged := w.watched(m, "BODY[]", func(f *fetcher) { f.marks = false }); tagged.Status != OK || len(m.read) != 0 {
		t.Fatalf("EXAMINE: %v, marked %v", tagged, m.read)
	}
	if _, tagged := w.watched(m, "BODY[1]<0.1>", nil); tagged.Status != OK || len(m.read) != 1 || len(m.read[0]) != 4 {
		t.Fatalf("BODY[1]: %v, marked %v", tagged, m.read)
	}
	list, err := w.cloud.Messages(ann)
	w.must(err)
	for _, one := range list {
		if !one.HasKeyword(mail.Seen) {
			t.Errorf("%s is not seen at the provider", one.ProviderID)
		}
	}
	for _, row := range w.messages() {
		if !row.row.Has(mail.Seen) {
			t.Errorf("message %d is not seen here", row.seq)
		}
	}
}

// Bytes that were evicted are brought again, and are the same message only if
// they are the same bytes.
func TestFetchOfEvicted(t *testing.T) {
	w := newFetchWorld(t)
	w.fill(25)
	w.hydrate()
	_, err := w.store.Blobs().Trim(t.Context(), 0)
	w.must(err)
	m := &watchedMirror{}
	answers, tagged := w.watched(m, "(ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (Subject)] RFC822.SIZE)", nil)
	if tagged.Status != OK || len(answers) != 25 || len(m.hydrated) != 0 {
		t.Fatalf("metadata: %v, %d answers, brought %v", tagged, len(answers), m.hydrated)
	}
	answers, tagged = w.watched(m, "BODY.PEEK[]", nil)
	if tagged.Status != OK || len(answers) != 25 {
		t.Fatalf("bodies: %v, %d answers", tagged, len(answers))
	}
	for seq, a := range answers {
		if !strings.HasSuffix(a["BODY[]"], fmt.Sprintf("This is number %d.\r\n", seq)) {
			t.Errorf("message %d: %q", seq, a["BODY[]"])
		}
	}
}

// A client that leaves ends what is being fetched for it.
func TestFetchEndsWithTheClient(t *testing.T) {
	w := newFetchWorld(t)
	w.fill(50)
	ctx, leave := context.WithCancel(t.Context())
	m := &watchedMirror{fetchMirror: w.mirror}
	m.before = func(ctx context.Context) {
		leave()
		<-ctx.Done()
	}
	f := w.fetcher(wire.NewWriter(io.Discard), "BODY.PEEK[]", false)
	f.mirror = m
	if err := f.run(ctx, slices.Values(w.messages())); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if len(m.hydrated) != 1 {
		t.Errorf("%d batches were fetched for a client that left", len(m.hydrated))
	}
}

// A client that takes nothing ends the command with the error of its
// connection, while bodies are being opened ahead.
func TestFetchToNobody(t *testing.T) {
	w := newFetchWorld(t)
	for range 40 {
		w.deliver([]byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789", 2000)))
	}
	w.sync()
	w.hydrate()
	broken := errors.New("the connection is gone")
	f := w.fetcher(wire.NewWriter(writerFunc(func([]byte) (int, error) { return 0, broken })), "BODY.PEEK[]", false)
	if err := f.run(t.Context(), slices.Values(w.messages())); !errors.Is(err, broken) {
		t.Errorf("it ended with %v", err)
	}
}

// A client that leaves while bodies are being opened ahead, but whose connection
// goes on to take bytes, ends the command as well: what was not opened then never
// will be, and nobody waits for it.
func TestFetchEndsWithTheClientBetweenBodies(t *testing.T) {
	w := newFetchWorld(t)
	for range 40 {
		w.deliver([]byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789", 2000)))
	}
	w.sync()
	w.hydrate()
	for range 30 {
		ctx, leave := context.WithCancel(t.Context())
		f := w.fetcher(wire.NewWriter(writerFunc(func(p []byte) (int, error) {
			leave()
			return len(p), nil
		})), "BODY.PEEK[]", false)
		ended := make(chan error, 1)
		go func() { ended <- f.run(ctx, slices.Values(w.messages())) }()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it waits for bodies that nobody opens")
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Under a UID that is no longer the message's nothing of its new bytes is told:
// of a draft that was edited, or of a message whose size is another.
func TestFetchOfOtherBytes(t *testing.T) {
	for _, items := range []string{"(ENVELOPE)", "(BODYSTRUCTURE)", "(BODY.PEEK[])", "(BODY.PEEK[HEADER])", "(RFC822.SIZE BODY.PEEK[TEXT])"} {
		w := newFetchWorld(t)
		w.deliver([]byte("Subject: draft\r\n\r\nto be edited\r\n"), mail.Draft)
		w.deliver([]byte("Subject: letter\r\n\r\nas it was\r\n"))
		w.deliver([]byte("Subject: other\r\n\r\nas it is\r\n"))
		w.sync()
		w.hydrate()
		before := w.messages()
		before[1].row.Size++ // the box was told before the bytes changed
		w.must(w.store.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.RenewUIDs(before[0].row.Message, 1000), tx.RenewUIDs(before[1].row.Message, 1001))
		}))
		if items == "(BODY.PEEK[HEADER])" {
			before = slices.Delete(before, 1, 2) // a header does not know the size
		}
		answers, tagged := w.fetch(items, before)
		if d := cmp.Diff([]int{3}, keys(answers)); d != "" || tagged.Code != "EXPUNGEISSUED" {
			t.Errorf("%s: %v, told %v", items, tagged, answers)
		}
	}
}

// Who reads a body is told that it is \Seen now, before the command ends; who
// has only a look at the mailbox changes nothing.
func TestFetchTellsWhatIsSeen(t *testing.T) {
	w := newWorld(t, memory.Options{})
	for range 2 {
		w.deliver("inbox")
	}
	w.sync()
	c := w.client()
	_, err := c.s.Select(t.Context(), "INBOX", true)
	w.must(err)
	c.view = make([]seenMessage, 2)
	c.says("UID FETCH 1 (BODY[]<0.1>)", "* 1 FETCH (UID 1 BODY[]<0> {1}\nF)\nOK")
	c.open("INBOX")
	c.says("UID FETCH 1 (FLAGS BODY.PEEK[]<0.1>)", "* 1 FETCH (UID 1 FLAGS () BODY[]<0> {1}\nF)\nOK")
	c.says("UID FETCH 1 (BODY[]<0.1>)", "* 1 FETCH (UID 1 BODY[]<0> {1}\nF)\n* 1 FETCH (UID 1 FLAGS (\\Seen))\nOK")
	c.says("UID FETCH 1:2 (FLAGS)", "* 1 FETCH (UID 1 FLAGS (\\Seen))\n* 2 FETCH (UID 2 FLAGS ())\nOK")
	c.says("UID FETCH 7 (FLAGS)", "OK")
	c.says("FETCH 7 (FLAGS)", "BAD")
	c.says("FETCH 1 (FLAGS NONE)", "BAD")
}

// poisonStore is a store in which bytes of some length make whoever opens them
// panic.
type poisonStore struct {
	store.Store
	size int64
}

func (p poisonStore) Blobs() store.Blobs { return poisonBlobs{p.Store.Blobs(), p.size} }

type poisonBlobs struct {
	store.Blobs
	size int64
}

func (p poisonBlobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	b, err := p.Blobs.Open(ctx, account, digest)
	if err == nil && b.Size() == p.size {
		_ = b.Close()
		panic("of poison")
	}
	return b, err
}

// What panics while a body is opened is a failure of its message; the others
// are told, whether one body is opened or some ahead.
func TestFetchOfAPanic(t *testing.T) {
	for _, n := range []int{1, 20} {
		w := newFetchWorld(t)
		w.fill(n)
		w.deliver([]byte("Subject: poison\r\n\r\nof no other length than this\r\n"))
		w.sync()
		w.hydrate()
		all := w.messages()
		var log bytes.Buffer
		answers, tagged := w.watched(&watchedMirror{}, "BODY.PEEK[]", func(f *fetcher) {
			f.store = poisonStore{w.store, all[n].row.Size}
			f.log = slog.New(slog.NewTextHandler(&log, nil))
		})
		if tagged.Status != No || tagged.Code != "SERVERBUG" || len(answers) != n {
			t.Errorf("of %d: %v, %d told", n+1, tagged, len(answers))
		}
		if !strings.Contains(log.String(), "of poison") || !strings.Contains(log.String(), all[n].row.Message) {
			t.Errorf("logged %s", &log)
		}
	}
}
