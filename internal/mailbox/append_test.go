package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

func letter(subject string) []byte {
	return fmt.Appendf(nil, "From: %s\r\nTo: bob@example.org\r\nSubject: %s\r\nDate: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%s@example.com>\r\n\r\nWords.\r\n",
		ann, subject, strings.ReplaceAll(subject, " ", "."))
}

func (w *world) append(mailbox string, raw []byte, keywords ...string) (*store.Message, error) {
	in := AppendInput{Account: w.account, Mailbox: w.box(mailbox), Keywords: keywords, Date: day}
	return w.svc.Append(w.ctx, in, bytes.NewReader(raw), int64(len(raw)))
}

var day = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// count is how many messages the provider has in a mailbox.
func (w *world) count(mailbox string) int {
	w.t.Helper()
	list, err := w.cloud.Messages(ann)
	w.must(err)
	n := 0
	for _, m := range list {
		if slices.Contains(m.Mailboxes, mailbox) {
			n++
		}
	}
	return n
}

// raw reads a message's bytes by what we serve.
func (w *world) served(id string) []byte {
	w.t.Helper()
	blob, _, err := w.svc.Raw(w.ctx, id)
	w.must(err)
	defer blob.Close()
	b, err := io.ReadAll(blob)
	w.must(err)
	return b
}

// changesBytes is a provider that keeps less than it was given.
type changesBytes struct{ *memory.Provider }

func (p changesBytes) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	b, err := io.ReadAll(raw)
	if err != nil {
		return nil, err
	}
	b = append([]byte("X-Stored: yes\r\n"), b...)
	r := *req
	r.Size = int64(len(b))
	return p.Provider.Append(ctx, &r, bytes.NewReader(b))
}

func TestAppend(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		for _, changes := range []bool{false, true} {
			opts.Keywords = []string{mail.Seen, mail.Flagged}
			w := newWorld(t, opts)
			if changes {
				w.front = func(p provider.Provider) provider.Provider { return changesBytes{p.(*memory.Provider)} }
			}
			w.rounds()
			before := w.last()
			given := letter("appended")
			m, err := w.append("archive", given, mail.Seen, mail.Answered, "Work")
			w.must(err)
			want, err := w.cloud.Raw(ann, m.ProviderID)
			w.must(err)
			if changes == bytes.Equal(want, given) {
				t.Fatal("the provider keeps other bytes than the test wants")
			}
			if m.Blob == "" || m.Size != int64(len(want)) || !bytes.Equal(w.served(m.ID), want) {
				t.Errorf("told %d bytes, the provider has %d", m.Size, len(want))
			}
			if !slices.Equal(m.In, w.at("archive")) || m.UIDs[w.box("archive")] == 0 || !m.ReceivedAt.Equal(day) {
				t.Errorf("in %v with UIDs %v, received at %v", m.In, m.UIDs, m.ReceivedAt)
			}
			if !slices.Equal(m.Keywords, []string{mail.Seen}) || !slices.Equal(m.Local, []string{mail.Answered, "work"}) {
				t.Errorf("the provider holds %v, we keep %v", m.Keywords, m.Local)
			}
			if rows := w.rows("archive"); len(rows) != 1 || rows[0].Size != m.Size || !rows[0].Date.Equal(day) || len(rows[0].Keywords) != 3 {
				t.Errorf("rows %+v", rows)
			}
			if n := len(w.eventsAfter(before)); n != 1 {
				t.Errorf("%d events tell of it", n)
			}
			w.rounds()
			if n := len(w.eventsAfter(before)); n != 1 {
				t.Errorf("after a round %d events tell of it", n)
			}
		}
	})
}

