package providertest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// largeMessage is what every provider must take, unless its limit is lower.
const largeMessage = 5 << 20

func appendCases() []Case {
	return []Case{
		{Name: "append/stores", Doc: "a message is stored with its keywords and date", Needs: needs(provider.CapAppend), test: appendStores},
		{Name: "append/exact", Doc: "appended bytes come back as they were", Needs: needs(provider.CapAppend, provider.CapExactBytes), test: appendExact},
		{Name: "append/repeat", Doc: "the same operation finds the message it made", Needs: needs(provider.CapAppend), test: appendRepeat},
		{Name: "append/large", Doc: "5 MiB go in and come out, or are too_large", Needs: needs(provider.CapAppend), test: appendLarge},
		{Name: "append/too-large", Doc: "more than Limits.MaxMessageBytes is too_large", Needs: needs(provider.CapAppend), test: appendTooLarge},
		{Name: "append/unknown-mailbox", Doc: "a mailbox that is gone is not_found", Needs: needs(provider.CapAppend), test: appendUnknown},
		{Name: "append/cut", Doc: "a message that breaks off is not stored", Needs: needs(provider.CapAppend), test: appendCut},
		{Name: "append/told", Doc: "an appended message is told by the feed", Needs: needs(provider.CapAppend), test: appendTold},
	}
}

// appendAt stores a letter with a date.
func (f *fixture) appendAt(mailbox string, l letter, at time.Time) mail.Message {
	f.Helper()
	resp, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: mailbox, Size: int64(len(l.raw)), ReceivedAt: at,
	}, bytes.NewReader(l.raw))
	f.must("append", err)
	return resp.Message
}

func appendStores(f *fixture) {
	l, mailbox := newLetter(f.w.Address()), f.elsewhere()
	words := f.words(1)
	at := time.Date(2023, 5, 6, 7, 8, 9, 0, time.UTC)
	resp, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: mailbox, Size: int64(len(l.raw)), ReceivedAt: at, Keywords: words,
	}, bytes.NewReader(l.raw))
	f.must("append", err)
	id := resp.Message.ProviderID
	if id == "" {
		f.Fatalf("append gives no id")
	}
	got := f.metadata(id)[id]
	f.same("subject", got.Subject, l.want.Subject)
	f.same("message-id", got.MessageID, l.want.MessageID)
	if !slices.Equal(f.besides(f.allMail(), got.Mailboxes), []string{mailbox}) {
		f.Errorf("the message is in %v, want %s", got.Mailboxes, mailbox)
	}
	f.hasKeywords(id, words, words...)
	// Some providers take no other date than that of the message itself.
	if !got.ReceivedAt.Equal(at) && !got.ReceivedAt.Equal(l.want.SentAt) {
		f.Errorf("received at %v, want %v, or %v as the message says", got.ReceivedAt, at, l.want.SentAt)
	}
	own := f.appendAt(mailbox, newLetter(f.w.Address()), l.want.SentAt).ProviderID
	if got := f.metadata(own)[own]; !got.ReceivedAt.Equal(l.want.SentAt) {
		f.Errorf("received at %v, want %v, which is the message's own date", got.ReceivedAt, l.want.SentAt)
	}
}

func appendExact(f *fixture) {
	l := newLetter(f.w.Address(), attached(300_000))
	id := f.append("", l).ProviderID
	if got := f.bytes(id)[id]; !bytes.Equal(got, l.raw) {
		f.Errorf("%d octets come back of %d, or others", len(got), len(l.raw))
	}
}

func appendRepeat(f *fixture) {
	l, mailbox := newLetter(f.w.Address()), f.elsewhere()
	req := &provider.AppendRequest{Call: f.call(), OperationID: token(), Mailbox: mailbox, Size: int64(len(l.raw))}
	var ids []string
	for range 3 {
		resp, err := f.p.Append(f.ctx, req, bytes.NewReader(l.raw))
		f.must("append", err)
		ids = append(ids, resp.Message.ProviderID)
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		f.Errorf("one operation made several messages")
	}
	f.onlyOne(mailbox, l)
}

