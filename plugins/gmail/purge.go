package gmail

import (
	"context"
	"errors"
	"slices"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// purgeOneByOne is up to how many messages are deleted each by itself: so many
// cost no more than a batch.
const purgeOneByOne = 5

// Purge removes messages for good. Google lets an application do that with the
// scope of all mail alone; with less, drafts can still be discarded.
func (p *Provider) Purge(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "purge messages")
	if err != nil {
		return nil, err
	}
	defer done()
	w := newWork(req.IDs)
	c.purge(ctx, w)
	return w.response()
}

func (c *call) purge(ctx context.Context, w *work) {
	open := all(len(w.ids))
	if len(w.ids) > purgeOneByOne {
		open = c.purgeBatches(ctx, w)
	}
	c.each(ctx, w, open, func(ctx context.Context, i int) error {
		err := c.do(ctx, messagesDelete, func(ctx context.Context, s *gmailapi.Service) error {
			return s.Users.Messages.Delete("me", w.ids[i]).Context(ctx).Do()
		})
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			err = nil
		case codeOf(err) == codeInsufficient:
			// Not the end: what is a draft can be discarded.
			return &mail.Error{Kind: mail.KindForbidden, Op: c.op, Code: codeInsufficient, Err: errNoPurge, Message: errNoPurge.Error()}
		}
		if err == nil {
			w.results[i].Message = mail.Message{ProviderID: w.ids[i]}
		}
		return err
	})
	var refused []int
	for i := range w.results {
		if codeOf(w.results[i].Err) == codeInsufficient {
			refused = append(refused, i)
		}
	}
	if len(refused) > 0 {
		c.discardDrafts(ctx, w, refused)
	}
}

// errNoPurge is what an owner can do something about.
var errNoPurge = errors.New("deleting for good needs the permission " + gmailapi.MailGoogleComScope + ": the owner must connect the account again with it, or move the messages to the trash")

// purgeBatches deletes by batches, which do not mind what is gone already, and
// gives the messages of batches that were refused.
func (c *call) purgeBatches(ctx context.Context, w *work) (open []int) {
	for chunk := range slices.Chunk(all(len(w.ids)), modifyBatch) {
		ids := make([]string, len(chunk))
		for n, i := range chunk {
			ids[n] = w.ids[i]
		}
		err := w.over()
		if err == nil {
			err = c.do(ctx, messagesBatchDelete, func(ctx context.Context, s *gmailapi.Service) error {
				return s.Users.Messages.BatchDelete("me", &gmailapi.BatchDeleteMessagesRequest{Ids: ids}).Context(ctx).Do()
			})
		}
		if err != nil && endsCall(err) && codeOf(err) != codeInsufficient {
			w.end(err)
		}
		if err != nil {
			open = append(open, chunk...)
			continue
		}
		for _, i := range chunk {
			w.results[i].Message = mail.Message{ProviderID: w.ids[i]}
		}
	}
	return open
}

// discardDrafts deletes those of the messages that are drafts.
func (c *call) discardDrafts(ctx context.Context, w *work, which []int) {
	drafts, err := c.drafts(ctx, "")
	if err != nil {
		c.p.log().Info("drafts could not be listed", "account", c.acct.id, "error", err)
		return // what was refused stays so
	}
	var found []int
	for _, i := range which {
		if drafts[w.ids[i]] != "" {
			found = append(found, i)
		}
	}
	w.ended = nil
	c.each(ctx, w, found, func(ctx context.Context, i int) error {
		err := c.do(ctx, draftsDelete, func(ctx context.Context, s *gmailapi.Service) error {
			return s.Users.Drafts.Delete("me", drafts[w.ids[i]]).Context(ctx).Do()
		})
		if mail.KindOf(err) == mail.KindNotFound {
			err = nil
		}
		if err == nil {
			w.results[i].Message = mail.Message{ProviderID: w.ids[i]}
		}
		return err
	})
	for _, i := range which {
		if err := w.results[i].Err; err != nil {
			w.end(err)
		}
	}
}

// maxDraftPages bounds how many drafts are looked through.
const maxDraftPages = 20

// drafts lists drafts: the id of each by that of its message.
func (c *call) drafts(ctx context.Context, query string) (map[string]string, error) {
	out := map[string]string{}
	var trail pace.Trail
	token := ""
	for range maxDraftPages {
		var page *gmailapi.ListDraftsResponse
		err := c.do(ctx, draftsList, func(ctx context.Context, s *gmailapi.Service) (err error) {
			list := s.Users.Drafts.List("me").MaxResults(500).IncludeSpamTrash(true).PageToken(token)
			if query != "" {
				list.Q(query)
			}
			page, err = list.Context(ctx).Do()
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, d := range page.Drafts {
			if d.Id != "" && d.Message != nil && d.Message.Id != "" {
				out[d.Message.Id] = d.Id
			}
		}
		if token = page.NextPageToken; token == "" {
			break
		}
		if err := trail.Follow(c.op, token, len(page.Drafts)); err != nil {
			return nil, err
		}
	}
	return out, nil
}
