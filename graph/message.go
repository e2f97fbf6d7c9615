package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func (r messageResolver) Account(ctx context.Context, m *store.Message) (*store.Account, error) {
	return ownerOf(ctx, m.Account)
}

func (r messageResolver) Thread(ctx context.Context, m *store.Message) (*store.Thread, error) {
	t, err := loadersOf(ctx).threads.load(ctx, m.Thread)
	if err == nil && t == nil {
		err = notFound("thread", m.Thread)
	}
	return t, err
}

func (r messageResolver) Mailboxes(ctx context.Context, m *store.Message) ([]*store.Mailbox, error) {
	return mailboxesOf(ctx, m.Account, m.In)
}

func (r messageResolver) MessageID(_ context.Context, m *store.Message) (*string, error) {
	return optional(m.MessageID), nil
}

func (r messageResolver) Size(_ context.Context, m *store.Message) (*int64, error) {
	return optionalNumber(m.Size), nil
}

// content reads what only the bytes can tell.
func (r messageResolver) content(ctx context.Context, m *store.Message) (content, error) {
	c, err := loadersOf(ctx).contents.load(ctx, m.ID)
	if err == nil {
		err = c.err
	}
	return c, err
}

// InReplyTo and References may not be in the mirror: where a change feed does not
// tell header fields, only the bytes have them.
func (r messageResolver) InReplyTo(ctx context.Context, m *store.Message) ([]string, error) {
	return r.messageIDs(ctx, m, m.InReplyTo, "In-Reply-To")
}

func (r messageResolver) References(ctx context.Context, m *store.Message) ([]string, error) {
	return r.messageIDs(ctx, m, m.References, "References")
}

func (r messageResolver) messageIDs(ctx context.Context, m *store.Message, known []string, field string) ([]string, error) {
	if len(known) > 0 {
		return known, nil
	}
	c, err := r.content(ctx, m)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, h := range c.Headers {
		if strings.EqualFold(h.Name, field) {
			ids = append(ids, parseMessageIDs(h.Value)...)
		}
	}
	return ids, nil
}

// parseMessageIDs reads the msg-ids of a field (RFC 5322, 3.6.4) and skips what
// ugly mail has between them.
func parseMessageIDs(value string) (ids []string) {
	for {
		_, rest, found := strings.Cut(value, "<")
		id, after, closed := strings.Cut(rest, ">")
		if !found || !closed {
			return ids
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" {
			ids = append(ids, id)
		}
		value = after
	}
}

func (r messageResolver) Text(ctx context.Context, m *store.Message) (*string, error) {
	c, err := r.content(ctx, m)
	if err != nil {
		return nil, err
	}
	return optional(c.Text), nil
}

func (r messageResolver) HTML(ctx context.Context, m *store.Message) (*string, error) {
	c, err := r.content(ctx, m)
	if err != nil || c.HTML == "" {
		return nil, err
	}
	clean := r.html.clean(c.HTML, func(cid string) string {
		for _, a := range c.Attachments {
			if a.ContentID != "" && strings.EqualFold(a.ContentID, cid) {
				return r.blobURL(blobAttachment, m.ID, a.ID)
			}
		}
		return ""
	})
	return &clean, nil
}

func (r messageResolver) Truncated(ctx context.Context, m *store.Message) (bool, error) {
	c, err := r.content(ctx, m)
	if err != nil {
		return false, err
	}
	return c.Truncated, nil
}

func (r messageResolver) Headers(ctx context.Context, m *store.Message, name *string) ([]*mail.Header, error) {
	c, err := r.content(ctx, m)
	if err != nil {
		return nil, err
	}
	list := make([]*mail.Header, 0, len(c.Headers))
	for i := range c.Headers {
		if name == nil || strings.EqualFold(*name, c.Headers[i].Name) {
			list = append(list, &c.Headers[i])
		}
	}
	return list, nil
}

func (r messageResolver) Attachments(ctx context.Context, m *store.Message) ([]*service.Attachment, error) {
	c, err := r.content(ctx, m)
	if err != nil {
		return nil, err
	}
	list := make([]*service.Attachment, len(c.Attachments))
	for i, a := range c.Attachments {
		list[i] = &service.Attachment{Message: m.ID, Attachment: a}
	}
	return list, nil
}

func (r messageResolver) Raw(_ context.Context, m *store.Message) (string, error) {
	return r.blobURL(blobRaw, m.ID, ""), nil
}

func (r attachmentResolver) Name(_ context.Context, a *service.Attachment) (*string, error) {
	return optional(a.Name), nil
}

func (r attachmentResolver) ContentID(_ context.Context, a *service.Attachment) (*string, error) {
	return optional(a.ContentID), nil
}

func (r attachmentResolver) URL(_ context.Context, a *service.Attachment) (string, error) {
	return r.blobURL(blobAttachment, a.Message, a.ID), nil
}

// matchMessage reports whether a message matches a filter. Its mailbox and dates
// are the listing's business.
func matchMessage(f *generated.MessageFilter, m *store.Message) bool {
	if f == nil {
		return true
	}
	if f.HasKeywords != nil || f.NotKeywords != nil {
		have := m.AllKeywords()
		for _, k := range f.HasKeywords {
			if !slices.Contains(have, strings.ToLower(k)) {
				return false
			}
		}
		for _, k := range f.NotKeywords {
			if slices.Contains(have, strings.ToLower(k)) {
				return false
			}
		}
	}
	return (f.InMailbox == nil || slices.Contains(m.In, *f.InMailbox)) &&
		(f.Since == nil || !m.ReceivedAt.Before(*f.Since)) &&
		(f.Until == nil || m.ReceivedAt.Before(*f.Until)) &&
		(f.HasAttachments == nil || *f.HasAttachments == m.HasAttachments) &&
		(f.MessageID == nil || strings.Trim(*f.MessageID, "<>") == m.MessageID) &&
		(f.Subject == nil || contains(m.Subject, *f.Subject)) &&
		(f.From == nil || names(*f.From, m.From)) &&
		(f.To == nil || names(*f.To, m.To, m.Cc, m.Bcc))
}

// contains compares as every search does.
func contains(s, part string) bool {
	return strings.Contains(mime.Fold(s), mime.Fold(part))
}

func names(part string, lists ...[]mail.Address) bool {
	for _, list := range lists {
		for _, a := range list {
			if contains(a.Name, part) || contains(a.Email, part) {
				return true
			}
		}
	}
	return false
}
