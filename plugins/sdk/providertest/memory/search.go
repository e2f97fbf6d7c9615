package memory

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// searchPage is how many ids an answer carries where nobody says.
const searchPage = 50

// Search goes through everything, newest first.
func (p *Provider) Search(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
	out := &provider.SearchResponse{}
	err := p.call(ctx, "search", req.Call, func(a *account) error {
		skip := 0
		if req.PageToken != "" {
			n, err := strconv.Atoi(req.PageToken)
			if err != nil || n < 0 {
				return mail.Errorf(mail.KindInvalid, "search", "this is no page token")
			}
			skip = n
		}
		limit := req.Limit
		if limit <= 0 {
			limit = searchPage
		}
		found := 0
		for _, m := range a.newestFirst(req.Mailbox) {
			if !matches(m, req) {
				continue
			}
			if found++; found <= skip {
				continue
			}
			if len(out.IDs) == limit {
				out.NextPageToken = strconv.Itoa(skip + limit)
				break
			}
			out.IDs = append(out.IDs, m.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func matches(m *message, req *provider.SearchRequest) bool {
	d := &m.parsed
	has := func(text, part string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(part))
	}
	people := func(lists ...[]mail.Address) string {
		var b strings.Builder
		for _, list := range lists {
			for _, a := range list {
				b.WriteString(a.Name + " " + a.Email + "\n")
			}
		}
		return b.String()
	}
	return (req.Text == "" || has(d.Subject, req.Text) || bytes.Contains(m.words, bytes.ToLower([]byte(req.Text)))) &&
		(req.From == "" || has(people(d.From), req.From)) &&
		(req.To == "" || has(people(d.To, d.Cc, d.Bcc), req.To)) &&
		(req.Subject == "" || has(d.Subject, req.Subject)) &&
		(req.After.IsZero() || !m.received.Before(req.After)) &&
		(req.Before.IsZero() || m.received.Before(req.Before)) &&
		(!req.HasAttachment || d.HasAttachments)
}
