package gmail

import (
	"context"
	"errors"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// listPage is how many messages are listed, and read, between two cursors.
	// Reading them costs two thousand units, of which listing is five: a larger
	// page would save nothing, and cost more when it has to be begun again.
	listPage = 100
	// historyPage is how many records of history one request gives at most.
	historyPage = 500
)

// Changes tells what an account holds, and then its history ("Synchronize
// clients with Gmail", Gmail API).
//
// The history id comes from the profile before the first page is listed: what
// changes while the listing goes on is told afterwards. A cursor that was taken
// from the newest message could be too old already, in a mailbox where nothing
// happens.
//
// A page of either is a batch. Pages of history may be empty and be followed by
// others.
func (p *Provider) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "read changes")
	if err != nil {
		return err
	}
	defer done()
	var cur cursor
	if len(req.Cursor) == 0 {
		profile, err := c.profile(ctx)
		if err != nil {
			return err
		}
		cur = cursor{Version: cursorVersion, Listing: true, History: profile.HistoryId}
	} else if cur, err = parseCursor(req.Cursor); err != nil {
		return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: "bad_cursor", Message: err.Error()}
	}
	if err := c.list(ctx, &cur, each); err != nil {
		return err
	}
	return c.history(ctx, cur, each)
}

func (c *call) profile(ctx context.Context) (profile *gmailapi.Profile, err error) {
	err = c.do(ctx, getProfile, func(ctx context.Context, s *gmailapi.Service) (err error) {
		profile, err = s.Users.GetProfile("me").Context(ctx).Do()
		return err
	})
	if err == nil && profile.HistoryId == 0 {
		err = badAnswer(c.op, "Gmail's answer has no history id")
	}
	return profile, err
}

// list tells everything that is there, page by page, newest first, and leaves
// the cursor where the history is to begin. What goes away between the page and
// the reading of its messages is left out.
func (c *call) list(ctx context.Context, cur *cursor, each func(*mail.Batch) error) error {
	var trail pace.Trail
	for cur.Listing {
		asOf := c.p.now().UTC().Truncate(time.Millisecond)
		var page *gmailapi.ListMessagesResponse
		err := c.do(ctx, messagesList, func(ctx context.Context, s *gmailapi.Service) (err error) {
			page, err = s.Users.Messages.List("me").IncludeSpamTrash(true).MaxResults(listPage).PageToken(cur.Page).Context(ctx).Do()
			return err
		})
		if err != nil {
			return c.pageError(err, cur.Page)
		}
		b := &mail.Batch{AsOf: asOf}
		if b.Items, err = c.present(ctx, idsOf(page.Messages)); err != nil {
			return err
		}
		cur.Page = page.NextPageToken
		cur.Listing = cur.Page != ""
		b.Next = cur.encode()
		if err := each(b); err != nil {
			return err
		}
		if cur.Listing {
			if err := trail.Follow(c.op, cur.Page, len(page.Messages)); err != nil {
				return err
			}
		}
	}
	return nil
}

// present reads messages whole, in the given order. Those that are gone by now
// are left out, and of those that Gmail cannot give it is told that they are
// there.
func (c *call) present(ctx context.Context, ids []string) ([]mail.Item, error) {
	items := make([]mail.Item, 0, len(ids))
	err := c.read(ctx, ids, metadataFields, func(i int, g *gmailapi.Message, err error) error {
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			return nil
		case err != nil && endsCall(err):
			return err
		case err != nil:
			items = append(items, untold(ids[i]))
		default:
			items = append(items, mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: c.conf.message(g)})
		}
		return nil
	})
	return items, err
}

// untold is the item of a message that Gmail could not give just now: one that
// it never gives must not keep everything behind it from being told.
func untold(id string) mail.Item {
	return mail.Item{Kind: mail.ItemPresent, Message: mail.Message{ProviderID: id}}
}

