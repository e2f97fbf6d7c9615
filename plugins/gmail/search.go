package gmail

import (
	"context"
	"strconv"
	"strings"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	defaultSearch = 50
	maxSearch     = 500
	// maxPageToken is longer than any token of Gmail's.
	maxPageToken = 4 << 10
)

// Search asks Gmail's own search, newest first. Trash and Spam are found only
// where one of them is asked for, as in Gmail.
func (p *Provider) Search(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "search messages")
	if err != nil {
		return nil, err
	}
	defer done()
	switch {
	case len(req.PageToken) > maxPageToken:
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "the page token cannot be read"}
	case req.Mailbox != "" && req.Mailbox != mailboxAll && !c.conf.isMailbox(req.Mailbox):
		return nil, &mail.Error{Kind: mail.KindNotFound, Op: c.op, Code: "no_mailbox", Message: "there is no such mailbox"}
	}
	limit := req.Limit
	if limit <= 0 {
		limit = defaultSearch
	}
	var page *gmailapi.ListMessagesResponse
	err = c.do(ctx, messagesList, func(ctx context.Context, s *gmailapi.Service) (err error) {
		list := s.Users.Messages.List("me").MaxResults(int64(min(limit, maxSearch))).PageToken(req.PageToken)
		if q := query(req); q != "" {
			list = list.Q(q)
		}
		if req.Mailbox != "" && req.Mailbox != mailboxAll {
			list = list.LabelIds(req.Mailbox).IncludeSpamTrash(hiddenLabel(req.Mailbox))
		}
		page, err = list.Context(ctx).Do()
		return err
	})
	if err != nil {
		return nil, labelError(err)
	}
	return &provider.SearchResponse{IDs: idsOf(page.Messages), NextPageToken: page.NextPageToken}, nil
}

// query writes a search in Gmail's syntax. Each word is quoted, so that none is
// taken for an operator; times are in seconds, which Gmail takes for after: and
// before: as well as days, and which are of no time zone.
func query(req *provider.SearchRequest) string {
	var terms []string
	for _, w := range strings.Fields(unquoted(req.Text)) {
		terms = append(terms, `"`+w+`"`)
	}
	for _, op := range []struct{ name, value string }{{"from", req.From}, {"to", req.To}, {"subject", req.Subject}} {
		if v := strings.Join(strings.Fields(unquoted(op.value)), " "); v != "" {
			terms = append(terms, op.name+`:"`+v+`"`)
		}
	}
	if req.HasAttachment {
		terms = append(terms, "has:attachment")
	}
	// after: leaves the second itself out.
	if !req.After.IsZero() {
		terms = append(terms, "after:"+strconv.FormatInt(max(0, req.After.Unix()-1), 10))
	}
	if !req.Before.IsZero() {
		terms = append(terms, "before:"+strconv.FormatInt(max(0, req.Before.Unix()), 10))
	}
	return strings.Join(terms, " ")
}

// unquoted takes out what has a meaning inside of quotes.
func unquoted(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' {
			return ' '
		}
		return r
	}, s)
}
