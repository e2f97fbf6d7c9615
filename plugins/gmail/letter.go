package gmail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdmail "net/mail"
	"strings"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const (
	// uploadChunk is how much of a message one request of a resumable upload
	// carries, and up to which size a message is uploaded by one request. So
	// much of a message is held in memory.
	uploadChunk = 16 << 20
	// smallMessage is up to which size messages do not wait for each other.
	smallMessage = 1 << 20
	rfc822       = "message/rfc822"
)

// letter is a message on its way to Gmail. A large one is never in memory as a
// whole: its beginning is, which is enough to try the first request again and to
// read the header.
type letter struct {
	head   []byte
	fields []header.Field
	rest   io.Reader // nil where head is all of it
	size   int64     // 0: not known
	got    int64
	err    error // what reading it ended with, where that was not its end
	read   bool  // of rest
}

// readLetter reads the beginning of a message, or all of a small one. done must
// be called; few large ones are on their way at once.
func (c *call) readLetter(ctx context.Context, raw io.Reader, size, limit int64) (l *letter, done func(), err error) {
	done = func() {}
	if size > limit {
		return nil, done, c.tooLarge(limit)
	}
	if size == 0 || size > smallMessage {
		select {
		case c.p.large <- struct{}{}:
			done = func() { <-c.p.large }
		case <-ctx.Done():
			return nil, done, cancelled(c.op, ctx)
		}
	}
	l = &letter{size: size}
	fail := func(err error) (*letter, func(), error) {
		done()
		return nil, func() {}, err
	}
	room := int64(uploadChunk)
	if size > 0 {
		room = min(room, size)
	}
	head := bytes.NewBuffer(make([]byte, 0, room+1+bytes.MinRead)) // so that it need not grow
	_, err = io.Copy(head, io.LimitReader(raw, uploadChunk+1))
	l.head, l.got = head.Bytes(), int64(head.Len())
	switch {
	case err != nil:
		return fail(&mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message could not be read", Err: err})
	case len(l.head) == 0:
		return fail(&mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "the message is empty"})
	case l.got > uploadChunk:
		l.rest = &restReader{l: l, r: raw, limit: limit}
	case size > 0 && l.got != size:
		return fail(c.wrongSize(l.got, size))
	}
	l.fields, _ = header.Split(l.head)
	return l, done, nil
}

// letterOf is a message that is in memory.
func letterOf(raw []byte) *letter {
	l := &letter{head: raw, size: int64(len(raw)), got: int64(len(raw))}
	l.fields, _ = header.Split(raw)
	return l
}

func (c *call) tooLarge(limit int64) error {
	return &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Message: fmt.Sprintf("the message is larger than the %d bytes that Gmail takes", limit)}
}

func (c *call) wrongSize(got, want int64) error {
	return &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "size_mismatch", Message: fmt.Sprintf("the message has %d bytes, not %d", got, want)}
}

var (
	errLength = errors.New("the message has another length than announced")
	errLimit  = errors.New("the message is too large")
)

// restReader reads what comes after the head. It never ends with io.EOF before
// the message does, so that nothing cut off is stored.
type restReader struct {
	l     *letter
	r     io.Reader
	limit int64
}

func (r *restReader) Read(p []byte) (int, error) {
	l := r.l
	l.read = true
	if l.err != nil {
		return 0, l.err
	}
	n, err := r.r.Read(p)
	l.got += int64(n)
	switch {
	case l.got > r.limit:
		l.err = errLimit
	case l.size > 0 && l.got > l.size, err == io.EOF && l.size > 0 && l.got != l.size:
		l.err = errLength
	case err != nil && err != io.EOF:
		l.err = err
	}
	if l.err != nil {
		return 0, l.err
	}
	return n, err
}

// whole reports whether all of the message is in memory.
func (l *letter) whole() bool { return l.rest == nil }

// media gives the message from its beginning; not once more has been sent of it
// than can be read again.
func (l *letter) media() (io.Reader, error) {
	if l.whole() {
		return bytes.NewReader(l.head), nil
	}
	if l.read {
		return nil, errSpent
	}
	return io.MultiReader(bytes.NewReader(l.head), l.rest), nil
}

var errSpent = errors.New("the message cannot be read a second time")

// upload does a request that carries the message: in one piece, or in several
// where it is large ("Uploading attachments", Gmail API).
func (c *call) upload(ctx context.Context, m method, l *letter, do func(ctx context.Context, s *gmailapi.Service, media io.Reader, as ...googleapi.MediaOption) error) error {
	err := c.do(ctx, m, func(ctx context.Context, s *gmailapi.Service) error {
		media, err := l.media()
		if err != nil {
			return &mail.Error{Kind: mail.KindUnavailable, Message: "the upload broke off", Err: err}
		}
		// The client makes room for a chunk ahead, for a small message too.
		room := min(len(l.head)+1, uploadChunk)
		return do(ctx, s, media, googleapi.ContentType(rfc822), googleapi.ChunkSize(room))
	})
	switch {
	case err == nil || l.err == nil:
		return err
	case errors.Is(l.err, errLimit):
		return &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Message: "the message is larger than Gmail takes"}
	case errors.Is(l.err, errLength):
		return c.wrongSize(l.got, l.size)
	}
	// The upload was never ended, so nothing is stored.
	return &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message could not be read", Err: l.err}
}

// field gives the first field of a name.
func field(fields []header.Field, name string) string {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value()
		}
	}
	return ""
}

func (l *letter) messageID() string { return header.BareID(field(l.fields, "message-id")) }

// date is the Date field, zero where it cannot be read.
func (l *letter) date() time.Time {
	t, err := stdmail.ParseDate(field(l.fields, "date"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// sameContent reports whether Gmail's bytes of a draft are those that it was
// made of: Gmail writes fields of its own above the header, and may replace the
// Message-ID and end lines in its own way.
func sameContent(stored, made []byte) bool {
	a, b := contentOf(stored), contentOf(made)
	return a == b
}

func contentOf(raw []byte) string {
	fields, body := header.Split(raw)
	var out strings.Builder
	for _, name := range []string{"subject", "to", "cc", "bcc"} {
		fmt.Fprintf(&out, "%s\x00", strings.Join(strings.Fields(field(fields, name)), " "))
	}
	out.Write(bytes.TrimRight(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), "\n"))
	return out.String()
}

// idQuery is a search for a Message-ID; ok is false where the id is such that
// the search would be another one.
func idQuery(messageID string) (q string, ok bool) {
	if messageID == "" || len(messageID) > 900 || strings.ContainsAny(messageID, " \t\"(){}<>|") {
		return "", false
	}
	return "rfc822msgid:" + messageID, true
}

// search lists messages of a query, newest first, no more than a page. What is in
// Trash or Spam keeps its labels, and is found under them where hidden is set.
func (c *call) search(ctx context.Context, query, label string, hidden bool) ([]string, error) {
	var page *gmailapi.ListMessagesResponse
	err := c.do(ctx, messagesList, func(ctx context.Context, s *gmailapi.Service) (err error) {
		list := s.Users.Messages.List("me").Q(query).MaxResults(20).IncludeSpamTrash(hidden).Fields("messages/id,resultSizeEstimate")
		if label != "" {
			list.LabelIds(label)
		}
		page, err = list.Context(ctx).Do()
		return err
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range page.Messages {
		ids = append(ids, m.Id)
	}
	return ids, nil
}
