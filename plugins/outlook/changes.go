package outlook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// cursor is a place in the delta of one folder: the link that goes on from
// there. Links are opaque and go out verbatim.
type cursor struct {
	Version int    `json:"v"`
	Folder  string `json:"folder"`
	Link    string `json:"link"`
}

// cursorVersion is 2 since deltas are asked for the last verb: what older ones
// have told lacks $answered and $forwarded, and has to be told again.
const cursorVersion = 2

func (c cursor) encode() mail.Cursor {
	data, _ := json.Marshal(c) // strings and a number: cannot fail
	return data
}

func parseCursor(data mail.Cursor, folder string) (cursor, error) {
	var c cursor
	switch err := json.Unmarshal(data, &c); {
	case err != nil || c.Version != cursorVersion || c.Link == "":
		return c, errors.New("the cursor cannot be read")
	case c.Folder != folder:
		return c, errors.New("the cursor belongs to another mailbox")
	}
	return c, nil
}

// Changes follows the message delta of one folder: every page is a batch. The
// first round tells everything, newest first.
//
// A delta is read with distrust: pages may be empty, entries may repeat, be
// partial or out of order, and "@removed" means no more than "not in this
// folder any more". Each entry therefore says only what it proves.
func (p *Provider) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "read changes")
	if err != nil {
		return err
	}
	defer done()
	if req.Mailbox == "" {
		return &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "changes are told by mailbox"}
	}
	r := &msgraph.Request{
		Op: c.op, Method: http.MethodGet, Priority: c.prio,
		// Has to be repeated on each request, and is no more than a wish.
		Prefer: []string{"odata.maxpagesize=" + strconv.Itoa(c.conf.pageSize)},
	}
	if len(req.Cursor) == 0 {
		r.Path = folderPath(req.Mailbox) + "/messages/delta"
		r.Query = url.Values{"$select": {listSelect}, "$expand": {expandVerb()}, "$orderby": {"receivedDateTime desc"}}
	} else {
		cur, err := parseCursor(req.Cursor, req.Mailbox)
		if err != nil {
			return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: "bad_cursor", Message: err.Error()}
		}
		r.Link = cur.Link
	}
	var trail pace.Trail
	for {
		asOf := p.now().UTC()
		var page msgraph.Page[msgraph.Message]
		err := c.graph.Do(ctx, r, &page)
		if err != nil && askLess(r.Query, err) {
			continue
		}
		if err != nil {
			return c.changesError(ctx, req, err)
		}
		if err := c.tellVerbs(ctx, page.Value); err != nil {
			return err
		}
		b := &mail.Batch{Items: items(page.Value, req.Mailbox), AsOf: asOf.Truncate(time.Millisecond)}
		link := page.NextLink
		if link == "" {
			link, b.Done = page.DeltaLink, true
		}
		if link == "" {
			return &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "bad_answer", Message: "the provider's answer has neither a next nor a delta link"}
		}
		if err := c.graph.CheckLink(c.op, link); err != nil {
			return err
		}
		b.Next = cursor{Version: cursorVersion, Folder: req.Mailbox, Link: link}.encode()
		if err := each(b); err != nil {
			return err
		}
		if b.Done {
			return nil
		}
		if err := trail.Follow(c.op, link, len(page.Value)); err != nil {
			return err
		}
		r.Path, r.Query, r.Link = "", nil, link
	}
}

// askLess takes away from the first request of a delta what Graph refuses it
// for, where that may be so. Order and expanded properties are documented for
// deltas, but of little use to us compared with the delta itself. Expanding was
// answered by 500 as well as by 400; whoever asks with a link asks for nothing.
func askLess(q url.Values, err error) bool {
	invalid := mail.KindOf(err) == mail.KindInvalid
	status := msgraph.StatusOf(err)
	switch {
	case q.Has("$expand") && (invalid || status == http.StatusInternalServerError || status == http.StatusNotImplemented):
		q.Del("$expand")
	case q.Has("$orderby") && invalid:
		q.Del("$orderby")
		q.Set("$expand", expandVerb()) // it was not the one
	default:
		return false
	}
	return true
}

// changesError tells a cursor that was forgotten from a folder that is gone.
// 410 and the sync codes are told apart in msgraph; the documents leave room
// for other 4xx, and a link that went out as it came in cannot be at fault.
func (c *call) changesError(ctx context.Context, req *provider.ChangesRequest, err error) error {
	switch kind := mail.KindOf(err); {
	case len(req.Cursor) == 0, kind != mail.KindNotFound && kind != mail.KindInvalid:
		return err
	}
	_, lookErr := c.folder(ctx, req.Mailbox)
	switch {
	case mail.KindOf(lookErr) == mail.KindNotFound:
		return lookErr
	case lookErr != nil:
		return err
	}
	return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: errCode(err), Message: "the provider does not know the cursor any more", Err: err}
}

func errCode(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// items converts the entries of a delta page.
func items(entries []msgraph.Message, folder string) []mail.Item {
	out := make([]mail.Item, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.ID == "" {
			continue
		}
		if e.Removed != nil || (e.ParentFolderID != "" && e.ParentFolderID != folder) {
			// Moved or deleted, whatever the reason given; the folder that it
			// went to tells the rest. An entry that names another folder is a
			// replay from before it left.
			out = append(out, mail.Item{Kind: mail.ItemAbsent, Mailbox: folder, Message: mail.Message{ProviderID: e.ID}})
			continue
		}
		m, fields := message(e)
		// The two deltas of a move are not ordered with each other: an entry
		// proves that the message is here, not that it is nowhere else.
		m.Mailboxes = []string{folder}
		out = append(out, mail.Item{
			Kind: mail.ItemPresent, Mailbox: folder, Message: m,
			Fields: fields&^mail.FieldMailboxes | mail.FieldMailbox,
		})
	}
	return out
}

// Enumerate lists a folder, newest first.
func (p *Provider) Enumerate(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "list messages")
	if err != nil {
		return err
	}
	defer done()
	r := &msgraph.Request{
		Op: c.op, Method: http.MethodGet, Priority: c.prio,
		Path:  folderPath(req.Mailbox) + "/messages",
		Query: url.Values{"$select": {stateSelect}, "$expand": {expandVerb()}, "$orderby": {"receivedDateTime desc"}, "$top": {"500"}},
	}
	var trail pace.Trail
	for {
		var page msgraph.Page[msgraph.Message]
		if err := c.graph.Do(ctx, r, &page); err != nil {
			return err
		}
		if err := c.tellVerbs(ctx, page.Value); err != nil {
			return err
		}
		b := &provider.EnumerateBatch{Fields: mail.FieldKeywords | mail.FieldMailboxes}
		for i := range page.Value {
			m, fields := message(&page.Value[i])
			if fields&mail.FieldKeywords == 0 {
				continue // gone meanwhile
			}
			m.ReceivedAt = second(page.Value[i].Received)
			m.Mailboxes = []string{req.Mailbox}
			b.Messages = append(b.Messages, m)
		}
		if err := each(b); err != nil {
			return err
		}
		if page.NextLink == "" {
			return nil
		}
		if err := c.graph.CheckLink(c.op, page.NextLink); err != nil {
			return err
		}
		if err := trail.Follow(c.op, page.NextLink, len(page.Value)); err != nil {
			return err
		}
		r.Path, r.Query, r.Link = "", nil, page.NextLink
	}
}
