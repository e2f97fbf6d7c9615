package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// fetchBatch is how many messages are looked up in one transaction, and marked
// as read by one call of the provider; bodyBatch is that for who wants bodies,
// and may be slow to take them; hydrateBatch is how many are brought
// from the provider before the client is told of them.
const (
	fetchBatch   = 200
	bodyBatch    = 60
	hydrateBatch = 20
)

// fetch answers FETCH and UID FETCH (RFC 9051, 6.4.5 and 6.4.9). Flags, dates
// and sizes are told from the mailbox's index, everything that is metadata from
// what was stored when the bytes arrived; only bodies are read from the bytes.
func (s *Session) fetch(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	if err := c.Args.SP(); err != nil {
		return nil, err
	}
	set, err := c.Args.Set()
	if err != nil {
		return nil, err
	}
	if err := c.Args.SP(); err != nil {
		return nil, err
	}
	plan, err := parseFetch(c.Args, c.UID)
	if err != nil {
		return nil, err
	}
	messages, err := s.each(set, c.UID)
	if err != nil {
		return nil, err
	}
	f := &fetcher{
		fetchPlan: plan, w: w, uid: c.UID, account: s.account, mailbox: s.sel.mailbox.ID,
		store: s.server.opts.Store, mirror: s.server.opts.Mirror, log: s.server.log,
		marks: plan.seen && !s.sel.readOnly,
	}
	if err := f.run(ctx, messages); err != nil {
		return nil, err
	}
	f.gone += s.sel.missing
	return f.answer(), nil
}

// fetchMirror is what FETCH asks of the mirror.
type fetchMirror interface {
	// Hydrate brings what is missing of messages.
	Hydrate(ctx context.Context, ids []string) error
	// Raw opens a message's bytes, fetched where they are not here any more.
	Raw(ctx context.Context, id string) (store.Blob, *store.Message, error)
	// Update changes keywords.
	Update(ctx context.Context, ids []string, ch mailbox.Change) ([]mailbox.Result, error)
}

// fetcher carries out one FETCH.
type fetcher struct {
	*fetchPlan
	w                *wire.Writer
	uid              bool
	account, mailbox string
	store            store.Store
	mirror           fetchMirror
	log              *slog.Logger
	// marks: what is read becomes \Seen.
	marks bool

	buf    []byte // of the response that is being built what was not written yet
	first  bool   // no item of it was written yet
	picked []byte // header fields of the message
	pieces []piece
	// gone is how many of the messages were expunged before they could be told;
	// failed how many could not be told, and failure the first reason.
	gone, failed int
	failure      error
	read         []string // messages that become \Seen
}

// run tells of the messages, some at a time.
func (f *fetcher) run(ctx context.Context, messages iter.Seq[message]) error {
	size := fetchBatch
	if f.needs&needBytes != 0 {
		size = bodyBatch
	}
	batch := make([]message, 0, size)
	for m := range messages {
		if batch = append(batch, m); len(batch) < size {
			continue
		}
		if err := f.batch(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return f.batch(ctx, batch)
}

func (f *fetcher) batch(ctx context.Context, messages []message) error {
	for len(messages) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.some(ctx, messages)
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return f.markRead(ctx)
}

// some tells of the first of the messages and gives how many that were.
func (f *fetcher) some(ctx context.Context, messages []message) (int, error) {
	if f.needs == 0 || f.needs == needSize && sized(messages) {
		for i := range messages {
			f.begin(&messages[i])
			f.facts(&messages[i], nil)
			f.end()
		}
		return len(messages), f.w.Err()
	}
	records, err := f.load(ctx, messages)
	if err != nil {
		return 0, err
	}
	messages = messages[:len(records)]
	// What is here is told before what has to be brought.
	if err := f.tell(ctx, messages, records, false); err != nil {
		return 0, err
	}
	var missing []int
	for i := range records {
		if records[i].missing {
			missing = append(missing, i)
		}
	}
	for len(missing) > 0 {
		n := min(len(missing), hydrateBatch)
		if err := f.bring(ctx, messages, missing[:n]); err != nil {
			return 0, err
		}
		missing = missing[n:]
	}
	return len(messages), f.w.Err()
}

func sized(messages []message) bool {
	for i := range messages {
		if messages[i].row.Size == 0 {
			return false
		}
	}
	return true
}

// bring fetches what is missing of some of the messages, and tells of them.
func (f *fetcher) bring(ctx context.Context, messages []message, which []int) error {
	some := make([]message, len(which))
	ids := make([]string, len(which))
	for i, n := range which {
		some[i], ids[i] = messages[n], messages[n].row.Message
	}
	if err := f.w.Flush(); err != nil {
		return err
	}
	failure := f.mirror.Hydrate(ctx, ids)
	if err := ctx.Err(); err != nil {
		return err
	}
	for len(some) > 0 {
		records, err := f.load(ctx, some)
		if err != nil {
			return err
		}
		for i := range records {
			if records[i].missing {
				err := failure
				if err == nil {
					err = mail.Errorf(mail.KindUnavailable, "fetch message", "the message is being changed")
				}
				f.fail(err)
			}
		}
		if err := f.tell(ctx, some[:len(records)], records, true); err != nil {
			return err
		}
		some = some[len(records):]
	}
	return nil
}

// fail notes a message that cannot be told.
func (f *fetcher) fail(err error) {
	f.failed++
	// What was expunged meanwhile is no failure to be told first.
	if f.failure == nil {
		f.failure = err
	}
}

// markRead makes the messages of the last batch \Seen. The poll after the
// command tells of it. A provider that refuses that has not refused the text.
func (f *fetcher) markRead(ctx context.Context) error {
	if len(f.read) == 0 {
		return nil
	}
	ids := f.read
	f.read = nil
	if err := f.w.Flush(); err != nil {
		return err
	}
	_, err := f.mirror.Update(ctx, ids, mailbox.Change{AddKeywords: []string{mail.Seen}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && mail.KindOf(err) == mail.KindInternal {
		return fmt.Errorf("mark as read: %w", err)
	}
	return nil
}

// answer ends the command. Whatever could not be told makes it a NO, with how
// many that were: the others were told.
func (f *fetcher) answer() *Tagged {
	switch {
	case f.failed > 0:
		t := Answer(f.failure)
		t.Status = No
		t.Text = line(fmt.Sprintf("%d of the messages could not be fetched: %s", f.failed, t.Text))
		return t
	case f.gone > 0 && !f.uid:
		// RFC 2180, 4.1.2: the rest was told; RFC 5530: expunged by somebody else.
		return &Tagged{Status: No, Code: "EXPUNGEISSUED", Text: "Some of the messages are no longer there"}
	case f.gone > 0:
		// A UID that is not there is no error (RFC 9051, 6.4.9).
		return &Tagged{Status: OK, Code: "EXPUNGEISSUED", Text: "Some of the messages are no longer there"}
	}
	return &Tagged{Status: OK, Text: "FETCH completed"}
}

// errUnknownEncoding is the failure of BINARY for a part whose transfer encoding
// nobody knows (RFC 9051, 6.4.5).
var errUnknownEncoding = withCode("UNKNOWN-CTE", mail.Errorf(mail.KindInvalid, "decode part", "the part's transfer encoding is not known"))

// errGone: the message was expunged after the client was told of it.
var errGone = errors.New("the message is no longer there")