// history tells what has changed since the cursor. Its own cursor moves from
// page to page, and to the history's end only with the last one.
func (c *call) history(ctx context.Context, cur cursor, each func(*mail.Batch) error) error {
	var trail pace.Trail
	for {
		asOf := c.p.now().UTC().Truncate(time.Millisecond)
		var page *gmailapi.ListHistoryResponse
		err := c.do(ctx, historyList, func(ctx context.Context, s *gmailapi.Service) (err error) {
			page, err = s.Users.History.List("me").StartHistoryId(cur.History).MaxResults(historyPage).PageToken(cur.Page).Context(ctx).Do()
			return err
		})
		if err != nil {
			return c.historyError(err, cur.Page)
		}
		if err := c.prove(ctx, cur, page); err != nil {
			return err
		}
		b := &mail.Batch{AsOf: asOf, Done: page.NextPageToken == ""}
		if b.Items, err = c.told(ctx, page.History); err != nil {
			return err
		}
		if page.HistoryId == 0 {
			return badAnswer(c.op, "Gmail's answer has no history id")
		}
		next := cursor{Version: cursorVersion, History: cur.History, End: cur.End, Page: page.NextPageToken}
		if next.End == 0 || page.HistoryId < next.End {
			next.End = page.HistoryId
		}
		if b.Done {
			next.History, next.End = next.End, 0
		}
		b.Next = next.encode()
		if err := each(b); err != nil || b.Done {
			return err
		}
		if err := trail.Follow(c.op, next.Page, len(page.History)); err != nil {
			return err
		}
		cur = next
	}
}

// prove looks whether the cursor is of the history that Gmail has. What Gmail
// says of an id that it has not reached is not documented: should it be nothing,
// as of one after which nothing happened, changes would not be told any more. So
// the first such answer is compared with the profile, once for each account.
func (c *call) prove(ctx context.Context, cur cursor, page *gmailapi.ListHistoryResponse) error {
	reached := page.HistoryId
	switch {
	case reached != 0 && reached < cur.History:
	case c.acct.proven.Load():
		return nil
	case len(page.History) == 0 && page.NextPageToken == "":
		profile, err := c.profile(ctx)
		if err != nil {
			return err
		}
		reached = profile.HistoryId
	}
	if reached < cur.History {
		return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: "future_history", Message: "the cursor is of a history that Gmail does not have"}
	}
	c.acct.proven.Store(true)
	return nil
}

// historyError tells a cursor that is too old (404; a week, sometimes hours)
// from other failures. A history id that Gmail calls invalid is no better.
func (c *call) historyError(err error, page string) error {
	switch mail.KindOf(err) {
	case mail.KindNotFound, mail.KindInvalid:
		return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: codeOf(err), Message: "Gmail does not know the history since the cursor any more", Err: err}
	}
	return c.pageError(err, page)
}

// pageError: the token of a page grows old.
func (c *call) pageError(err error, page string) error {
	if page != "" && (mail.KindOf(err) == mail.KindInvalid || mail.KindOf(err) == mail.KindNotFound) {
		return &mail.Error{Kind: mail.KindCursorExpired, Op: c.op, Code: codeOf(err), Message: "Gmail does not know the page any more at which the listing was", Err: err}
	}
	return err
}

func codeOf(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func badAnswer(op, message string) error {
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: codeBadAnswer, Message: message}
}

func idsOf(list []*gmailapi.Message) []string {
	ids := make([]string, 0, len(list))
	for _, m := range list {
		if m.Id != "" {
			ids = append(ids, m.Id)
		}
	}
	return ids
}

// Enumerate lists a mailbox, newest first. A page of five units has five hundred
// ids and nothing else.
func (p *Provider) Enumerate(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "list messages")
	if err != nil {
		return err
	}
	defer done()
	if req.Mailbox != mailboxAll && !c.conf.isMailbox(req.Mailbox) {
		return &mail.Error{Kind: mail.KindNotFound, Op: c.op, Code: "no_mailbox", Message: "there is no such mailbox"}
	}
	var trail pace.Trail
	for token := ""; ; {
		var page *gmailapi.ListMessagesResponse
		err := c.do(ctx, messagesList, func(ctx context.Context, s *gmailapi.Service) (err error) {
			list := s.Users.Messages.List("me").MaxResults(500).PageToken(token)
			if req.Mailbox != mailboxAll { // which is what is listed without Trash and Spam
				list = list.LabelIds(req.Mailbox).IncludeSpamTrash(hiddenLabel(req.Mailbox))
			}
			page, err = list.Context(ctx).Do()
			return err
		})
		if err != nil {
			return labelError(err)
		}
		b := &provider.EnumerateBatch{}
		for _, id := range idsOf(page.Messages) {
			b.Messages = append(b.Messages, mail.Message{ProviderID: id, Mailboxes: []string{req.Mailbox}})
		}
		if err := each(b); err != nil {
			return err
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
		if err := trail.Follow(c.op, token, len(page.Messages)); err != nil {
			return err
		}
	}
}