func TestAppendRefused(t *testing.T) {
	opts := folders()
	opts.MaxMessageBytes = 1000
	w := newWorld(t, opts)
	w.rounds()
	for what, c := range map[string]struct {
		in   AppendInput
		raw  []byte
		size int64
		want mail.Kind
	}{
		"too large":     {AppendInput{Account: w.account, Mailbox: w.box("inbox")}, make([]byte, 1001), 1001, mail.KindTooLarge},
		"no mailbox":    {AppendInput{Account: w.account, Mailbox: "fnone"}, letter("a"), int64(len(letter("a"))), mail.KindNotFound},
		"no account":    {AppendInput{Account: "anone", Mailbox: w.box("inbox")}, letter("a"), int64(len(letter("a"))), mail.KindNotFound},
		"a bad keyword": {AppendInput{Account: w.account, Mailbox: w.box("inbox"), Keywords: []string{"a b"}}, letter("a"), int64(len(letter("a"))), mail.KindInvalid},
		"broken off":    {AppendInput{Account: w.account, Mailbox: w.box("inbox")}, []byte("From"), 900, mail.KindInvalid},
	} {
		for _, seeks := range []bool{true, false} {
			var r io.Reader = bytes.NewReader(c.raw)
			if !seeks {
				r = io.MultiReader(r)
			}
			if _, err := w.svc.Append(w.ctx, c.in, r, c.size); mail.KindOf(err) != c.want {
				t.Errorf("%s, seeks %t: %v", what, seeks, err)
			}
		}
	}
	if n := w.count("inbox"); n != 0 {
		t.Errorf("the provider has %d messages", n)
	}
}

// TestAppendOfAnySource: what cannot be read twice is kept meanwhile.
func TestAppendOfAnySource(t *testing.T) {
	w := newWorld(t, folders())
	w.rounds()
	for _, size := range []int{100, inMemory, inMemory + 1} {
		raw := append(letter(fmt.Sprint("size ", size)), bytes.Repeat([]byte("x"), size)...)
		w.cloud.FailNext("append", mail.KindOutcomeUnknown) // so that it is read twice
		m, err := w.svc.Append(w.ctx, AppendInput{Account: w.account, Mailbox: w.box("inbox")}, io.MultiReader(bytes.NewReader(raw)), int64(len(raw)))
		w.must(err)
		if !bytes.Equal(w.served(m.ID), raw) {
			t.Errorf("%d bytes: others came back", len(raw))
		}
	}
	if n := w.count("inbox"); n != 3 {
		t.Errorf("the provider has %d messages, want 3", n)
	}
}

// losesCaller stores a message whose caller leaves meanwhile.
type losesCaller struct {
	*memory.Provider
	leave context.CancelFunc
	// answers says that the answer still comes.
	answers bool
}

func (p losesCaller) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	resp, err := p.Provider.Append(ctx, req, raw)
	if err != nil {
		return nil, err
	}
	p.leave()
	if p.answers {
		return resp, nil
	}
	return nil, mail.Errorf(mail.KindUnavailable, "append", "the caller gave up")
}

// TestAppendIsStoredOnce though its outcome was open, within the call and over
// a second try of the mail program's.
func TestAppendIsStoredOnce(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.rounds()
		w.cloud.FailNext("append", mail.KindOutcomeUnknown)
		_, err := w.append("archive", letter("a"))
		w.must(err)
		if n := w.count("archive"); n != 1 {
			t.Fatalf("stored %d times", n)
		}
		for range appendTries {
			w.cloud.FailNext("append", mail.KindOutcomeUnknown)
		}
		if _, err := w.append("archive", letter("b")); mail.KindOf(err) != mail.KindOutcomeUnknown {
			t.Fatalf("an open outcome is told as %v", err)
		}
		m, err := w.append("archive", letter("b"))
		w.must(err)
		if n := w.count("archive"); n != 2 || m.Subject != "b" {
			t.Errorf("stored %d messages, want 2", n)
		}
		// Once that is settled the same bytes are another message.
		if _, err := w.append("archive", letter("b")); err != nil || w.count("archive") != 3 {
			t.Errorf("the same bytes on purpose: %v, %d messages", err, w.count("archive"))
		}
		// A caller who left does not know either, whatever the provider said.
		for i, answers := range []bool{false, true} {
			ctx, cancel := context.WithCancel(w.ctx)
			w.front = func(p provider.Provider) provider.Provider { return losesCaller{p.(*memory.Provider), cancel, answers} }
			in := AppendInput{Account: w.account, Mailbox: w.box("archive")}
			raw := letter(fmt.Sprint("c", i))
			if _, err := w.svc.Append(ctx, in, bytes.NewReader(raw), int64(len(raw))); (err == nil) != answers {
				t.Errorf("a caller who left was told %v", err)
			}
			w.front = nil
			m, err := w.svc.Append(w.ctx, in, bytes.NewReader(raw), int64(len(raw)))
			w.must(err)
			if n := w.count("archive"); n != 4+i || !bytes.Equal(w.served(m.ID), raw) || m.UIDs[w.box("archive")] == 0 {
				t.Errorf("%d messages, want %d; UIDs %v", n, 4+i, m.UIDs)
			}
		}
		w.rounds()
		w.inStep()
	})
}