// onlyOne checks that a mailbox holds a letter once.
func (f *fixture) onlyOne(mailbox string, l letter) {
	f.Helper()
	if n := f.count(mailbox, l); n != 1 {
		f.Errorf("the mailbox holds the message %d times, want once", n)
	}
}

func (f *fixture) count(mailbox string, l letter) int {
	f.Helper()
	n := 0
	for _, m := range f.metadata(f.listed(mailbox)...) {
		if m.MessageID == l.want.MessageID || m.Subject == l.want.Subject {
			n++
		}
	}
	return n
}

func appendLarge(f *fixture) {
	if limit := f.info.Limits.MaxMessageBytes; limit > 0 && limit < largeMessage+4096 {
		f.Skipf("the largest message has %d octets", limit)
	}
	l := newLetter(f.w.Address(), attached(largeMessage))
	resp, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: f.role(mail.RoleInbox).ID, Size: int64(len(l.raw)),
	}, bytes.NewReader(l.raw))
	if mail.KindOf(err) == mail.KindTooLarge {
		f.Skipf("the provider sends larger messages than it stores: %v", err)
	}
	f.must("append", err)
	id := resp.Message.ProviderID
	raw := f.bytes(id)[id]
	if len(raw) < largeMessage || f.info.Has(provider.CapExactBytes) && !bytes.Equal(raw, l.raw) {
		f.Errorf("%d octets come back of %d, or others", len(raw), len(l.raw))
	}
	if f.knows() {
		f.checkRaw(id)
	}
}

func appendTooLarge(f *fixture) {
	limit := f.info.Limits.MaxMessageBytes
	if limit == 0 || limit > 64<<20 {
		f.Skipf("no limit is known, or one too large to try")
	}
	l := newLetter(f.w.Address(), attached(0))
	body := io.MultiReader(bytes.NewReader(l.raw), io.LimitReader(lines{}, limit))
	_, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: f.role(mail.RoleInbox).ID, Size: int64(len(l.raw)) + limit,
	}, body)
	f.kind("append more than the limit", err, mail.KindTooLarge)
}

// lines is text without end.
type lines struct{}

func (lines) Read(b []byte) (int, error) {
	const line = "0123456789abcdef0123456789abcdef\r\n"
	n := copy(b, line)
	for n < len(b) {
		n += copy(b[n:], b[:n]) // twice as much each time, always from a line's begin
	}
	return n, nil
}

func appendUnknown(f *fixture) {
	l := newLetter(f.w.Address())
	_, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: f.goneMailbox(), Size: int64(len(l.raw)),
	}, bytes.NewReader(l.raw))
	f.kind("append to a mailbox that is gone", err, mail.KindNotFound, mail.KindInvalid)
}

// cutReader gives half of a letter, and then an error.
func cutReader(l letter) io.Reader {
	return io.MultiReader(bytes.NewReader(l.raw[:len(l.raw)/2]), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("providertest: the connection broke") }

func appendCut(f *fixture) {
	l, mailbox := newLetter(f.w.Address(), attached(100_000)), f.elsewhere()
	err, ended := f.within("append", func() error {
		_, err := f.p.Append(f.ctx, &provider.AppendRequest{
			Call: f.call(), OperationID: token(), Mailbox: mailbox, Size: int64(len(l.raw)),
		}, cutReader(l))
		return err
	})
	if !ended {
		return
	}
	if err == nil {
		f.Errorf("a message that broke off was accepted")
	}
	if n := f.count(mailbox, l); n != 0 {
		f.Errorf("a message that broke off is stored")
	}
}

func appendTold(f *fixture) {
	r, mailbox := f.follow(), f.elsewhere()
	id := f.append(mailbox, newLetter(f.w.Address())).ProviderID
	r.until("an appended message is told", func() bool { return r.in(id, mailbox) })
}