// TestAppendThatCannotBeReadBack is stored, and is not said to have bytes.
func TestAppendThatCannotBeReadBack(t *testing.T) {
	w := newWorld(t, folders())
	w.rounds()
	w.cloud.FailNext("fetch", mail.KindUnavailable)
	m, err := w.append("archive", letter("a"))
	w.must(err)
	if m.Blob != "" || m.UIDs[w.box("archive")] == 0 {
		t.Errorf("blob %q, UIDs %v", m.Blob, m.UIDs)
	}
	uid := m.UIDs[w.box("archive")]
	if !bytes.Equal(w.served(m.ID), letter("a")) || w.uidIn(m.ProviderID, "archive") != uid {
		t.Error("reading it later gives other bytes, or another UID")
	}
}

// TestAppendBeforeTheListIsThere: the mailbox's messages have no UIDs yet, and
// this one has.
func TestAppendBeforeTheListIsThere(t *testing.T) {
	w := newWorld(t, folders())
	old := w.deliver("old", memory.Delivery{Mailbox: "archive"})
	acct, err := w.svc.account(w.ctx, w.account)
	w.must(err)
	_, _, err = w.svc.syncMailboxes(w.ctx, acct, w.plugin)
	w.must(err)
	m, err := w.append("archive", letter("a"))
	w.must(err)
	if m.UIDs[w.box("archive")] != 1 {
		t.Fatalf("UIDs %v", m.UIDs)
	}
	w.rounds()
	if w.uidIn(m.ProviderID, "archive") != 1 || w.uidIn(old, "archive") != 2 {
		t.Errorf("UIDs %d and %d", w.uidIn(m.ProviderID, "archive"), w.uidIn(old, "archive"))
	}
	w.inStep()
}

// TestDraftIsEdited as mail programs do: the new one is appended, then the old
// one expunged. At no time is there none.
func TestDraftIsEdited(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.rounds()
		last, err := w.append("drafts", letter("version 0"), mail.Draft, mail.Seen)
		w.must(err)
		for i := 1; i < 4; i++ {
			next, err := w.append("drafts", letter(fmt.Sprint("version ", i)), mail.Draft, mail.Seen)
			w.must(err)
			w.must(w.svc.SetDeleted(w.ctx, w.box("drafts"), []uint32{last.UIDs[w.box("drafts")]}, true))
			if i == 2 { // the provider fails in the middle
				w.cloud.FailNext("delete", mail.KindUnavailable)
				rs, err := w.svc.Expunge(w.ctx, w.box("drafts"), []string{last.ID})
				w.must(err)
				if rs[0].Err == nil || w.count("drafts") != 2 {
					t.Errorf("%v, %d drafts", rs[0].Err, w.count("drafts"))
				}
			}
			w.one(w.svc.Expunge(w.ctx, w.box("drafts"), []string{last.ID}))
			rows := w.rows("drafts")
			if w.count("drafts") != 1 || len(rows) != 1 || rows[0].Message != next.ID || rows[0].UID <= last.UIDs[w.box("drafts")] {
				t.Fatalf("version %d: %d drafts, rows %+v", i, w.count("drafts"), rows)
			}
			last = next
		}
		if w.count("trash") != 3 {
			t.Errorf("%d versions are in the trash", w.count("trash"))
		}
		w.rounds()
		w.inStep()
	})
}
